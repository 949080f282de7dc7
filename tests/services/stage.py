"""A fleet on a real database, before a Forgejo that is the development one, with people in it."""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from fleetbot import wire
from fleetbot.domain import commands as cmd
from fleetbot.domain.effects import Notice, RoomEffect, ShowCard
from fleetbot.domain.events import AgentRegistered, Recorded
from fleetbot.domain.model import (
    AgentName,
    Policy,
    Receipt,
    ReceiptId,
    Run,
    RunId,
    Task,
    TaskId,
    same_name,
)
from fleetbot.domain.patience import with_outbox
from fleetbot.domain.receipts import Rules
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Comment, Issue, PullRequest, Repository
from fleetbot.forge.payloads import parse_delivery, verify_signature
from fleetbot.services.access import Access, TokenSets
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.services.doctor import Doctor, Examine
from fleetbot.services.enrolments import Enrolments
from fleetbot.services.examinations import OfAgents, OfRepositories, OfTheHost
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.followups import Followups
from fleetbot.services.forge_effects import ForgeSender
from fleetbot.services.gate import Gate
from fleetbot.services.health import HealthReport
from fleetbot.services.intake import Intake
from fleetbot.services.issues import Issues
from fleetbot.services.labels import LabelMaps
from fleetbot.services.landing import Landings
from fleetbot.services.machines import OfMachines
from fleetbot.services.newtasks import NewTasks
from fleetbot.services.outbox import Courier
from fleetbot.services.overlaps import Overlaps
from fleetbot.services.passes import Passes
from fleetbot.services.pauses import Pauses
from fleetbot.services.people import People
from fleetbot.services.priorities import Priorities
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.proofs import Proofs
from fleetbot.services.protection import Guard
from fleetbot.services.reconcile import Reconciler
from fleetbot.services.references import References
from fleetbot.services.repairs import Repairs
from fleetbot.services.repositories import Repositories
from fleetbot.services.setup.deeds import Deeds
from fleetbot.services.setup.facts import Heard, Place, Survey
from fleetbot.services.setup.mapping import Edit
from fleetbot.services.setup.walks import Walks
from fleetbot.services.talks import Talks
from fleetbot.services.tasks import Tasks
from fleetbot.services.verification import Verifier
from fleetbot.services.wakeups import Wakeups
from fleetbot.services.webhooks import Webhooks
from fleetbot.store.identities import Claim
from fleetbot.store.interface import Store
from fleetbot.store.records import OutboxEntry
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.forge_user import ForgeUser
from tests.store.backend import SqliteBackend

REPO, BOT, ANN = "ann/app", "fleetbot", "ann"
CLAUDE = AgentName("claude-1")
SECRET = "hook-secret"
PATIENCE_DAYS = 14
TEST = Context(actor="test")


class Clock:
    """Milliseconds that pass when the test says so, from about now: git's dates are real."""

    def __init__(self) -> None:
        self.now = int(time.time()) * 1000

    def __call__(self) -> int:
        return self.now

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now / 1000, UTC)

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


class Stage:
    """The services as the plugin wires them; loops are ticked by the test."""

    def __init__(
        self,
        root: Path,
        forge: DevForge,
        store: Store,
        clock: Clock,
        bot: ForgeClient,
        ann: ForgeUser,
        bot_token: str,
    ) -> None:
        self.bot_token = bot_token
        self.root = root
        self.forge, self.store, self.clock, self.client, self.ann = forge, store, clock, bot, ann
        self.labels = LabelMaps()
        self.rules = Rules()
        self.policy = Policy()
        self.repositories: list[str] = [REPO]
        self.accounts: dict[AgentName, str] = {}
        self.listed: dict[str, str] = {}  # people by login, of the settings
        self.woken = 0
        self.notices: list[Notice] = []
        self.told: Sequence[str] = ()  # the destinations that hear of all but how a task moves
        self.hook_url = ""
        self.secret = ""  # what foreign logs are kept from telling on
        self.threads = "agent"
        self.lands_itself = False
        self.unprotected = ""  # what is done about it; nothing is looked at where it is empty
        # What setup changes of the configuration; the rest of it is as the stage is wired.
        self.config: dict[str, Any] = {"forge": {"repositories": self.repositories}, "rooms": {}}
        self._ids = itertools.count(1)
        self.restart()

    async def change(self, **settings: object) -> None:
        """Other settings: the plugin makes its services anew with them."""
        for name, value in settings.items():
            setattr(self, name, value)
        self.restart()
        await self.fleet.start()

    def restart(self) -> None:
        """Everything that lives in memory begins anew."""
        self.fleet = Fleet(self.store, self.policy, self.clock, self._route)
        self.known = Repositories(self.fleet, self.client, self.repositories, self._guard())
        self.webhooks = Webhooks(self.fleet, self.known)
        self.probe = ForgeProbe(
            self.fleet, self.client, self.repositories, logging.getLogger("stage")
        )
        self.issues = Issues(
            self.fleet,
            self.client,
            self.labels,
            self.known,
            lambda: TaskId(f"t{next(self._ids)}"),
            self._follow_pull,
        )
        self.verifier = Verifier(self.fleet, self.client, self.rules, self.issues.follow)
        self.followups = Followups(self.fleet, self.client, self.rules, self._mask)
        self.people = People(self.store, self.listed)
        self.landings = Landings(
            self.fleet, self.client, self.followups, self.people, lambda names: self.lands_itself
        )
        self.proofs = Proofs(self.fleet, self.client, self.people, self._proven)
        self.intake = Intake(
            self.fleet,
            self.client,
            self.verifier,
            self.followups,
            self.issues,
            self.known,
            self.webhooks,
            on_arrival=self._wake,
            on_proof=self.proofs.heard,
        )
        self.reconciler = Reconciler(
            self.fleet,
            self.client,
            self.issues,
            Repairs(self.fleet, self.client, self.labels, self.accounts),
            self.known,
            self.webhooks,
        )
        self.prepare_setup()
        self.dead_letters = DeadLetters(self.fleet)
        self.overlaps = Overlaps(self.fleet, ("*.lock",), self._wake)
        self.gate = Gate(self.fleet, self.known, self.issues, self.overlaps)
        self.new_tasks = NewTasks(self.fleet, self.client, self.issues, self.labels, self.known)
        self.priorities = Priorities(self.fleet, self.client, self.issues, self.labels, self.known)
        self.tasks = Tasks(
            self.fleet,
            self.new_tasks,
            self.priorities,
            self.landings.wish_of,
            self.followups.shown,
        )
        self.references = References(self.fleet, self.client, self.known)
        self.pauses = Pauses(self.fleet, self.known)
        self.enrolments = Enrolments(self.fleet)
        access = Access(self.store, TokenSets())
        self.passes = Passes(self.fleet, access, 900_000, 43_200_000, self._is_in)
        self.talks = Talks(self.fleet, Wakeups(self.fleet), lambda: f"said-{next(self._ids)}")
        self.sender = ForgeSender(
            self.client,
            self.store,
            self.labels,
            self.fleet.waiting,
            self.accounts,
            land=self.landings,
        )
        self.courier = Courier(
            self.store,
            {"forgejo": self.sender},
            self.clock,
            with_outbox(PATIENCE_DAYS),
            on_given_up=self.dead_letters.note,
        )

    async def _is_in(self, room: str, user: str) -> bool:
        return True

    def _guard(self) -> Guard | None:
        """Most stories are not about protection."""
        if not self.unprotected:
            return None
        refuses = self.unprotected == "refuse"
        return Guard(
            self.fleet,
            self.client,
            refuses=refuses,
            lands_itself=lambda names: self.lands_itself,
        )

    def _route(self, effect: RoomEffect) -> Sequence[str]:
        if isinstance(effect, ShowCard):
            return [f"cards:{room.partition(':')[2]}/{effect.task}" for room in self.told]
        if isinstance(effect, Notice):
            self.notices.append(effect)
        return () if isinstance(effect, ShowCard) else self.told

    async def _room_troubles(self) -> Sequence[str]:
        return ()

    @property
    def health(self) -> HealthReport:
        return HealthReport(
            self.fleet,
            self.probe,
            self.webhooks,
            self.known,
            "1.0",
            self.followups,
            self._room_troubles,
            lambda: "ok",
        )

    def prepare_setup(self) -> None:
        survey = Survey(
            self.client,
            self.labels,
            self._place,
            self._hear,
            self.clock,
            hook_url=self.hook_url,
            accounts=[],
            token_end=self.bot_token[-8:],
        )
        deeds = Deeds(self.client, self.webhooks.next_of, self._amend, self.hook_url, SECRET)
        self.walks = Walks(self.store, survey, deeds)
        repositories = OfRepositories(self.fleet, self.known, self.webhooks, survey)
        host = OfTheHost(self.root / "fleet.db", self.fleet.store, self.client, {})
        self.exams: dict[str, Examine] = {
            "forgejo": repositories.on_forgejo,
            "webhooks": repositories.webhooks,
            "agents": OfAgents(self.fleet).examine,
            "runners": OfMachines(self.fleet).examine,
            "disk": host.disk,
            "versions": host.versions,
        }
        self.doctor = Doctor(self.health.check, self.exams)

    async def _hear(self, repo: Repository, is_listed: bool) -> Heard:
        if is_listed:
            await self.known.look(repo.full_name)
        return Heard(self.webhooks.heard_at(repo.id), self.webhooks.is_refusing)

    async def _amend(self, edit: Edit) -> None:
        """At once; the plugin makes its services anew then, after it has answered."""
        changed = copy.deepcopy(self.config)
        edit(changed)
        self.repositories[:] = changed["forge"]["repositories"]
        self.config["rooms"] = changed["rooms"]

    def _place(self, room: str, repo: str) -> Place:
        its = self.config["rooms"].get(room)
        return Place(
            is_listed=any(same_name(name, repo) for name in self.repositories),
            is_heard=its is not None and (not its["repos"] or repo in its["repos"]),
            default_repo=its["default_repo"] if its else None,
        )

    def _proven(self, claim: Claim, now: int) -> OutboxEntry:
        """What the room hears of whom it knows now."""
        return OutboxEntry(
            id=f"{claim.mxid} is {claim.login}",
            destination=f"matrix:{claim.room}",
            kind="words",
            payload=b"{}",
            due_at=now,
        )

    async def _follow_pull(self, task: TaskId) -> None:
        await self.followups.look(task)

    def _mask(self, text: str) -> str:
        return text.replace(self.secret, "***") if self.secret else text

    def _wake(self) -> None:
        self.woken += 1

    # -- Ann, a person

    async def issue(
        self,
        title: str = "Add a greeting",
        *,
        labels: Sequence[str] = ("fleet",),
        assignees: Sequence[str] = (),
    ) -> Issue:
        ids = await self.ann.label_ids(REPO, labels)
        return await self.ann.create_issue(REPO, title, label_ids=ids, assignees=assignees)

    async def comments(self, number: int = 1) -> tuple[Comment, ...]:
        return await self.ann.comments(REPO, number)

    async def take(
        self, repo: str, number: int, actor: str = "matrix:@ann:hs", agent: AgentName | None = None
    ) -> Task:
        """She asks the fleet for an issue."""
        request = wire.NewTaskRequest(repo=repo, issue=number)
        return await self.new_tasks.make(request, actor, agent)

    async def open(self, title: str, body: str = "", *, key: str = "") -> Task:
        """She has the fleet open an issue."""
        request = wire.NewTaskRequest(repo=REPO, title=title, body=body)
        return await self.new_tasks.make(request, "matrix:@ann:hs", key=key)

    async def journal(self, stream: str = "task:") -> list[Recorded]:
        """What has happened, by default to tasks."""
        return [line for line in await self.store.events() if line.stream.startswith(stream)]

    def fleet_hears_of(self, number: int) -> asyncio.Future[None]:
        """Done when the issue has become a task."""
        heard = asyncio.get_running_loop().create_future()

        def listen(lines: Sequence[Recorded]) -> None:
            if self.fleet.state.task_of_issue(REPO, number) and not heard.done():
                heard.set_result(None)

        self.fleet.listen(listen)
        return heard

    @property
    def repo_id(self) -> int:
        return self.forge.repo(REPO).id

    async def look(self, number: int = 1) -> Task | None:
        """Something has brought up the issue."""
        repo = await self.known.look(REPO)
        return await self.issues.look(repo.id, number, TEST)

    async def has_ci(self) -> None:
        """The repository has a workflow; nothing has run it yet."""
        workflow = {".forgejo/workflows/ci.yml": "on: [push, pull_request]\n"}
        await self.forge.commit(REPO, "main", workflow, "Test everything", by=ANN)

    # -- what the loops do

    async def hear(self) -> None:
        """Every webhook that is under way arrives and is acted on."""
        await self.forge.delivered()
        await self.intake.tick()

    async def settle(self) -> None:
        """Both directions, until nothing is left to do."""
        await self.hear()
        await self.courier.tick()
        await self.hear()

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert verify_signature(SECRET, body, request.headers)
        await self.intake.receive(parse_delivery(request.headers, body), body)
        return web.Response(status=204)

    # -- an agent

    async def task(self, number: int = 1) -> Task:
        task = await self.fleet.task_of_issue(REPO, number)
        assert task is not None, f"{REPO}#{number} is no task"
        return task

    async def given_running(self, agent: AgentName = CLAUDE, *, at_once: int = 1) -> Run:
        """The next task is at work with the agent, which takes so many at once."""
        registration = AgentRegistered(adapter="command", max_concurrency=at_once)
        await self.fleet.commit(cmd.RegisterAgent(agent, registration), TEST)
        run = RunId(f"r{next(self._ids)}")
        await self.fleet.commit(cmd.Dispatch(agent, run), TEST)
        await self.fleet.commit(cmd.StartRun(run, agent), TEST)
        return self.fleet.state.runs[run]

    async def pull_request(
        self, run: Run, *, path: str = "hello.txt", body: str = "Closes #1"
    ) -> PullRequest:
        """The agent's work: a commit on the run's branch and a pull request, by the bot."""
        await self.forge.commit(REPO, run.branch, {path: "hello\n"}, "Add a greeting", by=BOT)
        return await self.client.create_pull(
            REPO, head=run.branch, base="main", title="Add a greeting", body=body
        )

    async def given_receipt(
        self,
        run: Run,
        pull: PullRequest,
        *,
        summary: str = "Greets.",
        head: str | None = None,
        path: str = "hello.txt",
    ) -> ReceiptId:
        receipt = Receipt(
            id=ReceiptId(f"c{next(self._ids)}"),
            pull_request=pull.number,
            branch=run.branch,
            head=head or pull.head.sha,
            files=(path,),
            summary=summary,
        )
        await self.fleet.commit(cmd.FileReceipt(run.id, run.agent, receipt), TEST)
        return receipt.id

    async def given_filed(self, **receipt: str) -> tuple[Run, PullRequest, ReceiptId]:
        """A labelled issue, worked on, with a pull request and its receipt."""
        await self.issue()
        await self.hear()
        run = await self.given_running()
        pull = await self.pull_request(run)
        return run, pull, await self.given_receipt(run, pull, **receipt)


@asynccontextmanager
async def open_stage(root: Path) -> AsyncIterator[Stage]:
    clock = Clock()
    async with AsyncExitStack() as open_things:
        enter = open_things.enter_async_context
        forge = await enter(DevForge.start(root / "forge", now=clock.moment))
        ann, bot = forge.add_user(ANN), forge.add_user(BOT)
        await forge.create_repo(ANN, "app", {"README.md": "An app\n"}, labels=["fleet"])
        forge.add_collaborator(REPO, BOT, "write")
        store = await enter(SqliteBackend(root).open())
        stage = Stage(
            root,
            forge,
            store,
            clock,
            await enter(ForgeClient(forge.url, bot, delays=())),
            await enter(ForgeUser(forge.url, ann)),
            bot,
        )
        await stage.fleet.start()
        stage.hook_url = await enter(_hook_receiver(stage))
        stage.prepare_setup()
        await stage.ann.create_hook(REPO, stage.hook_url, SECRET, ["issues", "pull_request"])
        yield stage


@asynccontextmanager
async def _hook_receiver(stage: Stage) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", stage.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/hook"
    finally:
        await runner.cleanup()
