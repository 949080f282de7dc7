"""From what the configuration says to its values; what is wrong with it, and the way out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fleetbot import tracing
from fleetbot.domain.model import REPO, same_name
from fleetbot.settings import (
    BoardSettings,
    ChatSettings,
    ForgeSettings,
    RoomSettings,
    Settings,
    SettingsError,
    VerifySettings,
)

# Spaces and commas are slips; what else a homeserver lets an old account be called is its business.
_MATRIX_ID = re.compile(r"@[^\s,:]+:[^\s,/]+\Z")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.\[\]:-]+\Z", re.IGNORECASE)


def parse(data: Mapping[str, Any]) -> Settings:
    """Parse the configuration. Raises SettingsError with the setting's name and the way out."""
    try:
        settings = msgspec.convert(data, Settings)
    except msgspec.ValidationError as problem:
        raise SettingsError(_explain(str(problem), data)) from None
    _check_forge(settings.forge)
    _check_rooms(settings)
    _check_people(settings)
    _check_traces(settings)
    _check_verify(settings.verify)
    _check_chat(settings.chat)
    _check_board(settings.board)
    if settings.runs.lease_seconds <= settings.runs.heartbeat_seconds:
        raise SettingsError("runs.lease_seconds must be longer than runs.heartbeat_seconds.")
    return settings


def _check_forge(forge: ForgeSettings) -> None:
    if not re.match(r"https?://[^\s/]+", forge.url):
        raise SettingsError("forge.url must be an address like https://forgejo.example.org.")
    if not forge.token:
        raise SettingsError("forge.token is missing: make one on Forgejo for the bot's account.")
    if not forge.webhook_secret:
        raise SettingsError("forge.webhook_secret is missing: deliveries could not be trusted.")
    for repo in forge.repositories:
        if not REPO.match(repo):
            raise SettingsError(f"forge.repositories: {repo!r} is not of the form owner/name.")


def _check_chat(chat: ChatSettings) -> None:
    try:
        _ = chat.daily
    except ValueError as problem:
        raise SettingsError(f"chat.digest: {problem}.") from None


def _check_board(board: BoardSettings) -> None:
    """What is no origin would open the policy that goes to browsers, or close it."""
    for origin in board.frames:
        if not _ORIGIN.match(origin):
            raise SettingsError(
                f"board.frames: {origin!r} is not an origin like https://app.element.io."
            )


def _check_verify(verify: VerifySettings) -> None:
    given = {
        "required_contexts": bool(verify.required_contexts),
        "optional_contexts": bool(verify.optional_contexts),
        "without_ci": verify.without_ci == "refuse",
    }
    for name, wants_ci in given.items():
        if wants_ci and not verify.require_ci:
            raise SettingsError(f"verify.{name} means nothing without verify.require_ci: true.")


def _check_rooms(settings: Settings) -> None:
    for room, its in settings.rooms.items():
        if not room.startswith("!"):
            raise SettingsError(
                f"rooms: {room!r} is not a room id; it begins with '!' "
                "(in Element: room settings, Advanced)."
            )
        for repo in (*its.repos, *filter(None, [its.default_repo])):
            if not REPO.match(repo):
                raise SettingsError(f"rooms.{room}: {repo!r} is not of the form owner/name.")
            if not any(same_name(repo, listed) for listed in settings.forge.repositories):
                raise SettingsError(_unlisted(room, repo, settings.forge.repositories))


def _check_traces(settings: Settings) -> None:
    if settings.traces.endpoint and not tracing.is_there():
        raise SettingsError(f"traces.endpoint: what sends traces is missing: {tracing.NEEDED}.")


def _check_people(settings: Settings) -> None:
    """A Matrix id that is none would let in, or mention, nobody: a slip is refused."""
    named = {"chat.operators": settings.chat.operators}
    named |= {f"chat.people.{login}": (user,) for login, user in settings.chat.people.items()}
    for room, its in settings.rooms.items():
        named |= {f"rooms.{room}.allow.{name}": users for name, users in its.allow.items()}
    for setting, users in named.items():
        for user in users:
            if not _MATRIX_ID.match(user):
                raise SettingsError(
                    f"{setting}: {user!r} is not a Matrix id like @alice:example.org."
                )


def _unlisted(room: str, repo: str, listed: Sequence[str]) -> str:
    by_small = {name.lower(): name for name in listed}
    near = difflib.get_close_matches(repo.lower(), by_small, n=1)
    hint = f"did you mean {by_small[near[0]]}?" if near else "add it there, or take it out here."
    return f"rooms.{room}: {repo} is not in forge.repositories; {hint}"


def _explain(problem: str, data: Mapping[str, Any]) -> str:
    """`forge.tokn: unknown setting; did you mean token?` out of msgspec's words."""
    path = re.search(r" - at (?:`key` in )?`\$\.?([^`]*)`", problem)
    where = path[1] if path else ""
    message = problem.partition(" - at ")[0]
    if unknown := re.search(r"unknown field `([^`]+)`", message):
        return _unknown(where, unknown[1])
    if missing := re.search(r"missing required field `([^`]+)`", message):
        return f"{_join(where, missing[1])} is missing."
    return f"{where or 'the configuration'}{_plainly(message)}."


def _plainly(message: str) -> str:
    """` must be a number, not text` for msgspec's "Expected `float`, got `str`"."""
    if not message.startswith("Expected"):
        return f": {message[0].lower()}{message[1:]}"
    said = re.sub(r"`(\w+)`", lambda name: _KINDS.get(name[1], name[0]), message)
    return said.replace("Expected", " must be").replace(", got ", ", not ")


def _unknown(where: str, name: str) -> str:
    section: Any = Settings
    for part in filter(None, where.split(".")):
        section = _SECTIONS.get(part, RoomSettings)
    near = difflib.get_close_matches(name, section.__struct_fields__, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(section.__struct_fields__)}."
    return f"{_join(where, name)} is an unknown setting; {hint}"


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


_KINDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a section of settings",
    "null": "nothing",
}
_SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    field.name: field.type
    for field in msgspec.structs.fields(Settings)
    if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
}
