"""What of the settings is valid and yet hardly meant: pure."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from fleetbot.services.findings import Finding, Mark
from fleetbot.settings import BudgetSettings, RoomSettings, Settings

_LONG_SECONDS = 3600


def advice(settings: Settings, address: str) -> list[Finding]:
    """`address`: where maubot says that we are found over HTTP."""
    odd = [*_odd(settings), *_odd_address(settings.forge.url, address)]
    found = [Finding("settings", Mark.WARN, says, (remedy,)) for says, remedy in odd]
    return found or [Finding("settings", Mark.WELL, "nothing contradicts")]


def _odd(settings: Settings) -> Iterator[tuple[str, str]]:
    if not settings.forge.repositories:
        yield "`forge.repositories` is empty", "`!fleet setup owner/repo` adds one"
    if not settings.rooms:
        yield "`rooms` is empty: nobody hears of anything", "`!fleet setup` in a room adds it"
    for repo in settings.forge.repositories if settings.rooms else ():
        if not any(room.hears(repo) for room in settings.rooms.values()):
            yield f"no room hears of `{repo}`", f"`!fleet setup {repo}` in the room that shall"
    if settings.forge.reconcile_seconds > _LONG_SECONDS:
        says = "`forge.reconcile_seconds` is more than an hour"
        yield says, "A lost webhook costs as much: 300 is usual"
    for id, room in settings.rooms.items():
        yield from _odd_rights(id, room)
    yield from _odd_budget(settings.budget)


def _odd_address(forge: str, address: str) -> Iterator[tuple[str, str]]:
    """What maubot has of itself by default leads nowhere."""
    host = urlsplit(address).hostname or ""
    if host == "example.com" or (_is_here(host) and not _is_here(urlsplit(forge).hostname or "")):
        says = f"Forgejo and runners are told to find fleetbot at `{address}`"
        yield says, "Set `server.public_url` in maubot's configuration to what they can reach"


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _odd_rights(id: str, room: RoomSettings) -> Iterator[tuple[str, str]]:
    for name, people in room.allow.items():
        if not people:
            yield f"`rooms.{id}.allow.{name}` is empty: nobody may", "Name somebody, or drop it"
        elif name in room.levels:
            says = f"`rooms.{id}.levels.{name}` has no effect beside `allow.{name}`"
            yield says, "Drop one of them"


def _odd_budget(budget: BudgetSettings) -> Iterator[tuple[str, str]]:
    for unit, task, day in (
        ("usd", budget.task_usd, budget.day_usd),
        ("tokens", budget.task_tokens, budget.day_tokens),
    ):
        if 0 < day < task:
            says = f"`budget.day_{unit}` is less than `budget.task_{unit}`"
            yield says, "One task may use up the day"
