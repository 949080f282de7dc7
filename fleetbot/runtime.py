"""The fleet with one set of settings: what the plugin starts, and makes anew when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from aiohttp import web
from maubot.matrix import MaubotMatrixClient

from fleetbot import __version__, wire
from fleetbot.chat.assembly import Services, chat_of, voices_of
from fleetbot.chat.commands.enrolling import TokenMessages
from fleetbot.chat.commands.knowing import told as proven_told
from fleetbot.chat.commands.outside import Outside
from fleetbot.chat.commands.rights import Rights
from fleetbot.chat.commands.setting_up import SettingUp
from fleetbot.chat.hearing.assembly import ears_of
from fleetbot.chat.speaking import homeserver
from fleetbot.chat.speaking.audience import Audience
from fleetbot.chat.speaking.destinations import SENDERS
from fleetbot.chat.speaking.direct import Direct
from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Pace
from fleetbot.chat.speaking.persons import Persons
from fleetbot.chat.speaking.quoting import Quoting
from fleetbot.chat.speaking.rooms import Rooms
from fleetbot.chat.speaking.sender import RoomSender
from fleetbot.chat.speaking.widgets import Widgets
from fleetbot.chat.threads.log import ThreadLog
from fleetbot.chat.words.story import steps
from fleetbot.domain import effects as fx
from fleetbot.domain.events import AgentRegistered, Recorded
from fleetbot.domain.model import ReceiptId, Run
from fleetbot.fence import Leads, always
from fleetbot.logs import Log, OwnLines
from fleetbot.loops import Loop, Tick, told
from fleetbot.orchestrator import Orchestrator, new_id, now_ms
from fleetbot.services.access import Access
from fleetbot.services.agents import Agents
from fleetbot.services.board.board import Board
from fleetbot.services.delays import Delays
from fleetbot.services.findings import Finding
from fleetbot.services.forge_effects import ForgeSender
from fleetbot.services.health import HealthReport
from fleetbot.services.outbox import Courier
from fleetbot.services.passes import Passes
from fleetbot.services.runs import Runs
from fleetbot.services.setup.mapping import Edit
from fleetbot.services.traces import Traces
from fleetbot.services.wishes import Wishes
from fleetbot.settings import Settings
from fleetbot.store.interface import Deposed, Store, StoreUnavailable
from fleetbot.store.records import OutboxEntry
from fleetbot.tracing import Spans, open_spans
from fleetbot.upkeep import Upkeep, leave
from fleetbot.web import Parts, WebApi
from fleetbot.web.webhooks import WEBHOOK_PATH

_HOUR = 3600.0
_ANSWER_SECONDS = 20.0  # what Forgejo is given to answer within, and a little


class Runtime:
    """Everything that lives between a start and a stop, wired together.

    `address`: where we are found over HTTP. `amend` has the configuration changed soon, or raises
    `SettingsError`. `is_shared`: whether other plugins use the bot's Matrix account. `on_deposed`
    hears that the database is another's by now. Nothing is said or done outside unless `leads`.
    `follows` tells whether another led before.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        matrix: MaubotMatrixClient,
        log: logging.Logger,
        address: str,
        amend: Callable[[Edit], object] = leave,
        database: Path | None = None,
        is_shared: Callable[[], bool] = lambda: False,
        on_deposed: Callable[[Exception], None] = lambda why: None,
        leads: Leads = always,
        follows: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._address = address
        self._amend = amend
        self._database = database
        self._log = Log(log, {})
        self._lines = OwnLines()
        self._spans: Spans | None = None
        self._traces: Traces | None = None
        self._matrix = matrix
        self._is_shared = is_shared
        self._leads = leads
        self._follows = follows
        self._delays = Delays()
        self._its = Orchestrator(settings, store, log, self._route, self._wake, proven_told, leads)
        self.fleet = self._its.fleet
        self._build_traces()
        self._build_upkeep()
        self._build_speech(store)
        self._build_commands()
        self._build_ears(store)
        self._build_voices()
        self._build_courier(store)
        self._build_health()
        self._build_web()
        self._build_loops()
        self.fleet.listen(self._on_lines)
        self.fleet.listen_for_deposition(on_deposed)

    def _build_traces(self) -> None:
        if endpoint := self._settings.traces.endpoint:
            self._spans = open_spans(endpoint, "fleetbot", __version__)
            self._traces = Traces(self.fleet, self._spans)
            self._its.intake.listen(self._traces.webhook)

    def _build_upkeep(self) -> None:
        upkeep = Upkeep(
            self._settings,
            self.fleet,
            self._its.forge,
            self._its.repositories,
            self._its.webhooks,
            self._amend,
            self._address,
            f"{self._address}{WEBHOOK_PATH}",
        )
        self._walks = upkeep.walks()
        exams = {"homeserver": self._examine_homeserver}
        self._doctor = upkeep.doctor(self._check_health, self._database, exams)

    async def _check_health(self) -> wire.Health:
        return await self._health.check()

    async def _examine_homeserver(self) -> Sequence[Finding]:
        return await homeserver.examine(self._link, now_ms() - self._ears.listening.synced_at)

    def _build_speech(self, store: Store) -> None:
        self._link = Link(self._matrix, Pace(now_ms), self._leads, follows=self._follows)
        self._rooms = Rooms(self._settings.rooms, self._link, store, now_ms)
        self._audience = Audience(self._rooms, self.fleet)
        self._sender = RoomSender(self._link, store, now_ms, self._rooms.where)
        self._direct = Direct(self._link, store)
        self._widgets = Widgets(
            self._link.set_state, self._link.power_then, self._link.own_id, self._address
        )
        self._access = Access(store, self._settings.auth.token_sets)
        self._passes = Passes(
            self.fleet,
            self._access,
            self._settings.board.links_ms,
            self._settings.board.sessions_ms,
            self._is_in,
        )
        self._token_messages = TokenMessages(self._its.enrolments, self._direct.take_back)

    def _build_commands(self) -> None:
        settings, its, link = self._settings, self._its, self._link
        rights, trigger = Rights(link.power_level), settings.labels.trigger
        operators = settings.chat.operators
        self._setting_up = SettingUp(self.fleet, self._walks, rights, operators, trigger)
        self._chat = chat_of(
            Services(
                fleet=self.fleet,
                tasks=its.tasks,
                references=its.references,
                priorities=its.priorities,
                pauses=its.pauses,
                enrolments=its.enrolments,
                people=its.people,
                landings=its.landings,
                proofs=its.proofs,
                repositories=its.repositories,
                talks=its.talks,
                outside=Outside(self.fleet, its.probe, its.webhooks),
                power_level=link.power_level,
                upload_limit=link.most_uploaded,
                message=Quoting(link, self._matrix).message,
                tell=self._direct.tell,
                setting_up=self._setting_up,
                doctor=self._doctor,
                dead_letters=its.dead_letters,
                passes=self._passes,
                widgets=self._widgets,
                is_framed=bool(settings.board.frames),
                address=self._address,
                trigger=trigger,
                thread_per_task=settings.chat.threads == "task",
            )
        )

    def _build_ears(self, store: Store) -> None:
        self._ears = ears_of(
            self._chat,
            self._matrix,
            self._link,
            self._rooms,
            self._sender,
            store,
            now_ms,
            wake=partial(self._wake, "rooms"),
            on_kept=self._deliver_now,
            on_admitted=self._speak_again,
            on_looked_at=self._look_at,
            on_heard=self._delays.note_heard,
            is_shared=self._is_shared,
            describes=self._settings.chat.command_state,
        )

    def _build_voices(self) -> None:
        fleet, its, chat, link = self.fleet, self._its, self._settings.chat, self._link
        persons = Persons(fleet, link, its.people.mxid_of, chat.operators)
        rooms, sender, audience = self._rooms, self._sender, self._audience
        self._voices = voices_of(
            fleet, its.talks, link, rooms, sender, audience, persons, chat.daily
        )
        self._threads = ThreadLog(
            fleet,
            link,
            audience.places_of,
            wake=partial(self._wake, "threads"),
            per_task=chat.threads == "task",
        )
        fleet.listen(self._threads.hear)

    def _build_courier(self, store: Store) -> None:
        settings, its = self._settings, self._its
        forge = ForgeSender(
            its.forge,
            store,
            settings.labels,
            self.fleet.waiting,
            settings.forge.logins,
            land=its.landings,
        )
        self._courier = Courier(
            store,
            {"forgejo": forge, **self._voices.senders},
            now_ms,
            settings.outbox.patience,
            on_given_up=its.dead_letters.note,
            on_sent=self._on_sent,
        )
        self.fleet.listen_for_effects(self._deliver_now)

    def _build_health(self) -> None:
        its = self._its
        self._health = HealthReport(
            self.fleet,
            its.probe,
            its.webhooks,
            its.repositories,
            __version__,
            its.followups,
            self._ears.listening.troubles,
            lambda: told(self._loops.values()),
            self._leads,
        )

    def _build_web(self) -> None:
        settings, its = self._settings, self._its
        self._web = WebApi(
            Parts(
                fleet=self.fleet,
                access=self._access,
                agents=Agents(self.fleet, settings.runs.rhythm, its.overlaps),
                enrolments=its.enrolments,
                runs=self._runs(),
                talks=its.talks,
                tasks=its.tasks,
                pauses=its.pauses,
                intake=its.intake,
                dead_letters=its.dead_letters,
                probe=its.probe,
                webhooks=its.webhooks,
                webhook_secret=settings.forge.webhook_secret,
                health=self._health.check,
                doctor=self._doctor,
                board=self._board(),
                claims_waiting=lambda: its.dispatcher.waiting,
                loops=lambda: [loop.health() for loop in self._loops.values()],
                sending=self._link.pace.report,
                synced_at=lambda: self._ears.listening.synced_at,
                delays=self._delays,
                database=self._database,
                version=__version__,
                address=self._address,
                leads=self._leads,
            )
        )

    def _board(self) -> Board:
        settings = self._settings
        return Board(
            self.fleet,
            self._passes,
            self._audience.hears,
            steps,
            self._health.check,
            settings.forge.url,
            __version__,
            settings.board.frames,
        )

    async def _is_in(self, room: str, user: str) -> bool:
        """Whether somebody is in a room of the settings, under whatever id it goes on now."""
        if room not in self._settings.rooms:
            return False
        return await self._link.is_member(await self._rooms.where(room), user)

    def _runs(self) -> Runs:
        its = self._its
        return Runs(
            self.fleet,
            its.dispatcher,
            its.wakeups,
            lambda: ReceiptId(new_id("receipt")),
            self._threads.expect,
            its.gate.admits,
            self._traceparent,
        )

    def _build_loops(self) -> None:
        ticks: dict[str, tuple[Tick, float]] = {
            "deliver": (self._deliver, 30),
            "verify": (self._verify, 30),
            "followups": (self._follow_up, 60),
            "intake": (self._take_in, 30),
            "timers": (self._its.timers.tick, 1),
            "overlaps": (self._its.overlaps.tick, 60),
            "waits": (self._its.timers.note_waits, 30),
            "cards": (self._voices.cards.look, 30),
            "digest": (self._voices.digest.tick, _HOUR),
            "threads": (self._threads.tick, 30),
            "rooms": (self._ears.listening.tick, 60),
            "questions": (self._voices.questions.renew, _HOUR),
            "reconcile": (self._its.reconciler.tick, self._settings.forge.reconcile_seconds),
            "probe": (self._its.probe.tick, 60),
            "tokens": (self._token_messages.tick, 30),
            "webhooks": (self._its.webhooks.tick, 60),
            "dead_letters": (self._its.dead_letters.tell, 60),
            "setup": (self._setting_up.tick, 30),
            "drafts": (Wishes(self.fleet).tick, _HOUR),
            "prune": (self._its.timers.prune, _HOUR),
            "archive": (self._its.archiving(self._database).tick, _HOUR),
        }
        self._loops = {
            name: Loop(
                name, _unless_deposed(tick), interval, self._log.logger, told=(StoreUnavailable,)
            )
            for name, (tick, interval) in ticks.items()
        }

    # ticks that know when they are wanted next

    async def _deliver(self) -> float | None:
        await self._courier.tick()
        return _seconds_until(await self._courier.next_due())

    async def _verify(self) -> float | None:
        await self._its.verifier.tick()
        return _seconds_until(self._its.verifier.next_due())

    async def _follow_up(self) -> float | None:
        await self._its.followups.tick()
        return _seconds_until(self._its.followups.next_due())

    async def _take_in(self) -> float | None:
        await self._its.intake.tick()
        return _seconds_until(await self._its.intake.next_due())

    # life

    async def start(self) -> None:
        """Take the state from disk and begin; where it cannot be had now, the loops go on trying.

        Raises `Deposed` where it is another's.
        """
        if self._settings.logs.format == "json":
            self._lines = OwnLines(logging.getLogger("fleetbot"), self._log.logger)
        try:
            await self.fleet.start()
            self._log.info("The journal ends at %s", await self.fleet.store.head())
        except Deposed:
            raise
        except StoreUnavailable as error:
            self._log.error("The fleet's state cannot be read; it is tried again: %s", error)
        for loop in self._loops.values():
            loop.start()
        self._ears.listening.start()

    async def stop(self) -> None:
        """Stop listening, send home who waits, end the loops, and let the last commits land."""
        await self._ears.close()
        self._its.dispatcher.close()
        self._its.wakeups.close()
        self._web.close()
        for loop in self._loops.values():
            await loop.stop()
        if not await self._web.finished(_ANSWER_SECONDS):
            self._log.warning("Stopping, though some requests are not answered yet")
        await self.fleet.close()
        await self._its.forge.close()
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)
        self._lines.off()

    async def answered(self, seconds: float) -> None:
        """Wait, for so long at most, until what people are saying has its answers."""
        await self._ears.inbound.finished(seconds)

    def settings_stay(self) -> None:
        """A change of the configuration that was asked for has come to nothing."""
        self._walks.settled()
        self._wake("setup")

    def routes(self) -> list[web.RouteDef]:
        return self._web.routes()

    def _route(self, effect: fx.RoomEffect) -> Sequence[str]:
        return self._audience.route(effect)

    def _on_sent(self, entry: OutboxEntry, at: int) -> None:
        self._delays.note_sent(entry.destination.partition(":")[0], at - entry.due_at)
        if self._traces is not None:
            self._traces.sent(entry, at)

    def _traceparent(self, run: Run) -> str:
        return self._traces.of_run(run).traceparent if self._traces else ""

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        self._its.verifier.wake()
        self._wake("verify")
        if any(isinstance(line.event, AgentRegistered) for line in lines):
            self._wake("tokens")

    def _deliver_now(self) -> None:
        self._courier.wake()
        self._wake("deliver")

    def _speak_again(self) -> None:
        """A room can be used again: what waits for it goes at once."""
        self._threads.resume()
        for sender in SENDERS:
            self._courier.resume(sender)
        self._wake("deliver", "questions")

    async def _look_at(self, room: str, event: str) -> None:
        await self._threads.look_at(room, event)

    def _wake(self, *names: str) -> None:
        for name in names:
            self._loops[name].wake()


def _unless_deposed(tick: Tick) -> Tick:
    """That another leads ends all loops, and is told once."""

    async def tick_on() -> float | None:
        try:
            return await tick()
        except Deposed:
            return None

    return tick_on


def _seconds_until(at: int | None) -> float | None:
    return None if at is None else max(0.0, (at - now_ms()) / 1000)
