"""Claude Code and Codex themselves, from a Forgejo issue to a verified task and back to people."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fleetbot.domain.model import branch_name
from fleetbot_devkit.model import Reply, Request, ScriptedModel
from fleetbot_devkit.world import REPO, RUNS, World
from tests.flow.programs import DONE, LIMITED, Programs, committing
from tests.flow.seen import task_of, until_labelled, until_state
from tests.runner.adapters.conftest import claude, codex  # noqa: F401 - fixtures
from tests.runner.adapters.harness import KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIVE = ("claude-live", "codex-live")


def with_(*names: str) -> pytest.MarkDecorator:
    """The agents of a story: it has both programs where they differ in it. How each of them does
    what it does in each mode, the tests of the adapters show."""
    return pytest.mark.parametrize("name", names)


SECONDS = 50.0


@pytest.fixture(scope="module")
def shared_config() -> Mapping[str, Any]:
    """Agents may not touch secrets/; a runner that is started again is in time for its lease, and
    before it is missed."""
    patient = {**RUNS, "heartbeat_seconds": 3, "lease_seconds": 30, "ack_seconds": 30}
    return {"verify": {"forbidden_paths": ["secrets/**"]}, "runs": patient}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(
    shared_world: World,
    claude: str,  # noqa: F811 - the fixture
    codex: str,  # noqa: F811 - the fixture
) -> AsyncIterator[Programs]:
    async with ScriptedModel() as model:
        programs = Programs(shared_world, model, {"claude-code": claude, "codex": codex})
        await programs.start()
        yield programs


async def completed(fleet: Programs, issue: int) -> None:
    await until_state(fleet.world, issue, "completed", SECONDS)


@with_("claude-live", "codex-plain")
async def test_an_issue_becomes_a_verified_task(fleet: Programs, name: str) -> None:
    fleet.told(fleet[name].shell(committing("hello.txt")), DONE)

    issue = await fleet.issue_for(name, "Say hello to everybody")

    await completed(fleet, issue)
    (receipt,) = await fleet.receipts(issue)
    assert receipt["files"] == ["hello.txt"]
    assert receipt["usage"]["input_tokens"] == 2000
    assert "Say hello to everybody" in fleet.model.requests[0].text
    assert any("Done as asked." in comment for comment in await fleet.world.comments(issue))
    await until_labelled(fleet.world, issue, "status:done")
    assert KEY not in fleet.runner.output()


@with_("claude-asks", "codex-asks")
async def test_a_person_says_no_to_one_thing_and_yes_to_another(fleet: Programs, name: str) -> None:
    escalated = {} if "claude" in name else {"sandbox_permissions": "require_escalated"}

    def risky(path: str) -> Reply:
        return fleet[name].shell(f"python3 -c 'print()' && {committing(path)}", **escalated)

    def replies(asked: Request) -> Reply:
        """By what was said so far: Codex asks again where a person's words come in between."""
        if "yes.txt" in asked.text:
            return DONE
        return risky("yes.txt" if "no.txt" in asked.text else "no.txt")

    fleet.told(*[replies] * 9)
    issue = await fleet.issue_for(name, "Ask before you act")

    first = await fleet.asked()
    assert await fleet.answer(first, "deny", "Not that file") == {
        "state": "answered",
        "behavior": "deny",
        "text": "Not that file",
    }
    second = await fleet.asked([first["id"]])
    await fleet.answer(second, "allow")

    await completed(fleet, issue)
    assert (first["kind"], first["agent"]) == ("permission", name)
    assert "no.txt" in first["title"]
    assert "yes.txt" in second["title"]
    assert "Not that file" in fleet.model.requests[-1].text
    assert [receipt["files"] for receipt in await fleet.receipts(issue)] == [["yes.txt"]]


@with_("codex-asks")
async def test_the_program_hears_a_persons_answer(fleet: Programs, name: str) -> None:
    fleet.told(fleet[name].asks(), Reply(text="Blue it is, but there is nothing to do."))
    issue = await fleet.issue_for(name, "Paint it")

    ask = await fleet.asked()
    await fleet.answer(ask, "allow", "Blue")

    await until_state(fleet.world, issue, "failed", SECONDS)
    assert (ask["kind"], ask["title"], ask["options"]) == (
        "question",
        "Which color?",
        ["Red", "Blue"],
    )
    assert "Blue" in fleet.model.requests[1].text.rpartition("Which color?")[2]
    task = await task_of(fleet.world, issue)
    assert task is not None
    assert task["reason"] == "no_changes"


@with_("codex-asks")
async def test_a_person_allows_a_command_by_a_reaction(fleet: Programs, name: str) -> None:
    fleet.told(fleet.escalating(name, committing("pressed.txt")), DONE)
    issue = await fleet.issue_for(name, "Ask the room")

    asked = await fleet.asked_in_room(issue)
    assert committing("pressed.txt") in asked.text
    await fleet.world.alice.react(fleet.world.room, asked.event_id, "👍🏽")

    await fleet.shown(asked, "✅ Allowed by alice")
    await completed(fleet, issue)


@with_("codex-asks")
async def test_what_a_person_always_allows_is_asked_once_in_a_run(
    fleet: Programs, name: str
) -> None:
    command = "git commit -q --allow-empty -m Again && git log -1 > again.txt && git add -A"
    fleet.told(*[fleet.escalating(name, command)] * 2, fleet[name].shell("git commit -qm x"), DONE)
    issue = await fleet.issue_for(name, "Ask once")

    asked = await fleet.asked_in_room(issue)
    await fleet.world.alice.react(fleet.world.room, asked.event_id, "♾️")

    await fleet.shown(asked, "♾️ Always allowed by alice")
    await completed(fleet, issue)
    assert len(await fleet.lines(issue, "run.asked")) == 1


@with_("claude-asks")
async def test_a_person_answers_a_question_in_the_room(fleet: Programs, name: str) -> None:
    fleet.told(fleet[name].asks(), Reply(text="Blue it is, but there is nothing to do."))
    issue = await fleet.issue_for(name, "Paint the door")

    asked = await fleet.asked_in_room(issue)
    await fleet.world.alice.reply(fleet.world.room, asked.event_id, "2")

    await fleet.shown(asked, "✅ Answered by alice")
    await until_state(fleet.world, issue, "failed", SECONDS)
    assert "Blue" in fleet.model.requests[1].text.rpartition("Which color?")[2]


@with_("codex-live")
async def test_words_in_the_thread_reach_the_model_while_it_works(
    fleet: Programs, name: str, tmp_path: Path
) -> None:
    gate, title = tmp_path / "gate", f"Have {name} listen to people"
    wait = f"python3 -c 'import os, time\nwhile not os.path.exists(\"{gate}\"): time.sleep(0.02)'"
    fleet.told(fleet[name].shell(wait), fleet[name].shell(committing("tabs.txt")), DONE)
    issue = await fleet.issue_for(name, title)
    await fleet.model.request(1)
    thread = await fleet.thread_of(title)

    said = await fleet.world.alice.send(fleet.world.room, "Use tabs, please", thread=thread)

    await fleet.nods(said, "✅")
    gate.touch()
    await completed(fleet, issue)
    assert "Use tabs, please" in fleet.model.requests[1].text


@with_("codex-plain")
async def test_a_message_is_kept_for_the_next_attempt_and_the_sender_sees_that(
    fleet: Programs, name: str
) -> None:
    heard = asyncio.Event()
    fleet.told(Reply(status=500, hold=heard), fleet[name].shell(committing("tabs.txt")), DONE)
    issue = await fleet.issue_for(name, "Listen to people later")
    await fleet.model.request(1)
    run = await fleet.run_of(issue)

    await fleet.operate(f"/runs/{run}/messages", {"text": "Use tabs, please"})

    await fleet.until_taken(run, "kept")
    heard.set()
    await completed(fleet, issue)
    assert "Use tabs, please" not in fleet.model.requests[0].text
    assert "Use tabs, please" in fleet.model.requests[1].text
    (failed,) = await fleet.lines(issue, "task.failed")
    assert failed["reason"] == "provider_unavailable"


async def test_a_usage_limit_parks_the_account_and_another_one_goes_on(fleet: Programs) -> None:
    resets_at = int(time.time()) + 8

    def limit(request: Request) -> Reply:
        return fleet.of(request).usage_limit(resets_at)

    def work(request: Request) -> Reply:
        return fleet.of(request).shell(committing("hello.txt"))

    fleet.told(limit, work, DONE)
    issue = await fleet.world.open_issue("Go on", labels=("fleet", f"needs:{LIMITED}"))

    await completed(fleet, issue)
    first, second = await fleet.lines(issue, "task.assigned")
    assert {first["agent"], second["agent"]} == set(LIVE)
    agents = (await fleet.world.get("/agents"))["agents"]
    rest = {agent["name"] for agent in agents if agent["parked_until"] >= resets_at * 1000}
    program = first["agent"].partition("-")[0]
    assert rest == {f"{program}-{mode}" for mode in ("live", "plain", "asks")}


@with_("codex-live")
async def test_after_the_reset_the_task_goes_on_with_its_own_agent(
    fleet: Programs, name: str
) -> None:
    resets_at = int(time.time()) + 4
    agent = fleet[name]
    fleet.told(agent.usage_limit(resets_at), agent.shell(committing("hello.txt")), DONE)

    issue = await fleet.issue_for(name, "Wait for the reset")

    await completed(fleet, issue)
    _, second = await fleet.lines(issue, "task.assigned")
    assert second["at"] >= resets_at * 1000
    assert second["attempt"] == 1  # a limit is nobody's failure


@with_("codex-live")
async def test_a_runner_killed_in_mid_run_goes_on_with_the_session(
    fleet: Programs, name: str
) -> None:
    never = asyncio.Event()
    title = f"Survive the crash of {name}"
    fleet.told(
        fleet[name].shell("echo draft > draft.txt"),
        Reply(hold=never),
        fleet[name].shell("git add -A && git commit -qm 'Add the draft'"),
        DONE,
    )
    issue = await fleet.issue_for(name, title)
    await fleet.model.request(2)
    await fleet.until_accounted(await fleet.run_of(issue))

    await fleet.runner.kill()
    fleet.runner.start()

    await completed(fleet, issue)
    assert "echo draft" in fleet.model.requests[2].text
    assert len(fleet.sessions(name, title)) == 1
    (receipt,) = await fleet.receipts(issue)
    assert receipt["files"] == ["draft.txt"]
    (failed,) = await fleet.lines(issue, "task.failed")
    assert failed["usage"]["input_tokens"] == 1000  # what the killed one had heard
    assert receipt["usage"]["input_tokens"] == 2000  # and nothing of that again


@with_("claude-live")
async def test_why_the_work_was_not_pushed_is_in_the_next_prompt(
    fleet: Programs, name: str
) -> None:
    shell = fleet[name].shell
    fleet.told(
        shell(f"mkdir secrets && {committing('secrets/key')}"),
        DONE,
        shell(f"git rm -rq secrets && {committing('hello.txt')}"),
        Reply(text="Mended."),
    )

    issue = await fleet.issue_for(name, "Keep out of secrets")

    await completed(fleet, issue)
    (proved,) = await fleet.receipts(issue)
    assert proved["files"] == ["hello.txt"]
    assert "may not be changed by an agent: `secrets/key`" in fleet.model.requests[2].text
    assert "Done as asked." in fleet.model.requests[2].text  # it is the same conversation


async def test_a_push_that_is_refused_is_told_on_the_issue(fleet: Programs) -> None:
    hook = fleet.world.forge.repo(REPO).git.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ngrep -q -- -frozen || exit 0\necho 'it is frozen' >&2; exit 1\n")
    hook.chmod(0o755)
    fleet.told(fleet["codex-plain"].shell(committing("hello.txt")), DONE)

    issue = await fleet.issue_for("codex-plain", "Frozen")

    await until_labelled(fleet.world, issue, "status:failed")
    (failed,) = await fleet.lines(issue, "task.failed")
    assert failed["reason"] == "push_rejected"
    assert "it is frozen" in failed["detail"]
    assert "branch protection" in failed["detail"]


async def test_other_peoples_commits_on_the_branch_are_built_upon(fleet: Programs) -> None:
    title = "Taken"
    fleet.told(fleet["codex-plain"].shell(committing("ours.txt")), DONE)
    issue = await fleet.world.open_issue(title, labels=("agent:codex-plain",))
    branch = branch_name(issue, title)
    theirs = await fleet.world.forge.commit(REPO, branch, {"mine.txt": "x"}, "Mine", by="alice")
    labels = {
        row["name"]: row["id"]
        for row in await fleet.world.forge_api("alice", "GET", f"/repos/{REPO}/labels?limit=50")
    }
    await fleet.world.forge_api(
        "alice", "POST", f"/repos/{REPO}/issues/{issue}/labels", {"labels": [labels["fleet"]]}
    )

    await completed(fleet, issue)
    pulls = await fleet.world.forge_api("alice", "GET", f"/repos/{REPO}/pulls?state=open")
    (pull,) = [one for one in pulls if one["head"]["ref"] == branch]
    commits = f"/repos/{REPO}/pulls/{pull['number']}/commits"
    there = await fleet.world.forge_api("alice", "GET", commits)
    assert theirs in [commit["sha"] for commit in there]


async def test_a_retry_makes_a_deleted_worktree_anew_and_uses_the_pull_request(
    fleet: Programs,
) -> None:
    name, title = "claude-plain", "Once more"
    fleet.told(fleet[name].shell(committing("one.txt")), DONE)
    issue = await fleet.issue_for(name, title)
    await completed(fleet, issue)
    task = await task_of(fleet.world, issue)
    assert task is not None
    shutil.rmtree(fleet.worktree(issue, title))

    fleet.told(fleet[name].shell(committing("two.txt")), DONE)
    await fleet.operate(f"/tasks/{task['id']}/retry", {})
    await fleet.model.request(2)

    await completed(fleet, issue)
    first, second = await fleet.receipts(issue)
    assert second["files"] == ["one.txt", "two.txt"]
    assert first["pull_request"] == second["pull_request"]
