"""Webhook deliveries: signed, at most once, a few at a time, in no promised order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from fleetbot_devkit.forge.state import Hook, Repo

TIMEOUT = 5.0  # seconds for the whole exchange, Forgejo's DELIVER_TIMEOUT
_WORKERS = 2

_ISSUE_EVENTS = frozenset(
    {"issues", "issue_assign", "issue_label", "issue_milestone", "issue_comment"}
)
_REVIEW_EVENTS = frozenset({"pull_request_review_approved", "pull_request_review_rejected"})
_PULL_EVENTS = _REVIEW_EVENTS | {
    "pull_request",
    "pull_request_assign",
    "pull_request_label",
    "pull_request_milestone",
    "pull_request_comment",
    "pull_request_sync",
    "pull_request_review_request",
}
_RUN_EVENTS = frozenset({"action_run_failure", "action_run_recover", "action_run_success"})
_PLAIN_EVENTS = (
    _ISSUE_EVENTS
    | (_PULL_EVENTS - _REVIEW_EVENTS)
    | _RUN_EVENTS
    | {"push", "create", "delete", "fork", "wiki", "repository", "release", "package"}
)
# Names that stand for others when a hook is made. "issues" includes comments.
_FAMILIES = {
    "issues": _ISSUE_EVENTS,
    "issues_only": frozenset({"issues"}),
    "pull_request": _PULL_EVENTS,
    "pull_request_only": frozenset({"pull_request"}),
    "pull_request_review": _REVIEW_EVENTS,
}
_COARSE = {
    "issue_assign": "issues",
    "issue_label": "issues",
    "issue_milestone": "issues",
    "pull_request_comment": "issue_comment",
    "pull_request_review_approved": "pull_request_approved",
    "pull_request_review_rejected": "pull_request_rejected",
    "pull_request_review_comment": "pull_request_comment",
}


def subscribed(names: list[str]) -> frozenset[str]:
    """The fine event names a hook gets for what it asked for; unknown ones are ignored."""
    found: set[str] = set()
    for name in names or ["push"]:
        found |= _FAMILIES.get(name, {name} & _PLAIN_EVENTS)
    return frozenset(found)


def coarse_name(event_type: str) -> str:
    """The value of ``X-Forgejo-Event``."""
    if event_type in ("pull_request_comment", "pull_request_review_comment"):
        return _COARSE[event_type]
    if event_type in _COARSE:
        return _COARSE[event_type]
    return "pull_request" if event_type.startswith("pull_request_") else event_type


@dataclass
class Delivery:
    """One message to one hook. ``status`` is None until it is answered, or when it never is."""

    id: str
    hook_id: int
    url: str
    event_type: str
    payload: dict[str, Any]
    body: bytes
    headers: dict[str, str] = field(repr=False)
    status: int | None = None
    error: str = ""
    lost: bool = False


class Webhooks:
    """Start and stop it with the forge. ``deliveries`` holds all there ever were."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._to_lose = 0
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._workers = [asyncio.create_task(self._work()) for _ in range(_WORKERS)]

    async def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def lose(self, count: int) -> None:
        self._to_lose += count

    async def drained(self) -> None:
        """Every delivery so far was answered, refused, timed out or lost."""
        await self._queue.join()

    def send(self, repo: Repo, event_type: str, payload: dict[str, Any]) -> None:
        """Queue a message for each hook that wants it."""
        for hook in _listening(repo, event_type):
            self._enqueue(_delivery(hook, event_type, payload))

    def wanted(self, repo: Repo, event_type: str) -> bool:
        """Whether anybody hears of it."""
        return bool(_listening(repo, event_type))

    def send_to(self, hook: Hook, event_type: str, payload: dict[str, Any]) -> None:
        """Queue a message for a hook, whether it wants it or not; none for one that is off."""
        if hook.active:
            self._enqueue(_delivery(hook, event_type, payload))

    def redeliver(self, delivery: Delivery, hook: Hook) -> Delivery:
        """What the button in Forgejo's web pages does: the same payload under a new id."""
        again = _delivery(hook, delivery.event_type, delivery.payload)
        self._enqueue(again)
        return again

    def _enqueue(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self._to_lose > 0:
            self._to_lose -= 1
            delivery.lost = True
            return
        self._queue.put_nowait(delivery)

    async def _work(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                delivery = await self._queue.get()
                try:
                    await _deliver(session, delivery)
                finally:
                    self._queue.task_done()


async def _deliver(session: aiohttp.ClientSession, delivery: Delivery) -> None:
    """Once, whatever comes of it: Forgejo does not try again."""
    try:
        async with session.post(
            delivery.url, data=delivery.body, headers=delivery.headers
        ) as response:
            await response.read()
            delivery.status = response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        delivery.error = type(error).__name__


def _listening(repo: Repo, event_type: str) -> list[Hook]:
    wanted = _gate(event_type)
    return [hook for hook in repo.hooks.values() if hook.active and wanted in hook.events]


def _gate(event_type: str) -> str:
    """The flag that lets an event through; Forgejo gates review comments by the wrong one."""
    if event_type == "pull_request_review_comment":
        return "pull_request_comment"
    return event_type


def _delivery(hook: Hook, event_type: str, payload: dict[str, Any]) -> Delivery:
    body = _go_json(payload)
    delivery_id = str(uuid.uuid4())
    return Delivery(
        id=delivery_id,
        hook_id=hook.id,
        url=hook.url,
        event_type=event_type,
        payload=payload,
        body=body,
        headers=_headers(hook.secret.encode(), delivery_id, event_type, body),
    )


def _headers(key: bytes, delivery_id: str, event_type: str, body: bytes) -> dict[str, str]:
    """Unsigned hooks get the same headers, with nothing in them."""
    sha256 = hmac.new(key, body, hashlib.sha256).hexdigest() if key else ""
    sha1 = hmac.new(key, body, hashlib.sha1).hexdigest() if key else ""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Go-http-client/1.1",
        "X-GitHub-Delivery": delivery_id,
        "X-GitHub-Event": coarse_name(event_type),
        "X-GitHub-Event-Type": event_type,
        "X-Hub-Signature": f"sha1={sha1}",
        "X-Hub-Signature-256": f"sha256={sha256}",
    }
    for vendor in ("Forgejo", "Gitea", "Gogs"):
        headers[f"X-{vendor}-Delivery"] = delivery_id
        headers[f"X-{vendor}-Event"] = coarse_name(event_type)
        headers[f"X-{vendor}-Event-Type"] = event_type
        headers[f"X-{vendor}-Signature"] = sha256
    return headers


def _go_json(payload: dict[str, Any]) -> bytes:
    """As Go's encoder writes it: two spaces, and ``<>&`` escaped."""
    text = json.dumps(payload, indent=2, ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()
