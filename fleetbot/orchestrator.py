"""The services for one set of settings: what the web, the chat and the loops work with."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fleetbot.domain import effects as fx
from fleetbot.domain.model import RunId, TaskId
from fleetbot.fence import Leads, always
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.services.archiving import Archiving
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.enrolments import Enrolments
from fleetbot.services.fleet import Fleet
from fleetbot.services.followups import Followups
from fleetbot.services.gate import Gate
from fleetbot.services.intake import Intake
from fleetbot.services.issues import Issues
from fleetbot.services.landing import Landings
from fleetbot.services.newtasks import NewTasks
from fleetbot.services.overlaps import Overlaps
from fleetbot.services.pauses import Pauses
from fleetbot.services.people import People
from fleetbot.services.priorities import Priorities
from fleetbot.services.probe import ForgeProbe
from fleetbot.services.proofs import Proofs, Told
from fleetbot.services.protection import Guard
from fleetbot.services.reconcile import Reconciler
from fleetbot.services.references import References
from fleetbot.services.repairs import Repairs
from fleetbot.services.repositories import Repositories
from fleetbot.services.talks import Talks
from fleetbot.services.tasks import Tasks
from fleetbot.services.timers import Timers
from fleetbot.services.verification import Verifier
from fleetbot.services.wakeups import Wakeups
from fleetbot.services.webhooks import Webhooks
from fleetbot.settings import Settings
from fleetbot.store.interface import Store


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(6)}"


class Orchestrator:
    """`route` tells which rooms hear of an effect; `wake` has the loop of that name run soon;
    `proven` are the words for people who have proven which account is theirs; nothing is changed
    on Forgejo unless `leads`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        log: logging.Logger,
        route: Callable[[fx.RoomEffect], Sequence[str]],
        wake: Callable[[str], None],
        proven: Told,
        leads: Leads = always,
    ) -> None:
        self.settings = settings
        self.store = store
        self.fleet = Fleet(store, settings.policy, now_ms, route)
        self.forge = ForgeClient(
            settings.forge.url,
            settings.forge.token,
            login=settings.forge.login or None,
            ca_file=settings.forge.ca_file,
            on_failure=self._note_failure,
            leads=leads,
        )
        self._build_queue()
        self._build_forge_side(log, wake)
        self._build_verification(wake, proven)
        self._build_tasks()

    def _build_queue(self) -> None:
        fleet, settings = self.fleet, self.settings
        self.dispatcher = Dispatcher(fleet, lambda: RunId(new_id("run")))
        self.wakeups = Wakeups(fleet)
        self.timers = Timers(fleet, self.dispatcher, settings.keep.logs_ms)
        self.talks = Talks(fleet, self.wakeups, lambda: new_id("message"))

    def _build_forge_side(self, log: logging.Logger, wake: Callable[[str], None]) -> None:
        fleet, settings = self.fleet, self.settings
        self.probe = ForgeProbe(
            fleet,
            self.forge,
            settings.forge.repositories,
            log,
            on_doubt=partial(wake, "probe"),
        )
        guard = Guard(
            fleet,
            self.forge,
            refuses=settings.forge.unprotected == "refuse",
            accounts=tuple(settings.forge.accounts.values()),
            lands_itself=settings.landing.is_auto,
        )
        self.repositories = Repositories(fleet, self.forge, settings.forge.repositories, guard)
        self.webhooks = Webhooks(fleet, self.repositories)
        self.issues = Issues(
            fleet,
            self.forge,
            settings.labels,
            self.repositories,
            lambda: TaskId(new_id("task")),
            self._follow_pull,
        )
        self.overlaps = Overlaps(fleet, settings.overlap.ignore, partial(wake, "overlaps"))
        self.references = References(fleet, self.forge, self.repositories)
        self.gate = Gate(fleet, self.repositories, self.issues, self.overlaps)

    def _build_verification(self, wake: Callable[[str], None], proven: Told) -> None:
        fleet, settings = self.fleet, self.settings
        self.verifier = Verifier(
            fleet,
            self.forge,
            settings.rules,
            self.issues.follow,
            on_poke=partial(wake, "verify"),
        )
        self.followups = Followups(
            fleet,
            self.forge,
            settings.rules,
            settings.mask,
            on_poke=partial(wake, "followups"),
        )
        self.people = People(self.store, settings.chat.people)
        self.landings = Landings(
            fleet, self.forge, self.followups, self.people, settings.landing.is_auto
        )
        self.proofs = Proofs(fleet, self.forge, self.people, proven)
        self.intake = Intake(
            fleet,
            self.forge,
            self.verifier,
            self.followups,
            self.issues,
            self.repositories,
            self.webhooks,
            on_arrival=partial(wake, "intake"),
            on_proof=self.proofs.heard,
        )
        self.reconciler = Reconciler(
            fleet,
            self.forge,
            self.issues,
            Repairs(fleet, self.forge, settings.labels, settings.forge.logins),
            self.repositories,
            self.webhooks,
        )

    def _build_tasks(self) -> None:
        fleet, settings = self.fleet, self.settings
        self.dead_letters = DeadLetters(fleet)
        new_tasks = NewTasks(fleet, self.forge, self.issues, settings.labels, self.repositories)
        self.priorities = Priorities(
            fleet, self.forge, self.issues, settings.labels, self.repositories
        )
        self.tasks = Tasks(
            fleet, new_tasks, self.priorities, self.landings.wish_of, self.followups.shown
        )
        self.pauses = Pauses(fleet, self.repositories)
        self.enrolments = Enrolments(fleet)

    def archiving(self, database: Path | None) -> Archiving:
        """`database`: the file, on SQLite."""
        journal = self.settings.journal
        beside = database and database.with_name(f"{database.name}.archive")
        folder = Path(journal.archive_folder) if journal.archive_folder else beside
        return Archiving(self.fleet, journal.archive_ms, folder)

    async def _follow_pull(self, task: TaskId) -> None:
        await self.followups.look(task)

    def _note_failure(self, error: ForgeError) -> None:
        self.probe.heard(error)
