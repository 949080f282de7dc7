"""Whatever is wrong with a request: a clear answer, nothing half done, the journal whole.

Through maubot's own web server, with a real Forgejo-compatible server behind it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from fleetbot_devkit.forge import Delivery
from fleetbot_devkit.rest import call
from fleetbot_devkit.world import FILES, REPO, World
from tests.flow.puppet import Answer, Puppet, post
from tests.flow.seen import (
    journal_of,
    journal_problems,
    nothing_changes,
    shows,
    task_of,
    until_state,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = "agent:nobody"  # issues for which no agent of another test comes


@pytest.fixture(scope="module")
def shared_config() -> Mapping[str, Any]:
    """Agents played by a test give no signs of life, and may be refuted often."""
    return {"runs": {"heartbeat_seconds": 60, "lease_seconds": 300, "max_refutations": 9}}


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_world: World) -> AsyncIterator[World]:
    """The shared world; whatever a test does to it, its journal stays whole."""
    yield shared_world
    assert await journal_problems(shared_world) == []


# webhooks


def issue_event(world: World, **fields: Any) -> bytes:
    """A body as Forgejo sends it, for an issue that does not exist."""
    event = {
        "action": "opened",
        "number": 900,
        "issue": {"id": 1, "number": 900, "title": "Never was", "labels": []},
        "repository": {"id": 1, "full_name": REPO},
        "sender": {"id": 1, "login": "alice"},
    }
    return json.dumps({**event, **fields}).encode()


async def deliver(
    world: World,
    body: bytes,
    *,
    event: str = "issues",
    delivery: str = "",
    headers: Mapping[str, str | None] | None = None,
) -> Answer:
    """A webhook delivery, signed unless `headers` say otherwise; None leaves a header out."""
    signature = hmac.new(world.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
    sent = {
        "Content-Type": "application/json",
        "X-Forgejo-Delivery": delivery or secrets.token_hex(8),
        "X-Forgejo-Event-Type": event,
        "X-Forgejo-Signature": signature,
        **(headers or {}),
    }
    kept = {name: value for name, value in sent.items() if value is not None}
    return await post(world, "webhooks/forgejo", data=body, headers=kept)


@pytest.mark.parametrize("signature", ["", "0" * 64, "sha256=", "ü", None])
async def test_a_delivery_without_the_right_signature_is_refused(
    world: World, signature: str | None
) -> None:
    headers = {"X-Forgejo-Signature": signature}
    async with nothing_changes(world):
        answer = await deliver(world, issue_event(world), headers=headers)
    assert answer.status == 401
    assert answer.body["field"] == "X-Forgejo-Signature"
    assert "forge.webhook_secret" in answer.body["detail"]


async def test_a_signature_over_another_body_is_refused(world: World) -> None:
    signature = hmac.new(world.webhook_secret.encode(), b"{}", hashlib.sha256).hexdigest()
    answer = await deliver(world, issue_event(world), headers={"X-Forgejo-Signature": signature})
    assert answer.status == 401


async def test_a_replayed_delivery_changes_nothing(world: World) -> None:
    world.forge.add_label(REPO, NOBODY)
    issue = await world.open_issue("Once only", labels=("fleet", NOBODY))
    await until_state(world, issue, "created")
    await world.forge.delivered()
    opened = _opened(world, issue)

    async with nothing_changes(world):
        again = await post(
            world, "webhooks/forgejo", data=opened.body, headers=dict(opened.headers)
        )
        assert again == Answer(202, {"delivery": opened.id, "known": True})
        anew = world.forge.redeliver(opened)
        await world.forge.delivered()

    assert (anew.id == opened.id, anew.status) == (False, 202)
    assert await journal_of(world, issue) == ["task.created"]


async def test_ten_megabytes_are_refused(world: World) -> None:
    body = issue_event(world, padding="x" * 10 * 1024 * 1024)
    async with nothing_changes(world):
        answer = await deliver(world, body)
    assert (answer.status, answer.body["code"]) == (413, "too_large")
    assert "send less" in answer.body["detail"]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"7", b"{", b"\xff", b""])
async def test_what_is_not_a_json_object_is_refused(world: World, body: bytes) -> None:
    async with nothing_changes(world):
        answer = await deliver(world, body)
    assert (answer.status, answer.body["code"]) == (400, "malformed")
    assert answer.body["field"] == "body"
    assert "JSON" in answer.body["detail"]


async def test_a_field_of_the_wrong_type_is_named(world: World) -> None:
    async with nothing_changes(world):
        answer = await deliver(world, issue_event(world, issue="seven"))
    assert (answer.status, answer.body["code"]) == (400, "malformed")
    assert "issue" in answer.body["field"]


async def test_an_unknown_event_is_taken_and_dropped(world: World) -> None:
    async with nothing_changes(world):
        answer = await deliver(world, b'{"surprise": true}', event="telepathy")
    assert (answer.status, answer.body["known"]) == (202, False)


async def test_a_delivery_is_not_believed_about_the_issue(world: World) -> None:
    world.forge.add_label(REPO, NOBODY)
    label = {"id": 1, "name": "fleet"}
    told = {"id": 1, "number": 900, "title": "Never was", "labels": [label]}

    answer = await deliver(world, issue_event(world, issue=told))

    assert answer.status == 202
    later = await world.open_issue("A real one", labels=("fleet", NOBODY))
    await until_state(world, later, "created")  # what came before it has been acted on
    assert await task_of(world, 900) is None


async def test_a_label_that_maps_to_nothing_means_nothing(world: World) -> None:
    for label in ("wishlist", "type:", "priority:yesterday", "needs:", NOBODY):
        world.forge.add_label(REPO, label)
    labels = ("fleet", "wishlist", "type:", "priority:yesterday", "needs:", NOBODY)

    issue = await world.open_issue("Odd labels", labels=labels)

    await until_state(world, issue, "created")
    task = await task_of(world, issue)
    assert task is not None
    assert (task["kind"], task["priority"], task["needs"]) == ("task", "normal", [])


# agents


@pytest.mark.parametrize("name", ["", "Bad Name", "-x", "x" * 41, "../x", "smith\n", "é"])
async def test_a_bad_name_is_not_registered(world: World, name: str) -> None:
    request = {"name": name, "adapter": "command"}
    async with nothing_changes(world):
        answer = await post(world, "agents/register", request, token=world.enrolment_token)
    assert (answer.status, answer.body["field"]) == (422, "name")
    assert "a-z 0-9" in answer.body["detail"]


@pytest.mark.parametrize("token", ["", "nonsense", "fba_" + "x" * 43])
async def test_the_heartbeat_of_an_unknown_agent_is_refused(world: World, token: str) -> None:
    async with nothing_changes(world):
        answer = await post(world, "agents/heartbeat", {"runs": []}, token=token)
    assert (answer.status, answer.body["code"]) == (401, "unauthorized")
    assert "token" in answer.body["detail"]


async def test_the_heartbeat_of_an_agent_that_signed_off_is_refused(world: World) -> None:
    gone = await Puppet.register(world, "gone")
    assert (await gone.post("agents/deregister", {})).status < 300
    async with nothing_changes(world):
        answer = await gone.post("agents/heartbeat", {"runs": []})
    assert answer.status in (401, 409)
    assert "register" in answer.body["detail"]


async def test_an_unknown_run_in_a_heartbeat_is_to_be_stopped(world: World) -> None:
    agent = await Puppet.register(world, "confused")
    answer = await agent.post("agents/heartbeat", {"runs": ["run-of-nobody"]})
    assert answer.status == 200
    assert [order["run"] for order in answer.body["cancel"]] == ["run-of-nobody"]


# receipts


class Worker:
    """An agent with a run of its own, and the work that one wants it to have done."""

    def __init__(self, world: World, puppet: Puppet, issue: int, run: dict[str, Any]) -> None:
        self.world, self.puppet, self.issue, self.run = world, puppet, issue, run

    async def commit(self, files: Mapping[str, str], message: str = "Work") -> str:
        """The commit's hash."""
        branch = self.run["branch"]
        return await self.world.forge.commit(REPO, branch, files, message, by="fleet-runner")

    async def pull_request(self) -> int:
        request = {
            "title": "Work",
            "body": f"For #{self.issue}",
            "head": self.run["branch"],
            "base": "main",
        }
        answer = await self.world.forge_api("runner", "POST", f"/repos/{REPO}/pulls", request)
        return int(answer["number"])

    async def finds(self, pull: int, head: str) -> tuple[str, str]:
        """The verdict on a receipt, and its reasons."""
        verdict = await self.puppet.verdict(await self.puppet.file(self.run, pull, head))
        return verdict["verdict"], "\n".join(verdict["reasons"])

    async def state(self) -> str:
        task = await task_of(self.world, self.issue)
        assert task is not None
        return str(task["state"])


@pytest_asyncio.fixture(loop_scope="module")
async def worker(world: World, request: pytest.FixtureRequest) -> Worker:
    name = f"puppet-{secrets.token_hex(4)}"
    world.forge.add_label(REPO, f"agent:{name}")
    puppet = await Puppet.register(world, name)
    issue = await world.open_issue("Do it", labels=("fleet", f"agent:{name}"))
    return Worker(world, puppet, issue, await puppet.running())


async def test_a_receipt_for_a_run_that_is_not_current_is_refused(
    world: World, worker: Worker
) -> None:
    head = await worker.commit({"late.txt": "late\n"})
    pull = await worker.pull_request()
    task = worker.run["task"]
    await call("POST", f"{world.api}/tasks/{task}/cancel", token=world.operator_token, json={})

    async with nothing_changes(world):
        answer = await worker.puppet.file(worker.run, pull, head)

    assert (answer.status, answer.body["code"]) == (409, "superseded")
    assert answer.body["field"] == "run"
    assert await worker.state() == "cancelled"


async def test_a_receipt_for_the_run_of_another_agent_is_refused(
    world: World, worker: Worker
) -> None:
    thief = await Puppet.register(world, f"thief-{secrets.token_hex(3)}")
    async with nothing_changes(world):
        answer = await thief.file(worker.run, 1, "a" * 40)
    assert (answer.status, answer.body["field"]) == (403, "run")


async def test_a_pull_request_of_another_repository_proves_nothing(
    world: World, worker: Worker
) -> None:
    pull, head = await _pull_request_elsewhere(world, worker.run["branch"])

    verdict, reasons = await worker.finds(pull, head)

    assert verdict == "refuted"
    assert f"There is no pull request {REPO}#{pull}." in reasons
    assert await worker.state() == "running"


async def test_a_head_that_differs_proves_nothing(world: World, worker: Worker) -> None:
    first = await worker.commit({"a.txt": "a\n"})
    pull = await worker.pull_request()
    second = await worker.commit({"b.txt": "b\n"})

    verdict, reasons = await worker.finds(pull, first)

    assert verdict == "refuted"
    assert f"The head of pull request #{pull} is {second[:12]}" in reasons
    assert f"the receipt says {first[:12]}" in reasons
    assert await worker.state() == "running"


async def test_an_empty_diff_proves_nothing_and_the_receipt_can_be_mended(
    world: World, worker: Worker
) -> None:
    await worker.commit({"README.md": "Changed.\n"})
    pull = await worker.pull_request()
    head = await worker.commit({"README.md": FILES["README.md"]}, "Change it back")

    verdict, reasons = await worker.finds(pull, head)

    assert verdict == "refuted"
    assert "The pull request changes nothing: its diff is empty." in reasons
    await world.alice.wait_for(shows(world, f" · {REPO}#{worker.issue} ", "its diff is empty"))

    head = await worker.commit({"now.txt": "something\n"})
    assert await worker.finds(pull, head) == ("verified", "")
    journal = await journal_of(world, worker.issue)
    # Each second push is unknown until Forgejo shows its files; how often depends on the machine.
    assert [line for line in journal if line != "receipt.unknown"] == [
        "task.created",
        "task.assigned",
        "task.started",
        "receipt.filed",
        "receipt.refuted",
        "receipt.filed",
        "receipt.verified",
        "task.completed",
    ]


async def test_files_and_summaries_of_a_receipt_are_claims_only(
    world: World, worker: Worker
) -> None:
    head = await worker.commit({"real.txt": "real\n"})
    pull = await worker.pull_request()

    filed = await worker.puppet.file(worker.run, pull, head, files=["dreamt.txt"])

    verdict = await worker.puppet.verdict(filed)
    assert (verdict["verdict"], verdict["reasons"]) == (
        "refuted",
        ["Not in the diff: `dreamt.txt`."],
    )


async def test_many_bad_requests_at_once_leave_the_journal_whole(
    world: World, worker: Worker
) -> None:
    bad: list[Any] = [deliver(world, b"[]") for _ in range(20)]
    bad += [worker.puppet.file(worker.run, 1, "not a commit") for _ in range(20)]
    bad += [worker.puppet.post("runs/run-of-nobody/start", {}) for _ in range(20)]
    async with nothing_changes(world):
        answers = await asyncio.gather(*bad)
    assert {answer.status for answer in answers} == {400, 404, 422}


def _opened(world: World, issue: int) -> Delivery:
    """The delivery with which Forgejo told of the new issue."""
    return next(
        delivery
        for delivery in world.forge.deliveries
        if delivery.payload.get("action") == "opened"
        and delivery.payload.get("number", delivery.payload.get("issue", {}).get("number")) == issue
    )


async def _pull_request_elsewhere(world: World, branch: str) -> tuple[int, str]:
    """A pull request as good as any, in another repository; its number is none of ours."""
    name = f"other-{secrets.token_hex(3)}"
    other = f"acme/{name}"
    await world.forge.create_repo("acme", name, {"README.md": "Elsewhere\n"})
    world.forge.add_collaborator(other, "fleet-runner", "write")
    for filler in range(40):  # numbers beyond those of the issues here
        issue = {"title": f"Filler {filler}"}
        await world.forge_api("runner", "POST", f"/repos/{other}/issues", issue)
    head = await world.forge.commit(other, branch, {"x.txt": "x\n"}, "Work", by="fleet-runner")
    request = {"title": "Work", "head": branch, "base": "main"}
    answer = await world.forge_api("runner", "POST", f"/repos/{other}/pulls", request)
    return int(answer["number"]), head
