"""The sandbox, made by the bubblewrap that comes with Codex's wheel or by the system's."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.adapters import Finished, LogLine, build
from fleetbot.runner.sandbox.bubblewrap import Sandbox
from fleetbot.runner.sandbox.process import survivors
from fleetbot_devkit.model import Reply, ScriptedModel
from tests.runner.adapters.agents import COMMIT, Agent
from tests.runner.adapters.harness import RUN, Place, collect, end, of
from tests.runner.boxes import found_sandbox


@pytest.fixture
async def sandbox() -> Sandbox:
    return await found_sandbox()


async def run(place: Place, script: str, **settings: Any) -> tuple[list[str], Finished]:
    adapter = build("command", {"argv": ["sh", "-c", script]})
    events = await collect(await adapter.launch(place.spec(**settings)))
    return [line.text for line in of(events, LogLine)], end(events)


async def test_nothing_else_can_be_written_and_homes_are_hidden(
    place: Place,
    sandbox: Sandbox,
) -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp") as secret:
        script = f"touch /usr/x || echo read-only; cat {secret.name} || echo hidden; ls -A /root"
        lines, last = await run(place, script, sandbox=sandbox)

    assert last.outcome == "done"
    assert {"read-only", "hidden"} <= set(lines)
    assert not [line for line in lines if line.startswith(".")]


async def test_a_named_path_can_be_written_and_another_read(
    place: Place,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    cache, docs = tmp_path / "cache", tmp_path / "docs"
    cache.mkdir()
    cache.chmod(0o777)
    docs.mkdir()
    (docs / "page").write_text("a page\n")
    box = Sandbox(program=sandbox.program, writable=(str(cache),), readable=(str(docs),))

    script = f"echo y > {cache}/x; cat {docs}/page; touch {docs}/z || echo read-only"
    lines, _last = await run(place, script, sandbox=box)

    assert (cache / "x").read_text() == "y\n"
    assert {"a page", "read-only"} <= set(lines)


async def test_a_hidden_folder_and_a_hidden_file_are_not_seen(
    place: Place,
    sandbox: Sandbox,
) -> None:
    box = Sandbox(program=sandbox.program, hidden=("/usr/share", "/etc/passwd"))

    lines, last = await run(place, "ls -A /usr/share; cat /etc/passwd; echo looked", sandbox=box)

    assert last.outcome == "done"
    assert lines[-1] == "looked"
    assert not [line for line in lines if ":0:" in line or line == "man"]


async def test_of_a_path_and_one_inside_it_the_inner_one_decides(
    place: Place, sandbox: Sandbox, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    (fleet / "state" / "docs").mkdir(parents=True)
    for name in ("config.toml", "guide", "state/journal", "state/docs/page"):
        (fleet / name).write_text(f"words of {name}\n")
    box = Sandbox(
        program=sandbox.program,
        readable=(str(fleet), str(fleet / "state" / "docs"), str(fleet / "config.toml")),
        hidden=(str(fleet / "config.toml"), str(fleet / "state")),
    )

    lines, _last = await run(place, f"find {fleet} -type f -exec cat {{}} +", sandbox=box)

    said = [line for line in lines if line.startswith("words of")]
    assert sorted(said) == ["words of guide", "words of state/docs/page"]


async def test_of_a_program_that_lies_beside_secrets_only_itself_is_seen(
    place: Place, sandbox: Sandbox, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    (fleet / "config.toml").write_text("token")
    (fleet / "agent.sh").write_text(f"#!/bin/sh\nls -A {fleet}\n")
    (fleet / "agent.sh").chmod(0o755)
    adapter = build("command", {"argv": [str(fleet / "agent.sh")]})

    events = await collect(await adapter.launch(place.spec(sandbox=sandbox)))

    assert [line.text for line in of(events, LogLine)] == ["agent.sh"]


async def test_a_program_that_is_reached_by_links_finds_its_code(
    place: Place, sandbox: Sandbox, tmp_path: Path
) -> None:
    package = tmp_path / "node" / "lib" / "node_modules" / "tool"
    package.mkdir(parents=True)
    (package / "words").write_text("found\n")
    script = '#!/usr/bin/env bash\ncat "$(dirname "$(realpath "$0")")/words"\n'
    (package / "cli.sh").write_text(script)
    (package / "cli.sh").chmod(0o755)
    programs = tmp_path / "node" / "bin"
    programs.mkdir()
    (programs / "tool").symlink_to("../lib/node_modules/tool/cli.sh")
    (tmp_path / "current").symlink_to("node")
    adapter = build("command", {"argv": [str(tmp_path / "current" / "bin" / "tool")]})

    events = await collect(await adapter.launch(place.spec(sandbox=sandbox)))

    assert [line.text for line in of(events, LogLine)] == ["found"], end(events)


async def test_files_of_roots_cannot_be_read(place: Place, sandbox: Sandbox) -> None:
    lines, _ = await run(place, "cat /etc/shadow || echo refused; id -u", sandbox=sandbox)

    assert "refused" in lines
    assert lines[-1] != "0"


async def test_streams_and_temporary_folders_can_be_opened_by_name(
    place: Place, sandbox: Sandbox
) -> None:
    script = "echo out > /dev/stdout && echo x > /tmp/x && mktemp && cat /tmp/x < /dev/null"

    lines, last = await run(place, script, sandbox=sandbox)

    assert last.outcome == "done", lines
    assert lines[0] == "out"


async def test_what_a_program_may_write_is_its_own_where_the_runner_is_root(
    place: Place, sandbox: Sandbox, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the runner is not root here")
    outside = tmp_path / "outside"
    outside.touch()
    (place.repo / "link").symlink_to(outside)

    _lines, last = await run(place, "echo more >> README.md", sandbox=sandbox)

    assert last.outcome == "done"
    assert {path.lstat().st_uid for path in place.repo.rglob("*")} == {sandbox.uid}
    assert outside.stat().st_uid == 0


async def test_a_folder_that_root_alone_may_write_is_refused_by_name(
    place: Place, sandbox: Sandbox, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the runner is not root here")
    box = Sandbox(program=sandbox.program, writable=(str(tmp_path),))

    _lines, last = await run(place, "true", sandbox=box)

    assert last.reason is ReasonCode.SANDBOX_UNAVAILABLE
    assert f"cannot write {tmp_path}; chown it" in last.detail


async def test_even_roots_program_has_no_rights_to_undo_it(place: Place, sandbox: Sandbox) -> None:
    lines, _ = await run(place, "grep CapEff /proc/self/status; umount /tmp", sandbox=sandbox)

    assert lines[0].split() == ["CapEff:", "0" * 16]


async def test_without_network_nothing_is_reached(
    place: Place,
    sandbox: Sandbox,
    model: ScriptedModel,
) -> None:
    host, port = model.url.removeprefix("http://").split(":")
    connect = f"python3 -c 'import socket; socket.create_connection((\"{host}\", {port}), 2)'"
    script = f"{connect} && echo reached || echo cut off"

    with_network, _ = await run(place, script, sandbox=sandbox)
    without, _ = await run(place, script, sandbox=Sandbox(program=sandbox.program, network=False))

    assert with_network[-1:] == ["reached"]
    assert without[-1:] == ["cut off"]


async def test_what_a_sandboxed_program_detached_ends_with_it(
    place: Place,
    sandbox: Sandbox,
) -> None:
    _lines, last = await run(place, "setsid tail -f /dev/null & echo started", sandbox=sandbox)

    assert last.outcome == "done"
    assert survivors(RUN) == []


async def test_claude_code_works_inside(
    claude: str,
    model: ScriptedModel,
    place: Place,
    sandbox: Sandbox,
) -> None:
    agent = Agent("claude-code", "live", claude, model)
    model.then(agent.shell(COMMIT), Reply(text="Done."))

    spec = place.spec(env=agent.env, permissions="bypass", sandbox=sandbox)
    last = end(await collect(await agent.adapter().launch(spec)))

    assert last.outcome == "done", last
    assert place.log() == ["Add hello", "init"]


@pytest.mark.parametrize("permissions", ["bypass", "deny"])
async def test_codex_works_inside(
    codex: str,
    model: ScriptedModel,
    place: Place,
    sandbox: Sandbox,
    permissions: str,
) -> None:
    agent = Agent("codex", "live", codex, model)
    model.then(agent.shell(COMMIT), Reply(text="Done."))

    dirs = (place.repo / ".git",)
    spec = place.spec(env=agent.env, permissions=permissions, sandbox=sandbox, git_dirs=dirs)
    last = end(await collect(await agent.adapter().launch(spec)))

    assert last.outcome == "done", last
    assert place.log() == ["Add hello", "init"]


async def test_codex_finds_its_own_parts_where_it_is_installed_in_a_hidden_place(
    codex: str, model: ScriptedModel, place: Place, sandbox: Sandbox, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    shutil.copytree(Path(codex).parents[1], package, copy_function=_link)
    agent = Agent("codex", "live", str(package / "bin" / "codex"), model)
    model.then(agent.shell(COMMIT), Reply(text="Done."))

    dirs = (place.repo / ".git",)
    spec = place.spec(env=agent.env, permissions="deny", sandbox=sandbox, git_dirs=dirs)
    last = end(await collect(await agent.adapter().launch(spec)))

    assert last.outcome == "done", last
    assert place.log() == ["Add hello", "init"]


def _link(source: str, target: str) -> None:
    """The programs are large: the same file under another name will do."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


async def test_a_run_is_refused_where_no_sandbox_can_be_had(place: Place) -> None:
    _lines, last = await run(place, "touch ran", sandbox=Sandbox(program="/nonexistent/bwrap"))

    assert (last.outcome, last.reason) == ("failed", ReasonCode.SANDBOX_UNAVAILABLE)
    assert "install bubblewrap" in last.detail
    assert not (place.repo / "ran").exists()


async def test_a_run_is_refused_where_the_sandbox_fails(
    place: Place,
    tmp_path: Path,
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho No permissions to create new namespace >&2\nexit 1\n")
    broken.chmod(0o755)

    _lines, last = await run(place, "touch ran", sandbox=Sandbox(program=str(broken)))

    assert last.reason is ReasonCode.SANDBOX_UNAVAILABLE
    assert "user namespaces" in last.detail
    assert not (place.repo / "ran").exists()


def test_a_relative_path_is_refused_with_its_field() -> None:
    with pytest.raises(ValueError, match=r"sandbox\.writable: 'cache' is not an absolute path"):
        Sandbox(writable=("cache",))


async def test_the_runners_home_is_hidden_wherever_it_is(
    place: Place, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service's account has it in /var/lib or /srv."""
    srv = tmp_path / "srv"
    (srv / "runner").mkdir(parents=True)
    (srv / "runner" / "netrc").write_text("its password\n")
    (srv / "page").write_text("a page\n")
    monkeypatch.setenv("HOME", str(srv / "runner"))
    box = Sandbox(program=sandbox.program, readable=(str(srv),))

    lines, _ = await run(place, f"find {srv} -type f -exec cat {{}} +", sandbox=box)

    assert lines == ["a page"]
