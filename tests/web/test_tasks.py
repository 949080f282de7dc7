"""People and programs look at tasks, and operators change them."""

from __future__ import annotations

import pytest

from fleetbot.domain import commands as cmd
from fleetbot.domain.model import AgentName, RunId
from fleetbot.domain.receipts import Verified
from fleetbot.forge.client import ForgeClient
from fleetbot.services.fleet import Context
from fleetbot_devkit.forge import DevForge
from tests.domain import builders as a
from tests.web.site import REPO, Site

TASKS = "/api/v1/tasks"
BY = Context(actor="test")


async def test_tasks_are_listed_newest_first_and_page_by_page(site: Site) -> None:
    for issue in (1, 2, 3):
        site.now += 1000
        await site.task(issue)

    first = (await site.reader.get(TASKS, limit="2")).body
    rest = (await site.reader.get(TASKS, limit="2", before=first["next"])).body

    assert [task["issue"] for task in first["tasks"]] == [3, 2]
    assert [task["issue"] for task in rest["tasks"]] == [1]
    assert rest["next"] is None


async def test_tasks_are_filtered_by_state_repository_and_agent(site: Site) -> None:
    agent = await site.agent("claude-1")
    await site.task(1)
    await site.task(2)
    await site.task(3)
    await site.running(agent)
    await site.operator.post(f"{TASKS}/task-of-3/cancel")

    async def issues(query: str) -> list[int]:
        answer = await site.reader.call("GET", f"{TASKS}?{query}")
        return sorted(task["issue"] for task in answer.body["tasks"])

    assert await issues("state=running") == [1]
    assert await issues("state=created&state=cancelled") == [2, 3]
    assert await issues("agent=claude-1") == [1]
    assert await issues(f"repo={REPO}") == [1, 2, 3]
    assert await issues("repo=team/other") == []


@pytest.mark.parametrize(
    ("query", "field", "hint"),
    [
        ("state=asleep", "state[0]", "agent_lost"),
        ("limit=0", "limit", "at most 500"),
        ("limit=501", "limit", "at most 500"),
        ("limit=many", "limit", "at most 500"),
        ("limit=1&limit=2", "limit", "once"),
        ("repo=app", "repo", "owner/name"),
        ("agent=Claude", "agent", "a-z"),
        ("before=a%00b", "before", "an id"),
        ("stat=running", "stat", "state, repo"),
    ],
)
async def test_a_wrong_parameter_is_named(site: Site, query: str, field: str, hint: str) -> None:
    answer = await site.reader.call("GET", f"{TASKS}?{query}")

    assert hint in answer.refuses(422, "invalid", field)


async def test_a_task_and_what_happened_to_it_can_be_read(site: Site) -> None:
    agent = await site.agent("claude-1")
    task = await site.task(title="Mend the door")
    await site.running(agent)

    seen = (await site.reader.get(f"{TASKS}/{task}")).body
    events = (await site.reader.get(f"{TASKS}/{task}/events")).body

    assert (seen["title"], seen["state"], seen["agent"]) == ("Mend the door", "running", "claude-1")
    types = [event["type"] for event in events["events"]]
    assert types == ["task.created", "task.assigned", "task.started"]
    assert events["events"][1]["actor"] == "agent:claude-1"


async def test_events_come_in_pages(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    await site.running(agent)

    first = (await site.reader.get(f"{TASKS}/{task}/events", limit="2")).body
    rest = (await site.reader.get(f"{TASKS}/{task}/events", after=str(first["next"]))).body

    assert len(first["events"]) == 2
    assert [event["type"] for event in rest["events"]] == ["task.started"]


async def test_a_task_that_waits_says_why_and_what_would_move_it(site: Site) -> None:
    task = await site.task()

    seen = (await site.reader.get(f"{TASKS}/{task}")).body
    listed = (await site.reader.get(TASKS)).body["tasks"][0]

    assert seen["waiting"] == {
        "reason": "no_agents",
        "text": "No agent is registered yet.",
        "since": site.now,
        "until": None,
        "remedy": "Start a runner.",
        "details": [],
    }
    assert seen["flags"] == ["nobody"]
    assert listed["waiting"] == seen["waiting"]
    await site.running(await site.agent())
    moving = (await site.reader.get(f"{TASKS}/{task}")).body
    assert (moving["waiting"], moving["flags"]) == (None, [])


async def test_an_operator_cancels_and_retries(site: Site) -> None:
    task = await site.task()

    cancelled = await site.operator.post(f"{TASKS}/{task}/cancel", {})
    retried = await site.operator.post(f"{TASKS}/{task}/retry", {})

    assert (cancelled.body["state"], cancelled.body["reason"]) == ("cancelled", "cancelled_by_user")
    assert retried.body["state"] == "created"
    actors = {line.split()[0] for line in (await site.journal())[1:]}
    assert actors == {"api:operator"}


async def proven(site: Site, run: str) -> None:
    """The run is done, with pull request 7."""
    receipt = a.a_receipt()
    await site.fleet.commit(cmd.FileReceipt(RunId(run), AgentName("claude-1"), receipt), BY)
    await site.fleet.commit(cmd.Conclude(receipt.id, Verified()), BY)


async def test_more_is_asked_of_an_open_pull_request(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    run = await site.running(agent)
    (await site.operator.post(f"{TASKS}/{task}/again", {})).refuses(409, "conflict", "issue")
    await proven(site, run)
    await site.fleet.commit(cmd.FollowPull(task, a.a_pull(approved_by=("eve",))), BY)

    seen = (await site.reader.get(f"{TASKS}/{task}")).body["pull"]
    asked = await site.operator.post(f"{TASKS}/{task}/again", {"text": "Paint it."})

    assert (seen["number"], seen["state"], seen["approved_by"]) == (7, "open", ["eve"])
    assert (seen["rounds"], seen["round"], seen["asking"]) == (0, None, [])
    assert asked.body["state"] == "created"
    assert asked.body["pull"]["round"] == {"number": 1, "kinds": ["asked"]}
    (await site.reader.post(f"{TASKS}/{task}/again", {})).refuses(403, "forbidden")


async def test_what_a_pull_request_asks_people_is_told(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    run = await site.running(agent)
    await proven(site, run)
    report = a.a_pull(reviews=(a.review(may_write=False),))
    await site.fleet.commit(cmd.FollowPull(task, report), BY)

    seen = (await site.reader.get(f"{TASKS}/{task}")).body

    assert seen["waiting"]["reason"] == "pull_asked"
    assert seen["pull"]["asking"] == ["bob asks for changes, and may not write to the repository."]


async def test_a_task_that_waits_again_names_its_last_run(site: Site) -> None:
    agent = await site.agent()
    task = await site.task()
    run = await site.running(agent)

    await agent.post(f"/api/v1/runs/{run}/fail", {"reason": "agent_failed"})

    view = (await site.reader.get(f"{TASKS}/{task}")).body
    assert (view["state"], view["run"], view["last_run"]) == ("created", None, run)


async def test_an_operator_chooses_the_agent(site: Site) -> None:
    await site.agent("claude-1")
    task = await site.task()

    answer = await site.operator.post(f"{TASKS}/{task}/assign", {"agent": "claude-1"})

    assert answer.body["wanted_agent"] == "claude-1"


async def test_unknown_tasks_and_agents_are_not_found(site: Site) -> None:
    task = await site.task()
    (await site.reader.get(f"{TASKS}/nothing")).refuses(404, "not_found", "task")
    (await site.reader.get(f"{TASKS}/nothing/events")).refuses(404, "not_found", "task")
    for change in ("cancel", "retry"):
        answer = await site.operator.post(f"{TASKS}/nothing/{change}")
        answer.refuses(404, "not_found", "task")

    answer = await site.operator.post(f"{TASKS}/{task}/assign", {"agent": "codex-9"})

    assert "known: none yet" in answer.refuses(404, "not_found", "agent")


async def test_a_task_that_is_over_cannot_be_cancelled_twice(site: Site) -> None:
    task = await site.task()
    first = await site.operator.post(f"{TASKS}/{task}/cancel")
    before = await site.journal()

    second = await site.operator.post(f"{TASKS}/{task}/cancel")

    assert second.status in (200, 409)
    assert first.body["state"] == "cancelled"
    assert await site.journal() == before


async def test_an_operator_takes_an_issue_once(site: Site, forge: DevForge) -> None:
    number = await an_issue(forge)

    first = await site.operator.post(TASKS, {"repo": REPO, "issue": number})
    second = await site.operator.post(TASKS, {"repo": REPO, "issue": number})

    assert (first.status, first.body["title"]) == (200, "Mend the door")
    assert second.body["id"] == first.body["id"]


async def test_an_operator_opens_an_issue(site: Site, forge: DevForge) -> None:
    await an_issue(forge)

    answer = await site.operator.post(TASKS, {"repo": REPO, "title": "Paint it", "body": "Blue."})

    assert (answer.body["issue"], answer.body["title"]) == (2, "Paint it")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"repo": REPO}, "issue"),
        ({"repo": REPO, "issue": 1, "title": "both"}, "issue"),
        ({"repo": "app", "issue": 1}, "repo"),
        ({"repo": REPO, "issue": 0}, "issue"),
        ({"repo": REPO, "issue": 10**30}, "issue"),
        ({"repo": REPO, "title": "  "}, "title"),
        ({"repo": REPO, "title": "t" * 256}, "title"),
        ({"issue": 1}, "repo"),
        ({"repo": REPO, "issue": 1, "label": "fleet"}, "label"),
    ],
)
async def test_a_new_task_that_makes_no_sense_is_refused(
    site: Site, body: dict[str, object], field: str
) -> None:
    answer = await site.operator.post(TASKS, body)

    answer.refuses(422, "invalid", field)
    assert await site.journal() == []


async def test_an_issue_that_does_not_exist_is_not_found(site: Site, forge: DevForge) -> None:
    await an_issue(forge)

    answer = await site.operator.post(TASKS, {"repo": REPO, "issue": 99})

    answer.refuses(404, "not_found", "issue")


async def test_a_forge_that_is_away_is_told_apart_from_a_wrong_request(
    site: Site, forge: DevForge
) -> None:
    number = await an_issue(forge)
    forge.fail_next("GET", "/issues/", 503, times=9, retry_after=60)

    answer = await site.operator.post(TASKS, {"repo": REPO, "issue": number})

    assert "try again" in answer.refuses(503, "forge_unavailable")
    assert answer.headers["Retry-After"]
    assert await site.journal() == ["timer repo.known"]


async def test_a_forge_that_refuses_the_bot_is_named(site: Site, forge: DevForge) -> None:
    number = await an_issue(forge)
    forge.fail_next("GET", "/issues/", 403)

    answer = await site.operator.post(TASKS, {"repo": REPO, "issue": number})

    assert "403" in answer.refuses(502, "forge_refused")


async def test_an_operator_says_how_urgent_it_is(site: Site, forge: DevForge) -> None:
    number = await an_issue(forge)
    forge.add_collaborator(REPO, "fleetbot", "write")
    task = (await site.operator.post(TASKS, {"repo": REPO, "issue": number})).body

    answer = await site.operator.post(f"{TASKS}/{task['id']}/priority", {"priority": "urgent"})

    assert answer.body["priority"] == "urgent"
    assert "priority:urgent" in [label.name for label in forge.repo(REPO).tickets[number].labels]
    wrong = await site.operator.post(f"{TASKS}/{task['id']}/priority", {"priority": "highest"})
    wrong.refuses(422, "invalid", "priority")
    (await site.reader.post(f"{TASKS}/{task['id']}/priority", {"priority": "low"})).refuses(
        403, "forbidden"
    )


async def an_issue(forge: DevForge) -> int:
    ann = forge.add_user("ann", admin=True)
    forge.add_org("team")
    await forge.create_repo("team", "app", {"README.md": "hello"})
    async with ForgeClient(forge.url, ann) as client:
        return (await client.create_issue(REPO, "Mend the door", "It creaks.")).number


async def test_a_program_that_asks_twice_with_one_key_has_one_issue(
    site: Site, forge: DevForge
) -> None:
    await an_issue(forge)
    forge.add_collaborator(REPO, "fleetbot", "write")
    request, key = {"repo": REPO, "title": "Oil the hinge"}, {"Idempotency-Key": "nightly 12"}

    first = await site.operator.post(TASKS, request, headers=key)
    again = await site.operator.post(TASKS, request, headers=key)
    other = await site.operator.post(TASKS, {**request, "title": "?"}, headers=key)

    assert (first.status, first.body["issue"]) == (200, 2)
    assert again.body["id"] == first.body["id"]
    other.refuses(409, "conflict", "Idempotency-Key")
    assert len(forge.repo(REPO).tickets) == 2


async def test_tasks_of_a_repository_are_found_however_it_is_spelt(site: Site) -> None:
    task = await site.task(1)
    listed = await site.reader.get(TASKS, repo=REPO.upper())
    assert [one["id"] for one in listed.body["tasks"]] == [task]


async def test_an_operator_queues_a_task_behind_another(site: Site) -> None:
    first, second = await site.task(1), await site.task(2)
    path = f"{TASKS}/{second}/queue"

    waits = await site.operator.post(path, {"behind": first})
    (await site.operator.post(path, {"behind": "task-9"})).refuses(404, "not_found", "behind")
    (await site.operator.post(path, {"behind": second})).refuses(422, "invalid", "task")
    (await site.operator.post(path, {})).refuses(422, "invalid", "behind")
    (await site.reader.post(path, {"behind": first})).refuses(403, "forbidden")
    goes_on = await site.operator.post(path, {"behind": None})

    assert waits.body["waiting"]["reason"] == "behind"
    assert goes_on.body["waiting"]["reason"] != "behind"


async def test_landing_names_who_wants_it(site: Site, forge: DevForge) -> None:
    await an_issue(forge)
    task = await site.task()
    path = f"{TASKS}/{task}/land"

    (await site.operator.post(path, {})).refuses(422, "invalid", "by")
    (await site.operator.post(f"{TASKS}/task-9/land", {"by": "ann"})).refuses(404, "not_found")
    said = (await site.operator.post(path, {"by": "ann"})).refuses(409, "conflict", "issue")
    (await site.reader.post(path, {"by": "ann"})).refuses(403, "forbidden")

    assert "no pull request" in said
