"""What a board may have to show: nothing at all, a busy day, and what strangers write."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.model import (
    AgentName,
    AskKind,
    ContextState,
    Evidence,
    Priority,
    Receipt,
    ReceiptId,
    RunId,
    TaskId,
    Traits,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Refuted, Verified
from fleetbot.domain.usage import Usage
from fleetbot.services.fleet import Context
from fleetbot.store.records import Acknowledged, Change
from tests.web.site import HEAD, REPO, Site

FORGE = "https://forge.example"
OTHER = "team/secret"
MINUTE = 60_000
LASTS = 141 * MINUTE  # a busy day, as below
CLAUDE, CODEX, SHELL, AWAY = map(AgentName, ("claude-1", "codex-1", "shell-1", "attic-1"))
RTL = "\u202egnihtemos\u202c ملف"
HOSTILE = f'<img src=x onerror="document.title=1"><script>alert(1)</script> {RTL} @room'


class Scene:
    """Makes things happen at a site, one after the other, as time goes by."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._ids: Iterator[int] = itertools.count(1)

    async def does(self, command: cmd.Command, actor: str = "timer", cause: str = "") -> None:
        await self.site.fleet.commit(command, Context(actor=actor, cause=cause))

    def later(self, ms: int) -> None:
        self.site.now += ms

    async def delivers(self) -> None:
        """What Forgejo is to be told has arrived there."""
        while due := await self.site.store.due(self.site.now, {"forgejo": 100}):
            sent = tuple(Acknowledged(id=its.entry.id, at=self.site.now) for its in due)
            await self.site.store.append(Change(acknowledged=sent))

    async def knows(self, *names: str) -> None:
        for number, name in enumerate(names, 1):
            await self.does(cmd.NoteRepo(number, name, "main", name))

    async def agent(self, name: AgentName, **fields: object) -> None:
        about = {"adapter": "claude-code", "host": "attic", "account": "team@example", **fields}
        event = AgentRegistered(**about)  # type: ignore[arg-type]  # the test knows its fields
        await self.does(cmd.RegisterAgent(name, event), f"agent:{name}", "register")
        self.site.fleet.saw(name, ())

    async def task(
        self, issue: int, title: str, repo: str = REPO, url: str = "", **traits: object
    ) -> TaskId:
        task = TaskId(f"task-{repo.replace('/', '-')}-{issue}")
        its = Traits(title=title, **traits)  # type: ignore[arg-type]  # the test knows its fields
        url = url or f"{FORGE}/{repo}/issues/{issue}"
        place = 1 if repo == REPO else 2
        command = cmd.CreateTask(task, repo, issue, url, "ada", its, base="main", repo_id=place)
        await self.does(command, "forgejo:ada", "delivery:1")
        return task

    async def begins(self, agent: AgentName) -> RunId:
        run = RunId(f"run-{next(self._ids)}")
        await self.does(cmd.Dispatch(agent, run), f"agent:{agent}", "claim")
        await self.does(cmd.StartRun(run, agent), f"agent:{agent}")
        return run

    async def files(self, run: RunId, agent: AgentName, **fields: object) -> ReceiptId:
        id = ReceiptId(f"receipt-{next(self._ids)}")
        branch = self.site.fleet.state.runs[run].branch
        about = {"pull_request": 40, "branch": branch, "head": HEAD, **fields}
        receipt = Receipt(id=id, **about)  # type: ignore[arg-type]  # the test knows its fields
        await self.does(cmd.FileReceipt(run, agent, receipt), f"agent:{agent}")
        return id

    async def verified(self, receipt: ReceiptId) -> None:
        names = ("CI / test (3.11)", "CI / test (3.12)", "CI / lint")
        seen = Evidence(
            head=HEAD,
            base="main",
            author="fleetbot",
            files=3,
            commits=2,
            approved_by=("grace",),
            ci="green",
            contexts=tuple(ContextState(name=name, state="success") for name in names),
            context_count=3,
        )
        await self.does(cmd.Conclude(receipt, Verified(seen)), "verifier", "receipt:1")

    async def proven(self, issue: int, title: str) -> TaskId:
        """A task from its issue to a receipt that held, not at the first try."""
        task = await self.task(issue, title, kind="bug")
        self.later(MINUTE)
        run = await self.begins(CLAUDE)
        self.later(11 * MINUTE)
        first = await self.files(run, CLAUDE, summary="Mended, I think.")
        reasons = ("The diff does not touch `src/hinge.py`.", "CI / lint is red.")
        await self.does(cmd.Conclude(first, Refuted(reasons)), "verifier", "receipt:1")
        self.later(6 * MINUTE)
        files = ("src/hinge.py", "src/door.py", "tests/test_hinge.py")
        says = "The hinge opens before the door does.\n\nA test holds it."
        usage = Usage(input_tokens=182_000, output_tokens=9_400, cost_usd=0.83)
        receipt = await self.files(run, CLAUDE, files=files, summary=says, usage=usage)
        self.later(MINUTE)
        await self.verified(receipt)
        return task

    async def busy(self) -> dict[str, TaskId]:
        """Agents at work, a question, a failure, one that is offline, and a queue."""
        await self.knows(REPO, OTHER)
        await self.agent(AWAY, host="cellar")
        self.later(90 * MINUTE)
        await self.does(cmd.Expire())
        await self.agent(CLAUDE, capabilities=("python", "docs"))
        await self.agent(CODEX, adapter="codex", max_concurrency=2, account="team@openai")
        await self.agent(SHELL, adapter="command", account="")
        found = {"proven": await self.proven(31, "The door opens before its hinge does")}
        self.later(20 * MINUTE)
        await self._fails()
        found["asks"] = await self.task(35, "Say which of the two databases is in use", agent=CODEX)
        await self._asks(await self.begins(CODEX))
        found["works"] = await self.task(36, "Greet people in their own language", kind="feature")
        await self.begins(CLAUDE)
        await self.task(7, "Rotate what nobody may see", repo=OTHER, agent=SHELL)
        await self.begins(SHELL)
        self.later(5 * MINUTE)
        await self._queue(found)
        self.later(3 * MINUTE)
        fleet = self.site.fleet
        for run in fleet.state.live_runs():
            fleet.note_lines(run.id, [("text", "Looking at the tests.")], 1)
            fleet.saw(run.agent, [run.id])
        return found

    async def _fails(self) -> None:
        await self.task(33, "Upgrade the parser to its third version")
        run = await self.begins(CLAUDE)
        self.later(4 * MINUTE)
        failed = cmd.FailRun(run, CLAUDE, ReasonCode.NO_CHANGES, "It is the third version already.")
        await self.does(failed, f"agent:{CLAUDE}")

    async def _asks(self, run: RunId) -> None:
        ask = cmd.AskPerson(
            run=run,
            agent=CODEX,
            ask="q-1",
            kind=AskKind.QUESTION,
            title="There are SQLite and Postgres here. Which one do you mean?",
            request={},
            options=(),
            expires_at=self.site.now + 60 * MINUTE,
        )
        await self.does(ask, f"agent:{CODEX}")

    async def _queue(self, found: dict[str, TaskId]) -> None:
        urgent = Priority.URGENT
        found["waits"] = await self.task(
            38, "Port the installer", needs=("macos",), priority=urgent
        )
        await self.task(39, "Tell of the new flags in the manual", kind="docs", agent=AWAY)
        await self.task(40, "Have the importer stop at the first bad line", agent=CLAUDE)
        await self.task(41, "Colour the diagrams for people who see few colours", agent=CLAUDE)
