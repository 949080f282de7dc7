"""What an agent leaves at the places that the next sandbox shows or the runner itself uses."""

from __future__ import annotations

from tests.hostile.conftest import Hostile

WORK = "echo work > work.txt; "


async def test_a_link_at_its_repositorys_place_opens_no_other_folder(boxed: Hostile) -> None:
    """The runner has the agent mend such work: it starts the program, and a sandbox, again."""
    scene, order = boxed.scene, await boxed.scene.order()
    victim = scene.root / "victim"
    victim.mkdir()
    victim.chmod(0o777)  # where the runner is root, programs are another user
    up = "../" * 7  # relative: bubblewrap looks from other roots
    script = (
        f"{WORK} OWN=$(cut -c9- .git); touch $OWN/planted; "
        f"cd $OWN/../..; mv worktrees aside; mkdir worktrees; ln -s {up}victim $OWN"
    )

    await boxed.run(script, order, inside=f'readable = ["{victim}"]')

    assert boxed.lines(order).count("attempt 1: Say hello") == 1
    assert list(victim.iterdir()) == []


async def test_a_link_at_its_temporary_folders_place_leads_the_runner_nowhere(
    hostile: Hostile,
) -> None:
    scene, order = hostile.scene, await hostile.scene.order()
    victim = scene.root / "victim"
    (victim / order.run).mkdir(parents=True)
    (victim / order.run / "words").write_text("of the victim\n")

    await hostile.run(f"{WORK} rm -rf ~/tmp; ln -s {victim} ~/tmp", order)
    await hostile.again(order)

    assert [path.name for path in victim.rglob("*")] == [order.run, "words"]
    assert scene.orchestrator.failures == {}


async def test_nor_does_a_file_there_stop_other_tasks(hostile: Hostile) -> None:
    scene, order, other = hostile.scene, await hostile.scene.order(), await hostile.scene.order()

    await hostile.run(f"{WORK} rm -rf ~/tmp; echo > ~/tmp", order)
    await hostile.run(f"{WORK} touch $TMPDIR/x", other)

    assert scene.orchestrator.failures == {}
