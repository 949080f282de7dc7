"""A client of fleetbot's HTTP interface: one method for each of its calls, by the same names.

    async with connect("https://matrix.example.org/_matrix/maubot/plugin/fleetbot", token) as fleet:
        for task in (await fleet.tasks.list(state=[TaskState.FAILED])).tasks:
            await fleet.tasks.retry(task.id)

What is sent and what comes back are the messages of `fleetbot.wire`; whatever else comes of a call
is a `CallError`. Nothing is tried again by itself, but for the stream of events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from fleetbot.client.agents import AgentCalls, AskCalls, ReceiptCalls, RunCalls
from fleetbot.client.errors import (
    CallError,
    ProblemError,
    Refused,
    Superseded,
    Unable,
    Unauthorized,
    Unreachable,
)
from fleetbot.client.feed import EventCalls
from fleetbot.client.people import (
    DoctorCalls,
    FleetCalls,
    OutboxCalls,
    ServiceCalls,
    TaskCalls,
    UsageCalls,
    WebhookCalls,
)
from fleetbot.client.transport import Http
from fleetbot.network import open_session

__all__ = [
    "CallError",
    "Client",
    "ProblemError",
    "Refused",
    "Superseded",
    "Unable",
    "Unauthorized",
    "Unreachable",
    "connect",
]


class Client:
    """All calls, by the group that their operation ids begin with."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str = "") -> None:
        http = Http(session, url, token)
        self.agents = AgentCalls(http)
        self.runs = RunCalls(http)
        self.asks = AskCalls(http)
        self.receipts = ReceiptCalls(http)
        self.tasks = TaskCalls(http)
        self.events = EventCalls(http)
        self.fleet = FleetCalls(http)
        self.usage = UsageCalls(http)
        self.outbox = OutboxCalls(http)
        self.webhooks = WebhookCalls(http)
        self.doctor = DoctorCalls(http)
        self.service = ServiceCalls(http)


@asynccontextmanager
async def connect(url: str, token: str = "", *, ca_file: str = "") -> AsyncIterator[Client]:
    """`url`: the plugin's address. `ca_file` is trusted in place of the system's certificates; a
    proxy is taken from the environment."""
    async with open_session(ca_file, url) as session:
        yield Client(session, url, token)
