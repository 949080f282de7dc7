"""Webhook deliveries: check the signature, then parse. Pure; knows nothing of the transport.

Source: Forgejo ``services/webhook/shared/payloader.go`` (headers) and ``modules/structs/hook.go``
(payloads). Gitea sends the same without the ``X-Forgejo-*`` headers.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from fleetbot.forge.actions import ActionRun
from fleetbot.forge.decoding import convert
from fleetbot.forge.models import Comment, Issue, Object, PullRequest, Repository, User


class MalformedDelivery(ValueError):
    """A delivery that cannot be understood; ``field`` is the header or JSON path at fault."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class IssueEvent(Object, frozen=True):
    """An issue was opened, edited, closed, labelled, assigned…; ``issue`` is the state after it.

    Forgejo does not say which label or assignee changed: compare with what is known.
    """

    action: str
    issue: Issue
    repository: Repository
    sender: User | None = None


class Was(Object, frozen=True):
    """What something was before; Forgejo calls it ``from``."""

    before: str = msgspec.field(default="", name="from")


class Changes(Object, frozen=True):
    """What an edit has changed; ``ref`` is the base branch of a pull request."""

    title: Was | None = None
    body: Was | None = None
    ref: Was | None = None


class PullRequestEvent(Object, frozen=True):
    """A merge is ``closed`` with ``pull_request.merged``; a push to the head, ``synchronized``;
    another base, ``edited`` with ``changes.ref``; a review that is asked for,
    ``review_requested``."""

    action: str
    pull_request: PullRequest
    repository: Repository
    sender: User | None = None
    changes: Changes = Changes()
    requested_reviewer: User | None = None


_STATES = {
    "pull_request_review_approved": "APPROVED",
    "pull_request_review_rejected": "REQUEST_CHANGES",
    "pull_request_review_comment": "COMMENT",
}


class ReviewWords(Object, frozen=True):
    """``type`` is the Event-Type."""

    type: str = ""
    content: str = ""


class ReviewEvent(PullRequestEvent, frozen=True):
    """Somebody has submitted a review. It does not say which: read the reviews. Neither dismissing
    it nor a reply to a comment on a line is told of by any event."""

    review: ReviewWords = ReviewWords()

    @property
    def state(self) -> str:
        """In the words of the API; empty for one that is not known."""
        return _STATES.get(self.review.type, "")


class RepositoryEvent(Object, frozen=True):
    """A repository was made or deleted; Forgejo tells of no rename."""

    action: str
    repository: Repository
    sender: User | None = None


class CommentEvent(Object, frozen=True):
    """Somebody has commented on an issue, or changed or deleted a comment."""

    action: str
    comment: Comment
    repository: Repository
    sender: User | None = None


class PullCommentEvent(CommentEvent, frozen=True, kw_only=True):
    """Somebody has commented on a pull request, below it or, on the web, in a conversation on a
    line, or changed or deleted a comment."""

    pull_request: PullRequest


class ActionRunEvent(Object, frozen=True):
    """A run of a workflow has ended: ``success``, ``failure`` (also a cancelled one), or
    ``recover``, which comes beside ``success`` after one that failed. From v12 on."""

    action: str
    run: ActionRun
    prior_status: str = ""

    @property
    def repository(self) -> Repository:
        """The payload has it in the run only."""
        return self.run.repository or Repository(full_name="")


class PushEvent(Object, frozen=True):
    """Commits came to a branch or a tag, or a tag went; ``ref`` is its full name."""

    ref: str
    repository: Repository
    sender: User | None = None

    @property
    def branch(self) -> str:
        """Empty for a tag."""
        name = self.ref.removeprefix("refs/heads/")
        return name if name != self.ref else ""


class UnknownEvent(Object, frozen=True):
    """An event fleetbot has no use for, or has never heard of."""

    event_type: str

    def __str__(self) -> str:
        return f"unknown event {self.event_type!r}"


Event = (
    IssueEvent
    | PullRequestEvent
    | RepositoryEvent
    | CommentEvent
    | ActionRunEvent
    | PushEvent
    | UnknownEvent
)


class Delivery(msgspec.Struct, frozen=True):
    """One signed message from Forgejo; ``id`` is unique, also for a manual redelivery.

    ``repo_id``: whose it is, 0 where it does not say.
    """

    id: str
    event_type: str
    payload: Event
    repo_id: int = 0


class _Source(msgspec.Struct, frozen=True):
    id: int = 0


class _Sent(msgspec.Struct, frozen=True):
    repository: _Source = _Source()


# What may have consequences, by Event-Type; of others not even the shape matters. The coarser
# X-Forgejo-Event is no key: its "pull_request_comment" means a review.
_EVENTS: Mapping[
    str,
    type[
        IssueEvent | PullRequestEvent | RepositoryEvent | CommentEvent | ActionRunEvent | PushEvent
    ],
] = {
    "issues": IssueEvent,
    "issue_assign": IssueEvent,
    "issue_label": IssueEvent,
    "issue_milestone": IssueEvent,
    "issue_comment": CommentEvent,
    "pull_request": PullRequestEvent,
    "pull_request_assign": PullRequestEvent,
    "pull_request_label": PullRequestEvent,
    "pull_request_milestone": PullRequestEvent,
    "pull_request_sync": PullRequestEvent,
    "pull_request_review_request": PullRequestEvent,
    "pull_request_review_approved": ReviewEvent,
    "pull_request_review_rejected": ReviewEvent,
    "pull_request_review_comment": ReviewEvent,
    "pull_request_comment": PullCommentEvent,
    "push": PushEvent,
    "action_run_failure": ActionRunEvent,
    "action_run_success": ActionRunEvent,
    "action_run_recover": ActionRunEvent,
    "repository": RepositoryEvent,
}


_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")  # SHA-256, as Forgejo writes it


def looks_signed(headers: Mapping[str, str]) -> bool:
    """Whether there is a signature at all that could be right, before a body is read for it."""
    return _SIGNATURE.fullmatch(_header(headers, "Signature") or "") is not None


def verify_signature(secret: bytes | str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether ``body`` (raw bytes) was signed with ``secret``; an empty secret signs nothing."""
    key = secret.encode() if isinstance(secret, str) else secret
    given = _header(headers, "Signature")
    if not key or not given:
        return False
    expected = hmac.digest(key, body, "sha256").hex()
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))


def parse_delivery(headers: Mapping[str, str], body: bytes) -> Delivery:
    """Parse a delivery whose signature was checked.

    Raises :class:`MalformedDelivery`, which names the header or field that is wrong.
    """
    event_type = _required_header(headers, "Event-Type")
    delivery_id = _required_header(headers, "Delivery")
    kind = _EVENTS.get(event_type)
    if kind is None:
        unknown = UnknownEvent(event_type=event_type)
        return Delivery(delivery_id, event_type, unknown, _repo_id(body))
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = msgspec.json.decode(body, type=kind)
        return Delivery(delivery_id, event_type, event, event.repository.id)
    payload = _json_object(body)  # with nulls where we want values, perhaps
    try:
        event = convert(payload, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise MalformedDelivery(path.strip("`") or "$", reason) from None
    return Delivery(delivery_id, event_type, event, event.repository.id)


def _repo_id(body: bytes) -> int:
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(body, type=_Sent).repository.id
    return 0


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedDelivery("body", "is not JSON") from None
    if not isinstance(payload, dict):
        raise MalformedDelivery("body", "is JSON but not an object")
    return payload


def _required_header(headers: Mapping[str, str], name: str) -> str:
    value = _header(headers, name)
    if not value:
        raise MalformedDelivery(f"X-Forgejo-{name}", "header is missing or empty")
    return value


def _header(headers: Mapping[str, str], name: str) -> str:
    """The first of Forgejo's and Gitea's form that is there, even when it is empty."""
    if (as_sent := headers.get(f"X-Forgejo-{name}")) is not None:
        return as_sent.strip()
    lowered = {key.lower(): value for key, value in headers.items()}
    for vendor in ("forgejo", "gitea"):
        value = lowered.get(f"x-{vendor}-{name.lower()}")
        if value is not None:
            return value.strip()
    return ""
