"""Forgejo's deliveries: signed, durable before they are answered, acted on once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleetbot.devkit.forge import DevForge
from fleetbot.forge.client import ForgeClient
from tests.web.site import REPO, SECRET, Site, signature

ISSUE: dict[str, Any] = {
    "action": "opened",
    "issue": {"number": 1, "title": "Mend the door", "state": "open"},
    "repository": {"full_name": REPO},
}
BODY = json.dumps(ISSUE).encode()
MEGABYTE = 1024 * 1024


async def kept(site: Site) -> list[str]:
    return [arrival.key for arrival in await site.store.arrivals_due("webhook", site.now)]


async def test_a_signed_delivery_is_kept_before_it_is_answered(site: Site) -> None:
    answer = await site.deliver(BODY)

    assert (answer.status, answer.body) == (202, {"delivery": "d-1", "known": False})
    assert await kept(site) == ["delivery:d-1"]


async def test_a_replayed_delivery_changes_nothing(site: Site) -> None:
    await site.deliver(BODY)

    answer = await site.deliver(BODY)

    assert (answer.status, answer.body["known"]) == (202, True)
    assert await kept(site) == ["delivery:d-1"]


@pytest.mark.parametrize(
    "given",
    ["", "0" * 64, signature(BODY, "another secret"), signature(BODY, ""), "sha256=" + "0" * 64],
)
async def test_a_wrong_or_empty_signature_is_refused(site: Site, given: str) -> None:
    answer = await site.deliver(BODY, {"X-Forgejo-Signature": given})

    detail = answer.refuses(401, "unauthorized", "X-Forgejo-Signature")
    assert "forge.webhook_secret" in detail
    assert await kept(site) == []


async def test_a_missing_signature_is_refused(site: Site) -> None:
    answer = await site.nobody.post("/api/v1/webhooks/forgejo", ISSUE)

    answer.refuses(401, "unauthorized", "X-Forgejo-Signature")


async def test_the_signature_is_checked_before_anything_is_parsed(site: Site) -> None:
    answer = await site.deliver(b"not JSON", {"X-Forgejo-Signature": "wrong"})

    answer.refuses(401, "unauthorized")


async def test_the_signature_covers_the_bytes_as_they_came(site: Site) -> None:
    spaced = json.dumps(ISSUE, indent=2).encode()

    answer = await site.deliver(BODY, {"X-Forgejo-Signature": signature(spaced)})

    answer.refuses(401, "unauthorized")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b'{"action": "opened"}', "$"),
        (json.dumps(ISSUE | {"issue": {"number": "one"}}).encode(), "$.issue.number"),
    ],
)
async def test_a_signed_body_that_makes_no_sense_is_named(
    site: Site, body: bytes, field: str
) -> None:
    answer = await site.deliver(body)

    answer.refuses(400, "malformed", field)
    assert await kept(site) == []


@pytest.mark.parametrize("header", ["X-Forgejo-Delivery", "X-Forgejo-Event-Type"])
async def test_a_header_that_is_missing_is_named(site: Site, header: str) -> None:
    answer = await site.deliver(BODY, {header: ""})

    answer.refuses(400, "malformed", header)


@pytest.mark.parametrize("value", ["ü", "d" * 201, "two words"])
@pytest.mark.parametrize("header", ["X-Forgejo-Delivery", "X-Forgejo-Event-Type"])
async def test_a_header_that_is_no_word_is_named(site: Site, header: str, value: str) -> None:
    answer = await site.deliver(BODY, {header: value})

    answer.refuses(400, "malformed", header)
    assert (await site.deliver(BODY)).status == 202


async def test_unknown_events_are_taken_and_dropped(site: Site) -> None:
    answer = await site.deliver(b"{}", {"X-Forgejo-Event-Type": "moon_phase"})

    assert answer.status == 202
    await site.intake.tick()
    assert await kept(site) == []
    assert await site.journal() == []


async def test_ten_megabytes_are_refused_whether_announced_or_not(site: Site) -> None:
    big = b" " * (10 * MEGABYTE)
    announced = await site.deliver(big)
    assert "2097152 bytes" in announced.refuses(413, "too_large")

    chunked = await site.unannounced("/api/v1/webhooks/forgejo", big)
    assert chunked.status == 413
    assert await kept(site) == []


async def test_an_issue_opened_on_the_forge_becomes_a_task(site: Site, forge: DevForge) -> None:
    ann = forge.add_user("ann", admin=True)
    forge.add_org("team")
    await forge.create_repo("team", "app", {"README.md": "hello"})
    label = forge.add_label(REPO, "fleet")
    hook = f"{site.url}api/v1/webhooks/forgejo"
    async with ForgeClient(forge.url, ann) as client:
        await client.create_hook(REPO, hook, SECRET, ["issues"])
        issue = await client.create_issue(REPO, "Mend the door", label_ids=[label])
    await forge.delivered()
    assert {delivery.status for delivery in forge.deliveries} == {202}

    await site.intake.tick()

    (task,) = (await site.reader.get("/api/v1/tasks")).body["tasks"]
    assert (task["repo"], task["issue"], task["state"]) == (REPO, issue.number, "created")
