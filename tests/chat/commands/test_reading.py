"""People ask about the fleet: the log of a run, what was spent, how it does, and why."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fleetbot.chat.speaking.runs import begins, event_link
from fleetbot.domain import commands as cmd
from fleetbot.domain.events import AgentRegistered
from fleetbot.domain.machine import MachineFacts
from fleetbot.domain.model import AgentName, Run, TaskId, Traits
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.usage import Usage
from fleetbot.settings import RoomSettings
from fleetbot.store.records import Change, LogChunk, LogLine
from tests.chat.dialogue import ROOM, Dialogue, dialogue
from tests.services.stage import CLAUDE, REPO, TEST, Stage

SHELL = AgentName("shell-1")


async def logged(stage: Stage, run: Run, *texts: str) -> None:
    lines = tuple(LogLine(stage.clock(), "text", text) for text in texts)
    await stage.store.append_log(LogChunk(run=run.id, offset=0, lines=lines))


async def failed(stage: Stage, agent: AgentName = CLAUDE, **usage: float) -> Run:
    """A run of the next task that comes to nothing for good."""
    run = await stage.given_running(agent)
    used = Usage(**usage)  # type: ignore[arg-type]  # tokens are whole here
    failure = cmd.FailRun(run.id, agent, ReasonCode.NO_CHANGES, usage=used)
    await stage.fleet.commit(failure, TEST)
    return run


# agents


async def test_one_agent_is_shown_with_its_machine(chat: Dialogue) -> None:
    await chat.stage.given_running()
    chat.stage.fleet.note_machine(CLAUDE, MachineFacts(fleetbot="0.1.0", git="2.43.0"))

    await chat.says("bob", "!fleet agents claude-1")

    told = chat.answers("⚙️ claude-1: ann/app#1 …").text
    assert "🖥️ Its machine: fleetbot 0.1.0, Python not told, git 2.43.0" in told


async def test_of_a_runner_that_does_not_tell_nothing_is_made_up(chat: Dialogue) -> None:
    await chat.stage.given_running()

    await chat.says("bob", "!fleet agents claude-1")

    assert "versions, disk and sandbox not told by its runner" in chat.answers("…").text


async def test_an_agent_that_is_not_there_is_told_who_is(chat: Dialogue) -> None:
    await chat.stage.given_running()

    await chat.says("bob", "!fleet agents claud-1")

    chat.answers("… There is no agent claud-1; did you mean claude-1?")


# log


async def test_the_log_of_the_newest_run_comes_as_a_file(chat: Dialogue) -> None:
    run = await chat.stage.given_running()
    await logged(chat.stage, run, "\x1b[1mReading\x1b[0m the issue", "Done.")

    await chat.says("bob", "!fleet log #1")

    said, file = chat.new
    assert said.text == "📜 ann/app#1 Add a greeting\nclaude-1, which is at it · 2 lines"
    assert (file.content["msgtype"], file.text) == ("m.file", "app-1-run-1.txt")
    assert chat.server.uploaded == [b"Reading the issue\nDone.\n"]


async def test_the_log_of_an_earlier_run_is_asked_for_by_its_number(chat: Dialogue) -> None:
    first = await failed(chat.stage)
    await logged(chat.stage, first, "In vain.")
    await chat.says("mod", "!fleet retry #1")
    await chat.stage.given_running()

    await chat.says("bob", "!fleet log #1 1")

    said, file = chat.new
    assert said.text.splitlines()[-1] == "Another run's: !fleet log ann/app#1 2"
    assert "run 1 of 2, claude-1, ended just now" in said.text
    assert ": the agent ended without changing anything · 1 line" in said.text
    assert file.text == "app-1-run-1.txt"


@pytest.mark.parametrize("which", ["2", "0", "x"])
async def test_a_run_that_there_is_not_is_refused_with_what_there_is(
    chat: Dialogue, which: str
) -> None:
    await failed(chat.stage)

    await chat.says("bob", f"!fleet log #1 {which}")

    chat.answers(f"⚠️ ann/app#1 has 1 run, and no run {which}.")


async def test_a_task_without_a_run_has_no_log(chat: Dialogue) -> None:
    await chat.says("bob", "!fleet log #1")
    chat.answers("⚠️ ann/app#1 has had no run yet, so it has no log.")


async def test_a_log_that_was_let_go_of_is_said_to_be(chat: Dialogue) -> None:
    run = await failed(chat.stage)
    await logged(chat.stage, run, "Long ago.")
    await chat.stage.store.prune_logs(chat.stage.clock() + 1)

    await chat.says("bob", "!fleet log #1")

    chat.answers("📜 ann/app#1 …\nThere is no log of what claude-1 did: …keep.log_days….")


async def test_of_a_log_that_is_too_large_come_its_ends_and_all_of_it_packed(
    chat: Dialogue,
) -> None:
    run = await chat.stage.given_running()
    await logged(chat.stage, run, *(f"line {number}" for number in range(500)))
    chat.server.largest = 2_000

    await chat.says("bob", "!fleet log #1")

    said, short, packed = chat.new
    assert "its middle is left out; all of it is in the other file, packed." in said.text
    assert (short.text, packed.text) == ("shortened-app-1-run-1.txt", "app-1-run-1.txt.gz")
    ends, whole = chat.server.uploaded
    assert ends.startswith(b"line 0\n")
    assert ends.endswith(b"line 499\n")
    assert len(ends) <= 2_000
    assert gzip.decompress(whole).splitlines() == [b"line %d" % n for n in range(500)]


# cost and stats


@pytest.fixture
async def spent(chat: Dialogue) -> Dialogue:
    """Issue 1 cost half a dollar yesterday; issue 2 was done by a program that tells nothing."""
    stage = chat.stage
    await failed(stage, input_tokens=1000, output_tokens=200, cost_usd=0.5)
    stage.clock.advance(86_400)
    await stage.issue("Say goodbye")
    await stage.hear()
    await failed(stage, SHELL)
    return chat


async def test_the_cost_is_told_by_repository_agent_day_and_task(spent: Dialogue) -> None:
    await spent.says("bob", "!fleet cost 7d")

    spent.answers(
        "💰 The last 7 days: $0.50\n"
        "2 runs, 1.2k tokens\n"
        "Not counted: 1 run of programs that tell no cost.\n"
        "By repository:\n"
        "• ann/app: $0.50, 1.2k tokens, 2 runs, 1 of them without a cost\n"
        "By agent:\n"
        "• claude-1: $0.50, 1.2k tokens, 1 run\n"
        "• shell-1: neither cost nor tokens reported, 1 run\n"
        "By day, in UTC:\n"
        "…\n"
        "The dearest tasks:\n"
        "• ann/app#1 Add a greeting: $0.50, 1.2k tokens, 1 run\n"
        "• ann/app#2 Say goodbye: neither cost nor tokens reported, 1 run"
    )


async def test_the_cost_since_today_leaves_out_yesterday(spent: Dialogue) -> None:
    await spent.says("bob", "!fleet cost today")
    spent.answers(
        "💰 Today: no cost reported\n1 run, of programs that tell neither cost nor tokens"
    )


async def test_a_wrong_time_is_refused_with_the_forms(chat: Dialogue) -> None:
    await chat.says("bob", "!fleet cost soon")
    chat.answers(
        "⚠️ Since when is 'soon'? Say 7d, 24h, 2w, today, yesterday, monday"
        " or a day like 2026-11-01."
    )


async def test_the_numbers_come_in_words_with_a_picture(spent: Dialogue) -> None:
    await spent.says("bob", "!fleet stats")

    said, drawn = spent.new
    # The last of the seven days is as long as it is late in the day.
    assert said.text.replace("$0.07", "$0.08").splitlines() == [
        "📊 The last 7 days",
        "✅ 0 verified",
        "🎯 0 % of what ended succeeded, none verified at the first try; "
        "2 failed and wait for a person",
        "💰 $0.50, $0.08 a day; 1 run without a cost",
    ]
    assert drawn.content["msgtype"] == "m.image"
    assert drawn.content["info"]["mimetype"] == "image/png"
    assert spent.server.uploaded[0].startswith(b"\x89PNG")


async def test_where_nothing_ended_there_is_no_picture(chat: Dialogue) -> None:
    await chat.says("bob", "!fleet stats 24h")
    chat.answers("📊 The last 24 hours\nNo run has ended in that time.")


async def test_a_room_counts_its_own_repositories_only(stage: Stage) -> None:
    await stage.issue()
    await stage.hear()
    await failed(stage, cost_usd=2)

    async with dialogue(stage, RoomSettings(repos=("ann/other",))) as elsewhere:
        await elsewhere.says("bob", "!fleet cost")
        elsewhere.answers("💰 The last 7 days: no cost reported\nNo run has ended in that time.")
        await elsewhere.says("bob", "!fleet status")
        assert "📅 Today: 0 verified, 0 failed" in elsewhere.answers("…").text
    async with dialogue(stage, RoomSettings(repos=("ANN/app",))) as at_home:
        await at_home.says("ann", "!fleet status")
        assert "📅 Today: 0 verified, 1 failed, $2.00" in at_home.answers("…").text


# status, tasks, task, why


async def test_the_status_says_what_could_not_be_delivered(chat: Dialogue) -> None:
    stage = chat.stage
    stage.forge.fail_next("POST", "/comments", 404, times=50)
    for _ in range(60):
        await stage.courier.tick()
        stage.clock.advance(86_400)
    assert (await stage.store.graveyard()).letters

    await chat.says("bob", "!fleet status")

    said = chat.answers("🚦 Waiting for a person: …").text
    assert "could not be delivered" in said
    assert "👉 See !fleet doctor; nothing is lost." in said


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("foo", "There is no agent foo; known: claude-1."),
        ("claud-1", "There is no agent claud-1; did you mean claude-1?"),
        ("faild", "There is no agent faild; did you mean failed?"),
    ],
)
async def test_tasks_of_an_agent_that_there_is_not_are_refused_with_the_nearest(
    chat: Dialogue, word: str, said: str
) -> None:
    await chat.stage.given_running()

    await chat.says("bob", f"!fleet tasks {word}")

    chat.answers(f"⚠️ {said}")


async def test_a_task_is_told_with_its_log_s_last_lines_and_where_it_goes_on(
    chat: Dialogue,
) -> None:
    stage = chat.stage
    run = await stage.given_running()
    await logged(stage, run, *(f"line {number}" for number in range(9)), "<b>@room</b> " * 90)
    await stage.store.append(Change(anchors=begins(ROOM, run.id, "$begin", "$root")))

    await chat.says("bob", "!fleet task #1")

    said = chat.answers("⚙️ ann/app#1 Add a greeting\n…")
    assert said.text.splitlines()[-5:-1] == ["line 5", "line 6", "line 7", "line 8"]
    assert len(said.text.splitlines()[-1]) <= 200
    html = said.content["formatted_body"]
    assert event_link(ROOM, "$begin") in html
    assert "&lt;b&gt;" in html
    assert "@room" not in html


async def test_what_is_said_of_a_task_can_be_replied_to(chat: Dialogue) -> None:
    await chat.says("bob", "!fleet why #1")
    told = chat.answers("⏳ …")

    await chat.says("mod", "!fleet cancel", to=told.event)

    chat.answers("✖️ ann/app#1 Add a greeting\nis cancelled.")


async def test_why_tells_who_did_what(chat: Dialogue) -> None:
    await chat.says("mod", "!fleet cancel #1")
    await chat.says("mod", "!fleet retry #1")

    await chat.says("bob", "!fleet why #1")

    said = chat.answers("⏳ …").text
    assert "taken up, from the issue of ann · ann on Forgejo, by webhook · " in said
    assert "cancelled by a person · mod, in chat · " in said
    assert "queued again: a person asked for it again · mod, in chat · " in said


async def test_why_of_a_completed_task_shows_each_fact_that_was_seen(chat: Dialogue) -> None:
    stage = chat.stage
    run = await stage.given_running()
    pull = await stage.pull_request(run)
    await stage.given_receipt(run, pull)
    await stage.verifier.tick()

    await chat.says("bob", "!fleet why #1")

    said = chat.answers("✅ ann/app#1 Add a greeting\ncompleted\n…").text
    assert "What was handed in was checked against Forgejo just now" in said
    for fact in (
        "PR #2 was open, and no draft",
        f"Head: {pull.head.sha[:12]}, the commit that was handed in",
        "Changes: 1 file in 1 commit",
        "Into: main",
        "By: fleetbot",
    ):
        assert f"• {fact}" in said


async def grown_large(stage: Stage) -> None:
    """120 agents, and 60 tasks that each wait for something else, with texts of the longest."""
    for number in range(120):
        registration = AgentRegistered(
            adapter="command",
            program="/usr/bin/python3 " * 9,
            capabilities=tuple(f"{'c' * 30}{place}" for place in range(20)),
            health=("<" * 900,) * 3,
        )
        await stage.fleet.commit(cmd.RegisterAgent(AgentName(f"a-{number}"), registration), TEST)
    for number in range(1000, 1060):
        task = cmd.CreateTask(
            task=TaskId(f"big-{number}"),
            repo=REPO,
            issue=number,
            url=f"{stage.forge.url}/{REPO}/issues/{number}",
            author="ann",
            traits=Traits(title="<&'\"" * 60, needs=(f"{number}" * 40,)),
        )
        await stage.fleet.commit(task, TEST)


async def test_every_answer_fits_into_an_event_however_large_the_fleet_is(chat: Dialogue) -> None:
    """It comes as it is meant, and is not cut as a last resort."""
    stage = chat.stage
    run = await stage.given_running()
    await grown_large(stage)
    await logged(stage, run, *("<" * 4_000 for _ in range(20)))
    failure = cmd.FailRun(run.id, CLAUDE, ReasonCode.NO_CHANGES, detail="<" * 9000)
    await stage.fleet.commit(failure, TEST)

    for command in ("status", "tasks", "tasks all", "agents", "task #1", "why #1", "cost", "stats"):
        await chat.says("bob", f"!fleet {command}")
        assert "too long for a message" not in chat.new[0].text, command


async def test_of_a_task_in_the_archive_is_said_where_its_story_is(
    chat: Dialogue, tmp_path: Path
) -> None:
    stage = chat.stage
    await failed(stage)
    await stage.fleet.commit(cmd.CancelTask((await stage.task(1)).id), TEST)
    await stage.issue("Another")
    await stage.settle()
    await chat.bots.courier.tick()
    stage.clock.advance(60)
    now = stage.clock()
    done = await stage.store.archive(tmp_path, now, now, 1)
    assert done.tasks == 1

    await chat.says("bob", "!fleet why #1")

    (said,) = chat.new
    where = f"🗄️ Its first {done.lines} events are in the journal's archive, up to the file"
    assert f"{where} journal-000000000001.jsonl.gz." in said.text
    assert "It ended" in said.text

    await stage.fleet.commit(cmd.RetryTask((await stage.task(1)).id), TEST)
    await chat.says("bob", "!fleet why #1")
    (said,) = chat.new
    assert where in said.text
