"""The composition root: opens, wires, starts, stops. It decides nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from maubot import Plugin
from maubot.client import Client as Account
from mautrix.util.async_db import Database, Scheme
from mautrix.util.config import BaseProxyConfig

from fleetbot import __version__
from fleetbot.chat.hearing.unconfigured import Unconfigured
from fleetbot.configuration import Config
from fleetbot.domain.leadership import Holder
from fleetbot.interrupts import Interrupts
from fleetbot.leading import NO_SEAT, Leading, leader_of, words
from fleetbot.orchestrator import now_ms
from fleetbot.runtime import Runtime
from fleetbot.services.access import Access
from fleetbot.services.setup.mapping import Edit
from fleetbot.settings import Settings, SettingsError
from fleetbot.store.seat import FileSeat, Seat, on_postgres
from fleetbot.succession import replaces_another
from fleetbot.web import changing_routes, unconfigured_routes
from fleetbot.web.standby import standby_routes

_ANSWER_SECONDS = 10.0  # what people who are being answered are given before a change


class FleetBot(Plugin):
    config: Config

    _turn: asyncio.Lock
    _amending: set[asyncio.Task[None]]
    _interrupts: Interrupts
    _seat: Seat
    _leading: Leading
    _is_open = False
    _runtime: Runtime | None = None
    _unconfigured: Unconfigured | None = None
    _settings: Settings | str = ""  # in force, or what is wrong with those there are

    def __init__(self, *given: Any, **named: Any) -> None:
        """Where this is an upgrade and the database cannot be brought up to date, it must show
        now: the version before is put back, and finds the database as it left it."""
        super().__init__(*given, **named)
        if replaces_another(self.loader):
            self._seat_here().prepare()

    @classmethod
    def get_config_class(cls) -> type[BaseProxyConfig]:
        return Config

    async def start(self) -> None:
        """Comes up even where the configuration is not complete, Forgejo is away or another leads,
        and says so."""
        self._turn = asyncio.Lock()
        self._amending = set()
        self._interrupts = Interrupts()
        self._interrupts.take()
        self.client.ignore_first_sync = False  # what was said while maubot was down counts too
        try:
            self._seat = self._seat_here()
            self._leading = Leading(self._seat, self.log, self._attempt, self._step_down)
            self._is_open = True
            self._leading.start()
            async with self._turn:
                await self._apply(self._read_settings())
        except BaseException:
            await self.pre_stop()
            raise
        self.log.info("fleetbot %s started", __version__)

    async def pre_stop(self) -> None:
        async with self._turn:
            for waiting in self._amending:
                waiting.cancel()
            self._serve([])
            await self._halt()
            if self._is_open:
                self._is_open = False
                await self._leading.stop()
                await self._seat.leave()
            self._interrupts.give_back()

    async def on_external_config_update(self) -> None:
        """Apply what the management UI saved, or refuse it and keep what was in force.

        One change at a time: two at once would leave two authorities on one journal.
        """
        async with self._turn:
            if not self._is_open:  # it was stopped meanwhile
                return
            try:
                await self._change(self.config.read)
            except SettingsError as error:
                raise web.HTTPBadRequest(text=str(error)) from error
            except Exception as error:
                text = f"It cannot be put in force, and the old one stays: {error}"
                raise web.HTTPInternalServerError(text=text) from error

    async def _change(self, read: Callable[[], Settings]) -> None:
        before = self.config.snapshot()
        try:
            await self._apply(read())
        except SettingsError as error:
            self.log.error("The new configuration is refused: %s", error)
            self.config.refuse(before)
            raise
        except Exception:
            self.log.exception("The new configuration cannot be put in force; the old one stays")
            self.config.put_back(before)
            raise
        self.log.info("The new configuration is %s", "in force" if self._runtime else "kept")

    def amend(self, edit: Edit) -> asyncio.Task[None]:
        """Have the configuration changed as soon as whoever asks for it has their answer.

        Raises SettingsError where it would not be valid.
        """
        self.config.amend(edit, save=False)
        task = asyncio.create_task(self._amend_in_turn(edit))
        self._amending.add(task)
        task.add_done_callback(self._amending.discard)
        return task

    async def _amend_in_turn(self, edit: Edit) -> None:
        if self._runtime is not None:
            await self._runtime.answered(_ANSWER_SECONDS)
        async with self._turn:
            if not self._is_open:
                return
            try:
                await self._change(partial(self.config.amend, edit, save=True))
            except Exception as error:  # it was logged; a runtime that was made anew says so itself
                self.log.debug("%s: nothing was changed", error)
                if self._runtime is not None:
                    self._runtime.settings_stay()

    def _read_settings(self) -> Settings | str:
        """The settings, or what is wrong with them."""
        try:
            return self.config.read()
        except SettingsError as error:
            return str(error)

    async def _apply(self, settings: Settings | str) -> None:
        """Have these settings in force. Raises what is wrong with them; then the old ones are.

        What is new is built before the old is let go, and only one of them works at a time.
        """
        runtime = self._built(settings)
        self._serve(changing_routes())
        await self._halt()
        try:
            await self._begin(runtime, settings)
        except Exception as error:
            await self._go_back(error)
            raise
        self._settings = settings

    async def _go_back(self, why: Exception) -> None:
        try:
            await self._begin(self._built(self._settings), self._settings)
        except Exception:
            text = f"fleetbot has stopped: {why}. Mend that, then restart the instance."
            self.log.exception("Nor can the old configuration be put in force again: %s", text)
            self._settings = text
            await self._leading.leave()  # to one that can work
            self._say_why_not(text)

    def _built(self, settings: Settings | str) -> Runtime | None:
        """None where there are no valid settings to build it with."""
        if isinstance(settings, str):
            return None
        address = str(self.webapp_url).rstrip("/")
        return Runtime(
            settings,
            self._seat.store,
            self.client,
            self.log,
            address,
            amend=self.amend,
            database=self._seat.path,
            is_shared=self._is_shared,
            on_deposed=self._leading.lost,
            leads=lambda: self._seat.leads,
            follows=lambda: self._seat.follows,
        )

    def _is_shared(self) -> bool:
        """Whether other plugins use the same Matrix account."""
        account = Account.cache.get(self.client.mxid)
        return account is not None and len(account.references) > 1

    async def _begin(self, runtime: Runtime | None, settings: Settings | str) -> None:
        if runtime is None or isinstance(settings, str):
            self.log.warning("fleetbot waits for its configuration: %s", settings)
            await self._leading.leave()  # to one that can work
            self._say_why_not(str(settings), aloud=await self._seat.is_vacant())
            return
        try:
            await self._leading.take(settings.leadership.lease_seconds)
            await runtime.start()
        except NO_SEAT as error:
            await runtime.stop()
            await self._stand_by(error)
            return
        except BaseException:
            await runtime.stop()
            raise
        self._runtime = runtime
        self._serve(runtime.routes())
        self._leading.leads()

    async def _stand_by(self, why: Exception) -> None:
        told = self._leading.stands_by(why)
        self._serve(standby_routes(told, leader_of(why), __version__, self._may_read))
        await self._leading.leave()

    def _may_read(self, token: str) -> bool:
        its = self._settings
        return isinstance(its, Settings) and Access(self._seat.store, its.auth.token_sets).may_read(
            token
        )

    async def _attempt(self) -> None:
        """Lead, if nobody else does any more, with the settings that were kept."""
        async with self._turn:
            settings = self._settings
            if not self._is_open or self._seat.is_taken or isinstance(settings, str):
                return
            try:
                await self._leading.take(settings.leadership.lease_seconds)
                await self._begin(self._built(settings), settings)
            except NO_SEAT as error:
                await self._stand_by(error)
            except BaseException:
                await self._leading.leave()
                raise

    async def _step_down(self, why: Exception) -> None:
        """Another leads: end all work at once, and wait for our turn."""
        async with self._turn:
            if self._is_open and self._seat.is_taken:
                told = words(why)
                self._serve(standby_routes(told, leader_of(why), __version__, self._may_read))
                await self._halt()
                await self._stand_by(why)

    def _say_why_not(self, why: str, *, aloud: bool = True) -> None:
        """To whoever calls, and `aloud` to rooms, unless another speaks there."""
        self._serve(unconfigured_routes(why, __version__))
        if aloud:
            self._unconfigured = Unconfigured(self.client)
            self._unconfigured.start()

    def _serve(self, routes: list[web.RouteDef]) -> None:
        """Answer requests with these from now on."""
        assert self.webapp is not None  # maubot.yaml asks for it
        self.webapp.clear()
        self.webapp.add_routes(routes)

    async def _halt(self) -> None:
        if self._unconfigured is not None:
            self._unconfigured.stop()
            self._unconfigured = None
        if self._runtime is not None:
            await self._runtime.stop()
            self._runtime = None

    def _seat_here(self) -> Seat:
        """In maubot's database for the instance, by connections of our own."""
        database, me = self.database, self._as_leader()
        if isinstance(database, Database) and database.scheme is Scheme.SQLITE:
            return FileSeat(Path(database.url.path), self._as_leader)
        if isinstance(database, Database) and database.scheme is Scheme.POSTGRES:
            schema = getattr(database, "schema_name", "public")  # none where maubot is standalone
            return on_postgres(str(database.url), schema, me)
        raise RuntimeError("fleetbot keeps its journal on SQLite or Postgres, and has neither here")

    def _as_leader(self) -> Holder:
        name, address = f"{self.id} on {socket.gethostname()}", str(self.webapp_url).rstrip("/")
        return Holder(name=name, address=address, since=now_ms())
