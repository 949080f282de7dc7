"""The calls of `docs/reference/http.md` as one story, which is played against a served site.

`python -m tests.web.examples` writes down what was answered (`fleetbot_devkit/docs/examples.json`);
`make docs` has it from there, and a test plays it again.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from yarl import URL

from fleetbot.domain.commands import Conclude
from fleetbot.domain.model import ReceiptId
from fleetbot.domain.receipts import Refuted
from fleetbot.forge.client import ForgeClient
from fleetbot.services.access import AGENT_PREFIX, ENROLMENT_PREFIX
from fleetbot.services.fleet import Context
from fleetbot.store.records import Change, GivenUp, OutboxEntry
from fleetbot_devkit.docs.examples import KEPT, Example
from fleetbot_devkit.forge import DevForge
from tests.docs.curl import Request, read
from tests.web.site import ENROL, HEAD, OPERATOR, READER, Site, signature

REPO = "acme/app"
LONGEST = 200  # lines
ADDRESS = "https://forgejo.example.org"
DELIVERY = json.dumps(
    {
        "action": "labeled",
        "issue": {"number": 1, "title": "Mend the door"},
        "repository": {"full_name": REPO},
    }
)
BY = Context(actor="timer")
_REGISTRATION = """{"name": "claude-1", "adapter": "claude-code",
  "capabilities": ["python"], "max_concurrency": 2}"""
_LOG = """{"offset": 0, "lines": [{"at": 1700000000000, "text": "I read the issue."}]}"""
_QUESTION = """{"id": "q1", "kind": "permission", "title": "Bash: make",
  "request": {"command": "make"}, "options": ["yes", "no"]}"""
_RECEIPT = """{"run": "'"$RUN"'", "pull_request": 7, "branch": "fleet/1-oil-the-hinges",
  "head": "'"$HEAD"'", "files": ["a.py"], "summary": "The hinges are oiled."}"""
_TOKENS = re.compile(rf"({AGENT_PREFIX}|{ENROLMENT_PREFIX})[\w-]+")


class Scene:
    """A served site, and what has been shown of it."""

    def __init__(self, site: Site, forge_url: str) -> None:
        self.site = site
        self.shown: list[Example] = []
        self.variables = {"FLEETBOT": "", "KEY": "k1", "SIGNATURE": signature(DELIVERY.encode())}
        self.variables["HEAD"] = HEAD
        self.files = {"delivery.json": DELIVERY}
        self._forge_url = forge_url
        for name, token in (("enrolment", ENROL), ("reader", READER), ("operator", OPERATOR)):
            self.has_token(name, token)

    def has_token(self, name: str, token: str) -> None:
        self.files[name] = f"Authorization: Bearer {token}"

    async def shows(self, call: str, command: str, text: str = "", most: int = LONGEST) -> Any:
        """Answer the command, and keep it as an example of that call; `most`: lines of it."""
        status, body = await self._answer(read(command, self.variables, self.files))
        told = self._told(body, most)
        self.shown.append(Example(call, command, text, status, told))
        return body

    async def _answer(self, asked: Request) -> tuple[int, Any]:
        if URL(asked.url).path in ("/api/v1/events", "/api/v1/board/events"):
            return await self._first_event(asked)
        answer = await self.site.nobody.call(
            asked.method, asked.url, data=asked.data, headers=asked.headers
        )
        return answer.status, answer.body

    async def _first_event(self, asked: Request) -> tuple[int, str]:
        """The stream has no end."""
        async with self.site.http.get(URL(asked.url), headers=asked.headers) as response:
            lines = [(await response.content.readline()).decode() for _ in range(5)]
        return response.status, "".join(lines)

    def _told(self, body: Any, most: int) -> str:
        """Without what is another each time."""
        text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
        lines = _TOKENS.sub(r"\1…", text.replace(self._forge_url, ADDRESS)).splitlines()
        return "\n".join(lines if len(lines) < most else [*lines[:3], "…"])


async def play(folder: Path) -> list[Example]:
    """All examples, in the order of the story."""
    async with DevForge.start(folder / "forge") as forge:
        token = forge.add_user("fleetbot", admin=True)
        forge.add_org("acme")
        await forge.create_repo("acme", "app", {"a.py": "a = 1\n"}, labels=["fleet"])
        async with ForgeClient(forge.url, token) as client:
            for title in ("Oil the hinges", "Paint the door"):
                await client.create_issue(REPO, title)
        async with Site.start(folder, forge.url, token, repo=REPO) as site:
            scene = Scene(site, forge.url)
            for chapter in (_agents, _tasks, _a_run, _talks, _receipts, _people, _board, _service):
                await chapter(scene)
            return scene.shown


async def _agents(scene: Scene) -> None:
    given = await scene.shows(
        "POST agents/register",
        post("enrolment", "agents/register", _REGISTRATION),
        "Keep the `token`: it is not told again.",
    )
    scene.has_token("agent", given["token"])
    await scene.shows(
        "POST agents/register",
        post("enrolment", "agents/register", '{"name": "claude 1", "adapter": "claude-code"}'),
        "A name with a blank is refused, and `field` says what is meant:",
    )
    await scene.shows("GET agents", get("agents?capability=python"))
    await scene.shows("POST agents/{agent}/drain", post("operator", "agents/claude-1/drain"))
    await scene.shows("POST agents/{agent}/resume", post("operator", "agents/claude-1/resume"))
    made = await scene.shows(
        "POST agents/{agent}/enrol",
        post("operator", "agents/codex-1/enrol"),
        "The token is told once; it goes into the runner's `enrolment_token_file`.",
    )
    another = {"name": "codex-1", "adapter": "codex"}
    await scene.site.caller(made["token"]).post("/api/v1/agents/register", another)


async def _tasks(scene: Scene) -> None:
    made = await scene.shows(
        "POST tasks",
        post("operator", "tasks", '{"repo": "acme/app", "issue": 1}'),
        "With `title` and `body` in the place of `issue` it opens one and takes it.",
    )
    scene.variables["TASK"] = made["id"]
    await scene.shows("GET tasks", get("tasks?state=created&repo=acme/app"))
    await scene.shows(
        "POST tasks/{task}/assign",
        post("operator", "tasks/$TASK/assign", '{"agent": "claude-1"}'),
    )
    await scene.shows(
        "POST tasks/{task}/priority",
        post("operator", "tasks/$TASK/priority", '{"priority": "high"}'),
    )
    other = await scene.site.operator.post("/api/v1/tasks", {"repo": REPO, "issue": 2})
    scene.variables["OTHER"] = other.body["id"]
    await scene.shows(
        "POST tasks/{task}/queue",
        post("operator", "tasks/$OTHER/queue", '{"behind": "\'"$TASK"\'"}'),
    )


async def _a_run(scene: Scene) -> None:
    given = await scene.shows(
        "POST agents/claim",
        post("agent", "agents/claim", '{"wait": 30}', key="$KEY"),
        "A client that has heard no answer asks again with the same key, and gets the same run.",
    )
    scene.variables["RUN"] = given["run"]
    await scene.shows("POST runs/{run}/start", post("agent", "runs/$RUN/start"))
    await scene.shows(
        "POST agents/heartbeat", post("agent", "agents/heartbeat", '{"runs": ["\'"$RUN"\'"]}')
    )
    await scene.shows(
        "POST runs/{run}/log", post("agent", "runs/$RUN/log", _LOG), "Lines are counted from 0."
    )
    await scene.shows(
        "POST runs/{run}/log",
        post(
            "agent", "runs/$RUN/log", '{"offset": 7, "lines": [{"at": 1700000000000, "text": "?"}]}'
        ),
        "Lines between have not come, so these are not taken; `acked` says where to go on:",
    )


async def _talks(scene: Scene) -> None:
    await scene.shows("POST runs/{run}/ask", post("agent", "runs/$RUN/ask", _QUESTION))
    await scene.shows("GET asks", get("asks"))
    await scene.shows(
        "POST runs/{run}/asks/{ask}/answer",
        post("operator", "runs/$RUN/asks/q1/answer", '{"behavior": "allow"}'),
        "`deny` may have a `text`, which says why not.",
    )
    await scene.shows("GET runs/{run}/asks/{ask}", get("runs/$RUN/asks/q1?wait=30", "agent"))
    await scene.shows(
        "DELETE runs/{run}/asks/{ask}",
        'curl -X DELETE -H @agent "$FLEETBOT/api/v1/runs/$RUN/asks/q1"',
    )
    said = await scene.shows(
        "POST runs/{run}/messages",
        post("operator", "runs/$RUN/messages", '{"text": "Leave the tests alone."}'),
    )
    scene.variables["MESSAGE"] = said["id"]
    await scene.shows("GET runs/{run}/messages", get("runs/$RUN/messages?wait=30", "agent"))
    await scene.shows(
        "POST runs/{run}/messages/{message}/taken",
        post("agent", "runs/$RUN/messages/$MESSAGE/taken", '{"taken": "delivered"}'),
    )
    await scene.shows("GET runs/{run}/messages/all", get("runs/$RUN/messages/all"))


async def _receipts(scene: Scene) -> None:
    filed = await scene.shows("POST receipts", post("agent", "receipts", _RECEIPT, key="$KEY"))
    scene.variables["RECEIPT"] = filed["receipt"]
    refuted = Refuted(("The pull request #7 does not name the issue #1.",))
    await scene.site.fleet.commit(Conclude(ReceiptId(filed["receipt"]), refuted), BY)
    await scene.shows(
        "GET receipts/{receipt}",
        get("receipts/$RECEIPT?wait=30", "agent"),
        "Refuted and not `final`: what `reasons` name can be mended, and filed anew.",
    )
    await scene.shows(
        "POST tasks/{task}/land",
        post("operator", "tasks/$TASK/land", '{"by": "ada"}'),
        "`by` has to be an account that may write to the repository; this one may not:",
    )
    await scene.shows(
        "POST tasks/{task}/again",
        post("operator", "tasks/$TASK/again", '{"text": "Use a set."}'),
        "Here there is no pull request yet:",
    )
    await scene.shows(
        "POST runs/{run}/fail",
        post(
            "agent",
            "runs/$RUN/fail",
            '{"reason": "no_changes", "detail": "Nothing was to be done."}',
        ),
    )
    await scene.shows(
        "POST runs/{run}/start",
        post("agent", "runs/$RUN/start"),
        "Of a run that is over, or was given to another, nothing more is taken:",
    )


async def _people(scene: Scene) -> None:
    scene.site.now += 60_000
    await scene.shows("GET tasks/{task}", get("tasks/$TASK"))
    await scene.shows("GET tasks/{task}/events", get("tasks/$TASK/events?limit=2"))
    await scene.shows("POST tasks/{task}/retry", post("operator", "tasks/$TASK/retry"))
    await scene.shows("POST tasks/{task}/cancel", post("operator", "tasks/$TASK/cancel"))
    await scene.shows("GET usage", get("usage?by=agent"))
    await scene.shows("POST fleet/pause", post("operator", "fleet/pause", '{"repo": "acme/app"}'))
    await scene.shows("GET fleet/pauses", get("fleet/pauses"))
    await scene.shows("POST fleet/resume", post("operator", "fleet/resume", '{"repo": "acme/app"}'))
    await scene.shows(
        "GET events",
        'curl -N -H @reader "$FLEETBOT/api/v1/events?after=0"',
        "The stream goes on until it is closed; after a break, go on with `Last-Event-ID`.",
    )
    for call in ("revoke", "forget"):
        await scene.shows(
            f"POST agents/{{agent}}/{call}", post("operator", f"agents/codex-1/{call}")
        )
    await scene.shows("POST agents/deregister", post("agent", "agents/deregister"))


async def _board(scene: Scene) -> None:
    scene.files["key.json"] = json.dumps({"key": READER})
    address = '"$FLEETBOT/api/v1/board'
    await scene.shows("GET /board", 'curl "$FLEETBOT/board"', "A browser goes on by itself.")
    for name in ("", "board.js"):
        call = "GET /board/{file}" if name else "GET /board/"
        await scene.shows(call, f'curl "$FLEETBOT/board/{name}"', most=4)
    await scene.shows(
        "POST board/session",
        f'curl --data-binary @key.json {address}/session"',
        'In `key.json` stands `{"key": "<token>"}`. A browser keeps the cookie that comes with it.',
    )
    await scene.shows("DELETE board/session", f'curl -X DELETE {address}/session"')
    await scene.shows("GET board", f'curl -H @reader {address}"')
    await scene.shows("GET board/tasks", f'curl -H @reader {address}/tasks?list=queued"')
    await scene.shows("GET board/tasks/{task}", f'curl -H @reader {address}/tasks/$TASK"')
    await scene.shows("GET board/events", f'curl -N -H @reader {address}/events?after=0"')


async def _service(scene: Scene) -> None:
    await scene.shows(
        "POST webhooks/forgejo",
        """curl -X POST -H 'Content-Type: application/json' -H 'X-Forgejo-Delivery: d-1' \\
    -H 'X-Forgejo-Event-Type: issues' -H "X-Forgejo-Signature: $SIGNATURE" \\
    --data-binary @delivery.json "$FLEETBOT/api/v1/webhooks/forgejo\"""",
        "`$SIGNATURE` is the HMAC-SHA256 of the body with the webhook's secret, in hex.",
    )
    await scene.shows("GET webhooks", get("webhooks"))
    for call in ("retry", "dismiss"):
        scene.variables["LETTER"] = await _letter(scene)
        if call == "retry":
            await scene.shows("GET outbox/dead", get("outbox/dead"))
        await scene.shows(
            f"POST outbox/dead/{{letter}}/{call}", post("operator", f"outbox/dead/$LETTER/{call}")
        )
        await scene.shows(f"POST outbox/dead/{call}", post("operator", f"outbox/dead/{call}"))
    await scene.shows("GET doctor", get("doctor", "operator"))
    await scene.shows("GET /healthz", 'curl -H @reader "$FLEETBOT/healthz"')
    await scene.shows("GET /readyz", 'curl "$FLEETBOT/readyz"')
    await scene.shows("GET /leads", 'curl "$FLEETBOT/leads"')
    await scene.shows("GET /metrics", 'curl -H @reader "$FLEETBOT/metrics"')
    await scene.shows("GET /openapi.json", 'curl "$FLEETBOT/openapi.json"')


async def _letter(scene: Scene) -> str:
    """A comment that was given up."""
    now, store = scene.site.now, scene.site.store
    entry = OutboxEntry(
        id="c1", destination="acme/app#1", kind="comment", payload=b"{}", due_at=now
    )
    await store.append(Change(outbox=(entry,)))
    await store.append(Change(given_up=(GivenUp(id="c1", at=now, error="404: it is gone"),)))
    letters = (await scene.site.reader.get("/api/v1/outbox/dead")).body["letters"]
    return str(letters[-1]["id"])


def get(path: str, who: str = "reader") -> str:
    return f'curl -H @{who} "$FLEETBOT/api/v1/{path}"'


def post(who: str, path: str, body: str = "", *, key: str = "") -> str:
    """Over two lines where it would be wide."""
    keyed = f' -H "Idempotency-Key: {key}"' if key else ""
    start = f"curl -X POST -H @{who}{keyed}" + (f" -d '{body}'" if body else "")
    break_ = " \\\n    " if len(start) + len(path) > 75 else " "
    return f'{start}{break_}"$FLEETBOT/api/v1/{path}"'


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(play(Path(folder)))
    KEPT.write_text(json.dumps([vars(one) for one in found], indent=1, ensure_ascii=False) + "\n")
