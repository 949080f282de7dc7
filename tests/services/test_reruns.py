"""A red job that passed before is run again once, where the forge has a call for that."""

from __future__ import annotations

from fleetbot.domain.model import TaskState
from fleetbot.forge.models import PullRequest
from fleetbot_devkit.forge.runs import Run
from tests.services.stage import ANN, REPO, Stage
from tests.services.test_followups import brief, given_done, kinds, look

FLAKY = "FAILED tests/test_net.py::test_time_out\n"
LATER = 3700  # seconds; of what CI says no webhook need tell


async def given_red(stage: Stage, *, log: str = FLAKY, base: str = "success") -> PullRequest:
    """What was green on the base is red on the pull request."""
    _, pull = await given_done(stage)
    stage.forge.ran(REPO, pull.merge_base, base, by=ANN)
    stage.forge.ran(REPO, pull.head.sha, "failure", by=ANN, log=log)
    stage.clock.advance(LATER)
    await look(stage)
    return pull


async def the_run(stage: Stage) -> Run:
    return stage.forge.repo(REPO).runs[-1]


async def reruns(stage: Stage) -> int:
    """How often the forge was asked."""
    asked = [x for x in stage.forge.requests if x.method == "POST" and x.path.endswith("/rerun")]
    return len(asked)


async def test_a_job_that_passes_the_second_time_costs_nothing(stage: Stage) -> None:
    stage.forge.run_jobs_again()
    await given_red(stage)
    assert kinds(await stage.journal())[-1] == "pull.rerun"
    await stage.settle()

    run = await the_run(stage)
    assert (run.jobs[0].attempt, run.jobs[0].status) == (2, "waiting")
    stage.clock.advance(20)
    assert (await look(stage)).state is TaskState.COMPLETED
    stage.forge.ran_again(REPO, run, "success")
    stage.clock.advance(600)
    task = await look(stage)

    assert task.pull is not None
    assert (task.state, task.pull.standing.ci, task.pull.rounds) == (
        TaskState.COMPLETED,
        "green",
        0,
    )


async def test_red_again_it_is_a_round_and_is_not_run_a_third_time(stage: Stage) -> None:
    stage.forge.run_jobs_again()
    await given_red(stage)
    await stage.settle()
    stage.forge.ran_again(REPO, await the_run(stage), "failure", log=FLAKY)
    stage.clock.advance(600)
    assert (await look(stage)).state is TaskState.CREATED
    assert FLAKY.strip() in (await brief(stage)).checks[0].log
    assert await reruns(stage) == 1


async def test_killed_before_it_knew_of_the_answer_it_asks_no_second_time(stage: Stage) -> None:
    stage.forge.run_jobs_again()
    stage.forge.fail_next("POST", r"/rerun$", 0, applied=True)
    await given_red(stage)
    await stage.courier.tick()  # the answer is lost
    run = await the_run(stage)
    stage.forge.ran_again(REPO, run, "failure", log=FLAKY)
    stage.restart()
    await stage.fleet.start()
    stage.clock.advance(60)
    await stage.settle()
    assert run.jobs[0].attempt == 2, "what it shows by then is that it was run again"


async def test_where_the_forge_has_no_such_call_it_is_mended_at_once(stage: Stage) -> None:
    await given_red(stage)
    assert (await stage.task()).state is TaskState.CREATED
    assert "pull.rerun" not in kinds(await stage.journal())
    assert await reruns(stage) == 0


async def test_what_speaks_of_a_changed_file_is_mended_at_once(stage: Stage) -> None:
    stage.forge.run_jobs_again()
    await given_red(stage, log="hello.txt: line 1: no greeting\n")
    assert (await stage.task()).state is TaskState.CREATED


async def test_so_is_what_did_not_pass_before(stage: Stage) -> None:
    stage.forge.run_jobs_again()
    await given_red(stage, base="running")
    assert (await stage.task()).state is TaskState.CREATED


async def test_what_the_forge_refuses_to_run_again_is_mended_after_a_while(stage: Stage) -> None:
    stage.forge.run_jobs_again()
    stage.forge.fail_next("POST", r"/rerun$", 403, times=9)
    await given_red(stage)
    await stage.settle()
    assert (await look(stage)).state is TaskState.COMPLETED
    stage.clock.advance(700)
    assert (await look(stage)).state is TaskState.CREATED
    assert await reruns(stage) == 1
