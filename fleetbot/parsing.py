"""From what the configuration says to its values; what is wrong with it, and the way out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fleetbot import tracing
from fleetbot.domain.model import REPO, same_name
from fleetbot.misfits import told
from fleetbot.settings import (
    BoardSettings,
    ChatSettings,
    ForgeSettings,
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
        text = told(problem, Settings, "a section of settings", "the configuration")
        raise SettingsError(text if text.endswith("?") else f"{text}.") from None
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
