"""Forgejo's deliveries: signed, durable before they are answered, acted on once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from yarl import URL

from fleetbot.domain.commands import NoteRepo
from fleetbot.services.fleet import Context
from fleetbot.web import bodies
from fleetbot.web.bodies import MOST_UNPROVEN
from fleetbot_devkit.forge import DevForge
from fleetbot_devkit.forge_user import ForgeUser
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


async def test_what_comes_is_remembered_of_its_repository_whatever_it_tells(site: Site) -> None:
    """Forgejo's test delivery is a push."""
    await site.fleet.commit(NoteRepo(7, REPO, "main", asked=REPO), Context(actor="test"))
    assert site.webhooks.last(lambda name: name == REPO) == 0
    its = {"id": 7, "full_name": REPO}
    push = json.dumps({"ref": "refs/heads/main", "repository": its}).encode()

    answer = await site.deliver(push, {"X-Forgejo-Event-Type": "push"})

    assert answer.status == 202
    assert site.webhooks.last(lambda name: name == REPO) == site.now
    told = (await site.reader.get("/api/v1/webhooks")).body
    assert told["url"].endswith("/api/v1/webhooks/forgejo")
    assert told["webhooks"] == [{"repo": REPO, "repo_id": 7, "heard_at": site.now, "missed": 0}]


async def test_what_is_refused_is_remembered(site: Site) -> None:
    await site.deliver(BODY, {"X-Forgejo-Signature": "0" * 64})

    assert site.webhooks.is_refusing


async def test_a_missing_signature_is_refused(site: Site) -> None:
    answer = await site.nobody.post("/api/v1/webhooks/forgejo", ISSUE)

    answer.refuses(401, "unauthorized", "X-Forgejo-Signature")


async def test_what_is_not_signed_is_not_read(site: Site) -> None:
    """It would take memory, and a place, from whoever is."""
    answer = await unread(site, {"X-Forgejo-Signature": "wrong"})

    assert answer.startswith("HTTP/1.1 401 ")


async def test_only_so_many_bodies_are_read_at_once_of_callers_who_prove_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "UNPROVEN_SECONDS", 0.2)
    plausible = {"X-Forgejo-Signature": "0" * 64}

    answers = await asyncio.gather(*(unread(site, plausible) for _ in range(MOST_UNPROVEN + 4)))

    statuses = sorted(answer.split()[1] for answer in answers)
    assert statuses[0] == "408", "a slow one gives its place up"
    assert set(statuses) <= {"408", "503"}
    assert (await site.deliver(BODY)).status == 202


async def test_what_has_come_whole_needs_no_place_among_the_slow(site: Site) -> None:
    plausible = {"X-Forgejo-Signature": "0" * 64}
    slow = [asyncio.create_task(unread(site, plausible)) for _ in range(MOST_UNPROVEN)]

    answer = await asyncio.wait_for(site.deliver(BODY), bodies.UNPROVEN_SECONDS / 2)

    assert answer.status == 202
    for one in slow:
        one.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def unread(site: Site, headers: dict[str, str]) -> str:
    """The first line of the answer to a delivery of which nothing but the head is sent."""
    url = URL(site.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = ["POST /api/v1/webhooks/forgejo HTTP/1.1", "Host: x", "Content-Length: 2000000"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        return (await reader.readline()).decode()
    finally:
        writer.close()


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


@pytest.mark.parametrize("depth", [100, 900, 950, 990, 1_000, 5_000, 500_000])
async def test_no_depth_of_nesting_is_a_fault_of_ours(site: Site, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    body = BODY[:-1] + b', "sender": {"login": "ann", "more": ' + deep + b"}}"

    answer = await site.deliver(body)

    assert answer.status in (202, 400), "read, or refused as malformed"
    await site.intake.tick()


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

    plausible = {"X-Forgejo-Signature": signature(b"")}
    chunked = await site.unannounced("/api/v1/webhooks/forgejo", big, plausible)
    assert chunked.status == 413
    assert await kept(site) == []


async def test_an_issue_opened_on_the_forge_becomes_a_task(site: Site, forge: DevForge) -> None:
    ann = forge.add_user("ann", admin=True)
    forge.add_org("team")
    await forge.create_repo("team", "app", {"README.md": "hello"})
    label = forge.add_label(REPO, "fleet")
    hook = f"{site.url}api/v1/webhooks/forgejo"
    async with ForgeUser(forge.url, ann) as client:
        await client.create_hook(REPO, hook, SECRET, ["issues"])
        issue = await client.create_issue(REPO, "Mend the door", label_ids=[label])
    await forge.delivered()
    assert {delivery.status for delivery in forge.deliveries} == {202}

    await site.intake.tick()

    (task,) = (await site.reader.get("/api/v1/tasks")).body["tasks"]
    assert (task["repo"], task["issue"], task["state"]) == (REPO, issue.number, "created")
