"""What a program reaches of the machine. Most of this only a sandbox keeps from it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.hostile.conftest import Hostile
from tests.runner.run.test_rounds import Review, review, thread  # noqa: F401 - a fixture

WORK = "echo work > work.txt; "


async def test_what_is_the_runners_is_hidden_where_all_around_it_is_shown(boxed: Hostile) -> None:
    """The file, the tokens, homes of others, other tasks, the repositories agents do not write."""
    scene = boxed.scene
    other = await scene.order("Other")
    await boxed.run("echo theirs > theirs.txt; echo private > ~/private", other)
    order = await scene.order()
    (scene.root / "guide").write_text("words of the guide\n")
    scene.root.chmod(0o755)
    around = f'readable = ["{scene.root}"]'
    agents = f"""
        [[agents]]
        name = "worker-1"
        adapter = "command"
        {boxed.settings(inside=around)}
        [agents.command]
        argv = ["/bin/sh", "-c", "{WORK} grep -rs . {scene.root} --include=* | cut -c1-300; true"]
    """
    secret = scene.root / "state" / "homes" / "worker-2" / "secret"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("the secret of worker-2\n")

    await scene.carry_out("", order, agents=agents)

    said = scene.orchestrator.log_of(order.run)
    assert "words of the guide" in said
    for hidden in ("enrolment_token", "the secret of worker-2", "theirs", "state/tokens", "spool"):
        assert hidden not in said, hidden


async def test_of_a_program_beside_the_configuration_only_itself_is_seen(boxed: Hostile) -> None:
    scene, order = boxed.scene, await boxed.scene.order()
    program = scene.root / "agent.sh"
    program.write_text(f"#!/bin/sh\n{WORK} ls -A {scene.root}\n")
    program.chmod(0o755)
    agents = f"""
        [[agents]]
        name = "worker-1"
        adapter = "command"
        {boxed.settings()}
        [agents.command]
        argv = ["{program}"]
    """

    await scene.carry_out("", order, agents=agents)

    listed = scene.orchestrator.log_of(order.run)
    assert "agent.sh" in listed
    assert "config.toml" not in listed


async def test_the_cache_is_read_and_never_written(boxed: Hostile) -> None:
    order = await boxed.scene.order()
    objects = "$(head -1 $(git rev-parse --git-common-dir)/objects/info/alternates)"
    script = f"{WORK} ls {objects} >/dev/null && echo read; touch {objects}/x || echo refused"

    await boxed.run(script, order)

    assert {"read", "refused"} <= set(boxed.lines(order))


async def test_neither_the_environment_nor_others_processes_show_a_token(hostile: Hostile) -> None:
    """In a sandbox no process but its own; without one, nothing that the runner gave its own."""
    order = await hostile.scene.order()
    script = f"{WORK} env; cat /proc/$PPID/environ | tr '\\0' '\\n'; ls -d /proc/[0-9]*"

    await hostile.run(script, order)

    said = hostile.scene.orchestrator.log_of(order.run)
    assert hostile.scene.fleet not in said
    assert not [token for token in hostile.scene.orchestrator.tokens.values() if token in said]
    if hostile.box == "bubblewrap":
        assert f"/proc/{os.getpid()}\n" not in f"{said}\n"


async def test_a_socket_of_the_machine_cannot_be_reached(boxed: Hostile) -> None:
    order = await boxed.scene.order()
    path = boxed.scene.root / "docker.sock"
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    script = f'{WORK} python3 -c "{connect}" {path} 2>/dev/null && echo reached || echo refused'
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        await boxed.run(script, order)

    assert "refused" in boxed.lines(order)


@pytest.mark.parametrize("network", ["true", "false"])
async def test_abstract_sockets_are_the_networks(boxed: Hostile, network: str) -> None:
    """They have no file to hide: the documents say that a network brings them."""
    order = await boxed.scene.order()
    name = f"fleetbot-{order.run}"
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(chr(0) + sys.argv[1])"
    script = f'{WORK} python3 -c "{connect}" {name} 2>/dev/null && echo reached || echo refused'
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()

        await boxed.run(script, order, inside=f"network = {network}")

    assert ("reached" if network == "true" else "refused") in boxed.lines(order)


async def test_nothing_outside_can_be_written_or_undone(boxed: Hostile) -> None:
    order = await boxed.scene.order()
    tries = (
        f"touch {boxed.escaped}",
        "touch /usr/x",
        "touch /etc/x",
        "umount /tmp",
        "mount -t tmpfs x /usr",
        "cat /etc/shadow",
        "kill -9 " + str(os.getpid()),
        "chroot / true",
    )
    script = WORK + "".join(f"{{ {one}; }} 2>/dev/null && echo did: {one!r}; " for one in tries)

    await boxed.run(f"{script} echo tried", order)

    assert boxed.lines(order).count("tried") == 1
    did = [line for line in boxed.lines(order) if line.startswith("did:")]
    assert [line for line in did if "touch" not in line or "/tmp" not in line] == []
    assert not boxed.escaped.exists()


async def test_settings_in_its_home_do_not_reach_a_hook(hostile: Hostile) -> None:
    """A hook that runs git or npm would run what an agent had set for it."""
    scene, order = hostile.scene, await hostile.scene.order()
    script = (
        f"{WORK} git config --global core.fsmonitor 'touch {hostile.escaped} #'; "
        f"git config --global alias.st '!touch {hostile.escaped}'; rm -f {hostile.escaped}; "
        "echo 'script-shell=/bin/evil' > ~/.npmrc"
    )
    hooks = """
        [workspace.hooks]
        after_run = { run = "git status >&2; git st; test ! -e ~/.npmrc" }
        before_run = { run = "test ! -e ~/.npmrc && { git st || true; }" }
    """

    settings = hostile.settings()
    await scene.carry_out(script, order, agent=settings, more=hooks)
    await scene.carry_out(
        "date > again", await scene.order(issue=order.issue, attempt=2), agent=settings, more=hooks
    )

    assert not hostile.escaped.exists()
    assert scene.orchestrator.failures == {}


async def test_a_link_in_its_home_does_not_lead_the_runner_to_other_files(hostile: Hostile) -> None:
    """The prompt is written where agents write."""
    scene, order = hostile.scene, await hostile.scene.order()
    second = await scene.order(issue=order.issue, attempt=2, branch=order.branch)
    victim = scene.root / "victim"
    victim.write_text("the words of the victim\n")

    await hostile.run(f"{WORK} ln -s {victim} ~/prompt-{second.run}.md", order)
    await hostile.run("test -s $FLEETBOT_PROMPT_FILE && date > x", second)

    assert victim.read_text() == "the words of the victim\n"
    assert scene.orchestrator.failures == {}


async def test_answers_to_a_review_are_written_and_read_through_no_link(
    hostile: Hostile,
    review: Review,  # noqa: F811 - the fixture
) -> None:
    victim = hostile.scene.root / "victim"
    victim.write_text('{"thread": 12, "answer": "answered", "text": "of the victim"}\n')
    script = f"""
        fleetbot reply 99 fixed || echo not that thread
        ln -s {victim} "$FLEETBOT_REPLIES"
        fleetbot reply 12 answered x || echo not through a link
        date > d.txt
    """
    order = await review.order(threads=(thread(12),))

    await hostile.run(script, order)

    assert {"not that thread", "not through a link"} <= set(hostile.lines(order))
    assert "without an answer: 1 thread (12)" in hostile.lines(order)
    assert len(victim.read_text().splitlines()) == 1
    assert review.receipt.replies == ()


async def test_a_hook_runs_inside_the_sandbox(boxed: Hostile) -> None:
    scene, order = boxed.scene, await boxed.scene.order()
    hooks = f"""
        [workspace.hooks]
        before_run = {{ run = "cat {scene.root}/config.toml > seen.txt; touch {boxed.escaped}; :" }}
    """

    await scene.carry_out(WORK, order, agent=boxed.settings(), more=hooks)

    assert not boxed.escaped.exists()
    assert Path(scene.worktree(order) / "seen.txt").read_text() == ""
