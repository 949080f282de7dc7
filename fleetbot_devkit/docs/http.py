"""The HTTP interface, out of its endpoints."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from fleetbot import __version__, wire
from fleetbot.chat.words.story import steps
from fleetbot.domain.model import Policy, ReceiptId, RunId, Task, TaskId
from fleetbot.domain.receipts import Rules
from fleetbot.forge.client import ForgeClient
from fleetbot.services.access import Access, TokenSets
from fleetbot.services.agents import Agents, Rhythm
from fleetbot.services.board.board import Board
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.doctor import Doctor
from fleetbot.services.enrolments import Enrolments
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.followups import Followups
from fleetbot.services.gate import Gate
from fleetbot.services.intake import Intake
from fleetbot.services.issues import Issues
from fleetbot.services.labels import LabelMaps
from fleetbot.services.newtasks import NewTasks
from fleetbot.services.overlaps import Overlaps
from fleetbot.services.passes import Passes
from fleetbot.services.pauses import Pauses
from fleetbot.services.priorities import Priorities
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.repositories import Repositories
from fleetbot.services.runs import Runs
from fleetbot.services.talks import Talks
from fleetbot.services.tasks import Tasks
from fleetbot.services.verification import Verifier
from fleetbot.services.wakeups import Wakeups
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.sqlite import SqliteStore
from fleetbot.web import Parts, WebApi
from fleetbot.web.endpoint import Endpoint
from fleetbot.web.openapi import describe
from fleetbot.web.problems import STATUS, TITLE, Code
from fleetbot_devkit.docs.calls import sections_of_calls, short
from fleetbot_devkit.docs.markdown import code, page, table
from fleetbot_devkit.docs.schema import sections


def endpoints() -> tuple[Endpoint, ...]:
    """Every endpoint, on parts that are never started."""
    store = SqliteStore(Path("unused.db"))
    fleet = Fleet(store, Policy(), lambda: 0, lambda notice: ())
    client = ForgeClient("http://forge.invalid", "unused")
    changes, dispatcher = Wakeups(fleet), Dispatcher(fleet, lambda: RunId("unused"))
    known = Repositories(fleet, client, ())
    issues = Issues(fleet, client, LabelMaps(), known, lambda: TaskId("unused"))
    verifier = Verifier(fleet, client, Rules(), issues.follow)
    followups = Followups(fleet, client, Rules(), str)
    webhooks = Webhooks(fleet, known)
    intake = Intake(fleet, client, verifier, followups, issues, known, webhooks)
    overlaps = Overlaps(fleet, (), lambda: None)
    runs = Runs(
        fleet,
        dispatcher,
        changes,
        lambda: ReceiptId("unused"),
        _ignore,
        Gate(fleet, known, issues, overlaps).admits,
    )
    access = Access(store, TokenSets())
    passes = Passes(fleet, access, 1, 1, _in_no_room)
    parts = Parts(
        fleet=fleet,
        access=access,
        agents=Agents(fleet, Rhythm(heartbeat=1, lease=1, claim_wait=1), overlaps),
        enrolments=Enrolments(fleet),
        runs=runs,
        talks=Talks(fleet, changes, lambda: "unused"),
        tasks=Tasks(
            fleet,
            NewTasks(fleet, client, issues, LabelMaps(), known),
            Priorities(fleet, client, issues, LabelMaps(), known),
            _no_landing,
        ),
        pauses=Pauses(fleet, known),
        intake=intake,
        dead_letters=DeadLetters(fleet),
        probe=ForgeProbe(fleet, client, (), logging.getLogger("unused")),
        webhooks=webhooks,
        webhook_secret="unused",
        health=_no_health,
        doctor=Doctor(_no_health, {}),
        board=Board(fleet, passes, lambda room, repo: False, steps, _no_health, "unused", "0"),
        claims_waiting=lambda: 0,
        loops=lambda: (),
        version=__version__,
    )
    return WebApi(parts).endpoints


async def _ignore(run: RunId) -> None:
    return None


async def _in_no_room(room: str, user: str) -> bool:
    return False


async def _no_landing(task: Task, login: str, context: Context) -> bool:
    return False


async def _no_health() -> wire.Health:
    return wire.Health(status="ok", checks={}, version=__version__)


def openapi() -> str:
    """`openapi.json`."""
    return json.dumps(describe(endpoints(), __version__), indent=2, ensure_ascii=False) + "\n"


# http


def http() -> str:
    """`http.md`."""
    found = endpoints()
    document = describe(found, __version__)
    components = document["components"]["schemas"]
    return page(
        "HTTP interface",
        "All addresses are under the plugin's own: "
        "`https://<maubot>/_matrix/maubot/plugin/<instance>`. The same as OpenAPI: "
        "[openapi.json](openapi.json), and at `/openapi.json` of every running fleetbot. For "
        "programs in TypeScript: [wire.ts](typescript/wire.ts).",
        "Bodies are JSON. A token goes into the header `Authorization: Bearer <token>`. Unknown "
        "fields and parameters are refused. Times are in milliseconds since the beginning of 1970. "
        "Where a call has a body, `{}` is the least; it may be packed with `gzip` or `deflate`.",
        "## The examples",
        "A test plays them, in one story with these answers. `$FLEETBOT` is the plugin's address. "
        "`@reader`, `@operator`, `@enrolment` and `@agent` are files in the working directory with "
        "the line `Authorization: Bearer <token>` and with access for you alone (`chmod 600`): "
        "what stands in a command can be read by everybody on the machine. `$TASK`, `$RUN` and the "
        "like are what earlier calls have answered, `$KEY` a word of yours for each thing to do.",
        "## Calls",
        "Under `/api/v1/`, unless they begin with a slash.",
        table(("call", "who", "what"), map(_overview, found)),
        *sections_of_calls(found, document),
        "## Problems",
        "What goes wrong is answered as `application/problem+json` (RFC 9457). `code` stays the "
        "same for ever; `detail` is for people and says what to do; `field` names the part of the "
        "request at fault. With `503`, `Retry-After` says when to come again. Each call may also "
        "answer with the problems that follow from its token and its body.",
        table(("code", "status", "meaning"), map(_problem, Code)),
        "What is no HTTP that maubot's server understands (headers of more than 8 KiB, a length "
        "that is no number, a method that does not exist, `Content-Encoding: br` or `zstd`) is "
        "refused by that server before it reaches fleetbot, with 400 and a line of plain text.",
        "## Messages",
        *sections(components),
    )


def _overview(endpoint: Endpoint) -> tuple[str, str, str]:
    heading = f"{endpoint.method} {endpoint.path}"
    anchor = re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
    return f"[{code(short(endpoint))}](#{anchor})", endpoint.who.value, endpoint.summary


def _problem(problem: Code) -> tuple[str, str, str]:
    return code(problem), str(STATUS[problem].value), TITLE[problem]
