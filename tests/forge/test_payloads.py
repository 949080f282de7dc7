"""Webhook deliveries: who sent them, and what they say."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetbot.forge.models import Version
from fleetbot.forge.payloads import (
    ActionRunEvent,
    CommentEvent,
    Delivery,
    IssueEvent,
    MalformedDelivery,
    PullCommentEvent,
    PullRequestEvent,
    ReviewEvent,
    UnknownEvent,
    parse_delivery,
    verify_signature,
)
from tests.nasty import spoiled, texts

SECRET = "hush"
BODY = b'{"a": "\\u003cb\\u003e"}'
REPOSITORY = {"id": 3, "full_name": "ann/app"}


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def headers(event_type: str, event: str = "") -> dict[str, str]:
    return {
        "X-Forgejo-Delivery": "6f1c",
        "X-Forgejo-Event": event or event_type,
        "X-Forgejo-Event-Type": event_type,
    }


def parsed(event_type: str, payload: Any, event: str = "") -> Delivery:
    return parse_delivery(headers(event_type, event), json.dumps(payload).encode())


# -- the signature


@pytest.mark.parametrize("name", ["X-Forgejo-Signature", "x-forgejo-signature"])
def test_a_signed_body_is_accepted(name: str) -> None:
    assert verify_signature(SECRET, BODY, {name: signed(BODY)})
    assert verify_signature(SECRET.encode(), BODY, {name: signed(BODY)})


def test_a_body_signed_by_gitea_is_accepted() -> None:
    assert verify_signature(SECRET, BODY, {"X-Gitea-Signature": signed(BODY)})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"X-Forgejo-Signature": ""},
        {"X-Forgejo-Signature": "", "X-Gitea-Signature": signed(BODY)},
        {"X-Forgejo-Signature": signed(BODY, "other")},
        {"X-Forgejo-Signature": "sha256=" + signed(BODY)},
        {"X-Forgejo-Signature": signed(BODY)[:-1]},
        {"X-Forgejo-Signature": "ü\udcff"},
        {"X-Hub-Signature-256": "sha256=" + signed(BODY)},
    ],
    ids=["none", "empty", "empty-first", "wrong", "prefixed", "short", "not-ascii", "github's"],
)
def test_any_other_signature_is_refused(given: dict[str, str]) -> None:
    assert not verify_signature(SECRET, BODY, given)


def test_the_raw_bytes_are_what_is_signed() -> None:
    rewritten = json.dumps(json.loads(BODY)).encode()
    assert not verify_signature(SECRET, rewritten, {"X-Forgejo-Signature": signed(BODY)})


def test_no_secret_accepts_nothing() -> None:
    assert not verify_signature("", BODY, {"X-Forgejo-Signature": signed(BODY, "")})
    assert not verify_signature("", BODY, {"X-Forgejo-Signature": ""})


# -- what is malformed, by name


@pytest.mark.parametrize("missing", ["X-Forgejo-Event-Type", "X-Forgejo-Delivery"])
def test_a_missing_header_is_named(missing: str) -> None:
    given = {key: value for key, value in headers("issues").items() if key != missing}
    with pytest.raises(MalformedDelivery) as refused:
        parse_delivery(given, b"{}")
    assert refused.value.field == missing


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'"text"', b"null", b"\xff\xfe", b"[" * 100_000, b"payload=%7B%7D"],
    ids=["empty", "cut", "list", "text", "null", "bytes", "deep", "form"],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedDelivery) as refused:
        parse_delivery(headers("issues"), body)
    assert refused.value.field == "body"


def test_a_field_of_the_wrong_type_is_named() -> None:
    payload = {"action": "opened", "issue": {"number": "seven"}, "repository": REPOSITORY}
    with pytest.raises(MalformedDelivery) as refused:
        parsed("issues", payload)
    assert refused.value.field == "$.issue.number"
    assert "int" in refused.value.reason


def test_a_missing_field_is_named() -> None:
    with pytest.raises(MalformedDelivery, match="repository"):
        parsed("issues", {"action": "opened", "issue": {"number": 7}})


# -- what is understood


def test_nulls_and_unknown_fields_do_no_harm() -> None:
    issue = {
        "number": 7,
        "title": "T",
        "assignees": None,
        "labels": [{"id": 1, "name": "fleet", "novelty": True}],
        "user": None,
        "updated_at": "2026-11-23T08:00:00+02:00",
        "closed_at": None,
        "pull_request": None,
        "novelty": {},
    }
    payload = {"action": "opened", "issue": issue, "repository": REPOSITORY, "sender": None}
    event = parsed("issues", payload).payload
    assert isinstance(event, IssueEvent)
    assert event.issue.assignees == ()
    assert event.issue.label_names == {"fleet"}
    assert event.issue.pull_request is None
    assert event.issue.updated_at is not None
    assert event.issue.updated_at.utcoffset() is not None
    assert event.sender is None


@pytest.mark.parametrize(
    ("event_type", "state"),
    [
        ("pull_request_review_approved", "APPROVED"),
        ("pull_request_review_rejected", "REQUEST_CHANGES"),
        ("pull_request_review_comment", "COMMENT"),
    ],
)
def test_a_review_says_what_it_is_and_who_gave_it(event_type: str, state: str) -> None:
    payload = {
        "action": "reviewed",
        "pull_request": {"number": 8, "merged_by": None, "requested_reviewers": None},
        "repository": REPOSITORY,
        "sender": {"id": 4, "login": "ann"},
        "requested_reviewer": {"id": 4, "login": "ann"},
        "changes": None,
        "review": {"type": event_type, "content": "hm"},
    }
    event = parsed(event_type, payload).payload
    assert isinstance(event, ReviewEvent)
    assert (event.state, event.review.content) == (state, "hm")
    assert event.sender is not None
    assert event.sender.login == "ann"


def test_the_fine_event_name_decides() -> None:
    """The coarse name ``pull_request_comment`` means a review; the fine one, a comment."""
    review = {
        "action": "reviewed",
        "pull_request": {"number": 8},
        "repository": REPOSITORY,
        "review": {"type": "pull_request_review_comment", "content": "hm"},
    }
    comment = {
        "action": "created",
        "issue": {"number": 8},
        "comment": {"id": 5, "body": "hm"},
        "pull_request": {"number": 8},
        "is_pull": True,
        "repository": REPOSITORY,
    }
    reviewed = parsed("pull_request_review_comment", review, event="pull_request_comment")
    said = parsed("pull_request_comment", comment, event="issue_comment").payload
    assert isinstance(reviewed.payload, ReviewEvent)
    assert isinstance(said, PullCommentEvent)
    assert (said.pull_request.number, said.comment.id) == (8, 5)


def test_another_base_is_an_edit_that_says_which_it_was() -> None:
    payload = {
        "action": "edited",
        "changes": {"ref": {"from": "main"}},
        "pull_request": {"number": 8, "base": {"ref": "next"}},
        "repository": REPOSITORY,
        "review": None,
        "requested_reviewer": None,
    }
    event = parsed("pull_request", payload).payload
    assert isinstance(event, PullRequestEvent)
    assert event.changes.ref is not None
    assert (event.changes.ref.before, event.pull_request.base.ref) == ("main", "next")


@pytest.mark.parametrize("action", ["failure", "success", "recover"])
def test_a_run_of_actions_says_of_which_commit_it_was(action: str) -> None:
    run = {
        "id": 31,
        "ScheduleID": 0,
        "workflow_id": "ci.yml",
        "status": action,
        "commit_sha": "1" * 40,
        "repository": REPOSITORY,
        "event_payload": "{}",
        "duration": 12,
        "started": "0001-01-01T00:00:00Z",
    }
    sent = {"action": action, "run": run, "prior_status": "running", "last_run": None}
    delivery = parsed(f"action_run_{action}", sent)
    assert isinstance(delivery.payload, ActionRunEvent)
    assert delivery.repo_id == REPOSITORY["id"]
    assert (delivery.payload.action, delivery.payload.run.commit_sha) == (action, "1" * 40)


def test_a_comment_on_an_issue_says_whose_it_is() -> None:
    comment = {"id": 5, "body": "hm", "user": {"login": "ann"}, "updated_at": None}
    payload = {"action": "created", "issue": {"number": 8}, "comment": comment}
    said = parsed("issue_comment", {**payload, "repository": REPOSITORY}).payload
    assert isinstance(said, CommentEvent)
    assert (said.action, said.comment.author, said.comment.body) == ("created", "ann", "hm")


def test_a_gitea_delivery_is_parsed() -> None:
    given = {"X-Gitea-Delivery": "1", "X-Gitea-Event": "issues", "X-Gitea-Event-Type": "issues"}
    payload = {"action": "opened", "issue": {"number": 8}, "repository": REPOSITORY}
    delivery = parse_delivery(given, json.dumps(payload).encode())
    assert delivery.id == "1"
    assert isinstance(delivery.payload, IssueEvent)


@pytest.mark.parametrize("event_type", ["release", "create", "delete", "wiki"])
@pytest.mark.parametrize("body", [b"{}", b'{"ref": 7, "commits": "many"}', b"[]", b"{"])
def test_what_nobody_wants_may_have_any_shape(event_type: str, body: bytes) -> None:
    delivery = parse_delivery(headers(event_type), body)
    assert delivery.payload == UnknownEvent(event_type=event_type)


@pytest.mark.parametrize("event_type", ["release", "package", "workflow_job", "nonsense"])
def test_an_unknown_event_is_said_to_be_unknown(event_type: str) -> None:
    event = parsed(event_type, {"whatever": 1}).payload
    assert event == UnknownEvent(event_type=event_type)
    assert str(event) == f"unknown event '{event_type}'"


# -- whatever comes

USER = {"id": 1, "login": "ann", "email": "", "full_name": "Ann"}
WHOLE = {
    "action": "opened",
    "number": 7,
    "ref": "refs/heads/main",
    "after": "a" * 40,
    "repository": REPOSITORY | {"default_branch": "main", "archived": False, "owner": USER},
    "sender": USER,
    "issue": {
        "number": 7,
        "title": "T",
        "body": "B",
        "state": "open",
        "user": USER,
        "assignees": [USER],
        "labels": [{"id": 1, "name": "fleet", "color": "ffffff"}],
        "updated_at": "2026-11-23T08:00:00+02:00",
        "pull_request": {"merged": False},
    },
    "comment": {"id": 5, "body": "hello", "user": USER, "created_at": "2026-11-23T08:00:00Z"},
    "review": {"type": "pull_request_review_approved", "content": "Good."},
    "pull_request": {
        "number": 7,
        "title": "T",
        "state": "open",
        "user": USER,
        "head": {"ref": "fleet/7", "sha": "a" * 40, "repo_id": 3},
        "base": {"ref": "main", "sha": "b" * 40, "repo_id": 3},
    },
    "run": {
        "id": 1,
        "status": "failure",
        "commit_sha": "a" * 40,
        "index_in_repo": 1,
        "repository": REPOSITORY,
    },
}
"""Something of every event."""
KINDS = ["issues", "issue_comment", "pull_request", "pull_request_comment", "push", "repository"]
KINDS += ["pull_request_review_rejected", "action_run_failure", "moon_phase"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_delivery_is_understood(kind: str) -> None:
    assert parsed(kind, WHOLE).repo_id == 3


@settings(max_examples=120)
@given(kind=st.sampled_from(KINDS), body=spoiled(WHOLE))
def test_whatever_is_signed_is_understood_or_refused_by_name(kind: str, body: bytes) -> None:
    wrong = None
    try:
        assert parse_delivery(headers(kind), body).event_type == kind
    except MalformedDelivery as refused:
        wrong = refused

    assert wrong is None or (wrong.reason and wrong.field.startswith(("body", "$")))


@given(name=texts, value=texts)
def test_no_header_is_taken_for_another(name: str, value: str) -> None:
    with pytest.raises(MalformedDelivery):
        parse_delivery({name: value, f"X-Forgejo-{name}": value}, b"{}")


@pytest.mark.parametrize(
    ("version", "is_old", "has_run_events"),
    [
        ("11.0.15+gitea-1.22.0", False, False),
        ("10.0.3+gitea-1.22.0", True, False),
        ("15.0.3+gitea-1.22.0", False, True),
        ("16.0.0-dev-612-1a2b3c4d+gitea-1.22.0", False, True),
        ("dev-1a2b3c4d+gitea-1.22.0", False, False),
        ("1.24.0", False, False),
    ],
)
def test_a_version_says_only_what_it_says(version: str, is_old: bool, has_run_events: bool) -> None:
    """Codeberg runs a development version; a build without a tag has no number at all."""
    its = Version(version=version)
    assert (its.is_before(11), its.has_run_events) == (is_old, has_run_events)
