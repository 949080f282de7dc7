"""A repository is renamed, transferred, archived or closed while its task is worked on."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner import app
from fleetbot.runner.run.whereabouts import Whereabouts
from fleetbot.wire import Assignment
from tests.runner.adapters.harness import Fifo
from tests.runner.run.test_restart import at_work
from tests.runner.scene import REPO, WRITES_A_FILE, Scene

NEW = "ada/gadgets"


async def change(scene: Scene, repo: str = REPO, **fields: Any) -> None:
    """Ada changes the repository's settings."""
    await scene.call("PATCH", f"/repos/{repo}", fields)


async def transfer(scene: Scene) -> str:
    """Ada hands the repository to her organisation; its new name."""
    scene.forge.add_org("crew")
    scene.forge.add_team("crew", "owners", "admin", ["ada", "fleet"])
    await scene.call("POST", f"/repos/{REPO}/transfer", {"new_owner": "crew"})
    return "crew/widgets"


async def rename(scene: Scene) -> str:
    await change(scene, name="gadgets")
    return NEW


async def order_by_id(scene: Scene, **fields: Any) -> Assignment:
    return await scene.order(repo_id=scene.forge.repo(REPO).id, **fields)


@pytest.mark.parametrize("move", [rename, transfer])
async def test_a_run_that_began_before_a_rename_is_handed_over_after_it(
    scene: Scene, fifo: Fifo, move: Any
) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(f"echo at work; read x < {fifo.path}; {WRITES_A_FILE}"):
        await scene.orchestrator.until(at_work(order.run))
        new = await move(scene)
        fifo.tell()
        await scene.settled(order)

    (receipt,), (pull,) = scene.orchestrator.receipts, await scene.pulls()
    assert scene.orchestrator.failures == {}
    assert (receipt.pull_request, receipt.head) == (pull["number"], pull["head"]["sha"])
    assert all(f"/{new}/" in one.url for one in receipt.artifacts)
    assert f"{REPO} is called {new} now" in scene.orchestrator.log_of(order.run)


async def test_a_task_that_is_given_out_by_an_old_name_is_worked_on_under_the_new_one(
    scene: Scene,
) -> None:
    order = await scene.order()
    await change(scene, name="gadgets")

    await scene.carry_out(WRITES_A_FILE, order)

    assert scene.orchestrator.failures == {}
    assert scene.orchestrator.receipts[0].files == ("hello.txt",)


async def test_what_takes_the_old_name_meanwhile_gets_nothing(scene: Scene, fifo: Fifo) -> None:
    order = await order_by_id(scene)
    await scene.orchestrator.assign(order)

    async with scene.runner(f"echo at work; read x < {fifo.path}; {WRITES_A_FILE}"):
        await scene.orchestrator.until(at_work(order.run))
        await change(scene, name="gadgets")
        await scene.forge.create_repo("ada", "widgets", {"README.md": "# Others\n"})
        scene.forge.add_collaborator(REPO, "fleet", "write")
        fifo.tell()
        await scene.settled(order)

    assert scene.orchestrator.failures == {}
    assert await scene.pulls() == []
    assert scene.on_forge("branch", "--list", "fleet/*") == ""
    assert len(await scene.call("GET", f"/repos/{NEW}/pulls")) == 1


async def test_what_is_kept_of_a_failed_run_is_kept_under_the_new_name(
    scene: Scene, fifo: Fifo
) -> None:
    order = await order_by_id(scene)
    await scene.orchestrator.assign(order)

    async with scene.runner(f"{WRITES_A_FILE}; echo at work; read x < {fifo.path}; exit 3"):
        await scene.orchestrator.until(at_work(order.run))
        await change(scene, name="gadgets")
        await scene.forge.create_repo("ada", "widgets", {"README.md": "# Others\n"})
        scene.forge.add_collaborator(REPO, "fleet", "write")
        fifo.tell()
        await scene.settled(order)

    assert "kept as refs/fleet/" in scene.orchestrator.log_of(order.run)
    assert scene.on_forge("for-each-ref", "refs/fleet") == ""


async def test_the_next_attempt_finds_what_the_last_one_left_under_the_old_name(
    scene: Scene,
) -> None:
    first = await order_by_id(scene)
    await scene.carry_out("echo draft > draft.txt; echo token > .git-ignored; exit 3", first)
    await change(scene, name="gadgets")
    again = await order_by_id_of(scene, first)

    await scene.carry_out("test -e draft.txt && echo more > more.txt", again)

    assert scene.orchestrator.receipts[0].files == (".git-ignored", "draft.txt", "more.txt")
    assert not (scene.root / "state" / "repositories" / NEW).exists()


async def order_by_id_of(scene: Scene, first: Assignment) -> Assignment:
    """The task's next run, by the name that its repository has now."""
    return await scene.order(
        issue=first.issue, task=first.task, attempt=2, number=2, repo=NEW, repo_id=first.repo_id
    )


async def test_a_repository_with_the_name_that_another_had_shares_nothing_with_it(
    scene: Scene,
) -> None:
    await scene.carry_out(f"{WRITES_A_FILE}; exit 3", await order_by_id(scene))
    await change(scene, name="gadgets")
    await scene.forge.create_repo("ada", "widgets", {"README.md": "# Others\n"})
    scene.forge.add_collaborator(REPO, "fleet", "write")
    other = await order_by_id(scene)

    await scene.carry_out("test ! -e hello.txt && echo new > new.txt", other)

    assert scene.orchestrator.receipts[0].files == ("new.txt",)


async def test_a_rename_between_two_steps_costs_one_more_look(scene: Scene) -> None:
    config = scene.config("true")
    async with app.open_machine(config, scene.say) as machine, AsyncExitStack() as stack:
        where = Whereabouts(machine, await scene.order(base="main"), lambda text: None)
        await where.look()
        await change(scene, name="gadgets")

        tree = await where.follow(
            lambda: stack.enter_async_context(
                machine.workspaces.open(where.order, {}, keep_changes=False)
            )
        )

    assert where.order.repo == NEW
    assert tree.start.commit == scene.forge.repo(NEW).refs["refs/heads/main"]


async def test_an_archived_repository_is_told_as_that(scene: Scene, fifo: Fifo) -> None:
    order = await scene.order()
    await scene.orchestrator.assign(order)

    async with scene.runner(f"echo at work; read x < {fifo.path}; {WRITES_A_FILE}"):
        await scene.orchestrator.until(at_work(order.run))
        await change(scene, archived=True)
        fifo.tell()
        await scene.settled(order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.REPO_ARCHIVED
    assert f"nothing can be pushed to {REPO}" in failure.detail
    assert "takes nothing" not in "\n".join(scene.said)


async def test_a_protected_branch_is_told_with_who_has_to_allow_the_push(scene: Scene) -> None:
    order = await scene.order()
    await scene.call("POST", f"/repos/{REPO}/branch_protections", {"rule_name": "fleet/*"})

    await scene.carry_out(WRITES_A_FILE, order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.PUSH_REJECTED
    assert f"Not allowed to push to protected branch {order.branch}" in failure.detail
    assert "allow it to the runner's account" in failure.detail


async def test_an_account_that_may_only_read_is_told_before_a_program_starts(scene: Scene) -> None:
    scene.forge.add_collaborator(REPO, "fleet", "read")
    order, starts = await scene.order(), scene.root / "starts"

    await scene.carry_out(f"echo started >> {starts}; {WRITES_A_FILE}", order)

    failure = scene.orchestrator.failures[order.run]
    assert failure.reason is ReasonCode.FORGE_REFUSED
    assert "collaborator with write access" in failure.detail
    assert not starts.exists()
