"""`fleetbot demo` with a person's own Claude Code or Codex; their login is a dummy here."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from fleetbot_devkit.demo_agents import PROGRAMS, environment
from fleetbot_devkit.model import Reply, Request, ScriptedModel, Tool
from tests.flow.demos import ended, nothing_is_left, read_until, start
from tests.flow.programs import DONE, committing
from tests.runner.adapters.conftest import claude, codex, model  # noqa: F401 - fixtures
from tests.runner.adapters.harness import KEY

SYSTEM = "/usr/bin:/bin"
WORKTREE = re.compile(r"/[^\s\"'`\\]+/workspaces/acme/shop/[^\s\"'`\\/]+/shop")


async def demo(agent: str, home: Path, path: str = SYSTEM, **env: str) -> tuple[int, str]:
    """The demo of a person with this HOME, PATH and variables; its exit status and its words."""
    child = await start(home, "--once", "--agent", agent, path=path, **env)
    try:
        said, _ = await child.communicate()
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    return child.returncode or 0, said.decode()


def beside(program: str) -> str:
    """A PATH with the program."""
    return os.pathsep.join([str(Path(program).parent), SYSTEM])


@pytest.mark.parametrize("agent", ["claude", "codex"])
async def test_a_program_that_is_not_installed_is_named(agent: str, tmp_path: Path) -> None:
    status, said = await demo(agent, tmp_path)

    assert status == 2
    assert f"there is no `{agent}` on your PATH. Install it" in said
    assert f"make demo AGENT={agent}" in said


@pytest.mark.parametrize(("agent", "way"), [("claude", "claude`"), ("codex", "codex login`")])
async def test_a_program_without_a_login_says_how_to_log_in(
    agent: str, way: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    status, said = await demo(agent, tmp_path, beside(request.getfixturevalue(agent)))

    assert status == 2
    assert "neither a key nor a login was found" in said
    assert f"run `{way}" in said


async def test_an_agent_that_does_not_exist_is_answered_with_those_that_do(tmp_path: Path) -> None:
    status, said = await demo("gemini", tmp_path)

    assert status == 2
    assert "There are: command, claude, codex." in said


async def test_claude_code_does_the_demo_and_nothing_else(
    claude: str,  # noqa: F811 - the fixture
    model: ScriptedModel,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    spy = tmp_path / "spy"

    def writes(request: Request) -> Reply:
        found = WORKTREE.search(request.text)
        assert found is not None
        return Reply(tools=(Tool("Write", {"file_path": f"{found[0]}/a.txt", "content": "a"}),))

    model.then(Reply(tools=(Tool("Bash", {"command": f"touch {spy}"}),)), writes, DONE)
    key = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": model.url}

    status, said = await demo("claude", tmp_path, beside(claude), **key)

    assert status == 0, said
    assert "with your ANTHROPIC_API_KEY" in said
    assert "costs money" in said
    assert "completed" in said
    assert KEY not in said
    assert not spy.exists()
    assert not (tmp_path / ".claude").exists()
    nothing_is_left(tmp_path)


async def test_codex_does_the_demo_with_the_settings_of_its_person(
    codex: str,  # noqa: F811 - the fixture
    model: ScriptedModel,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(codex_settings(model.url))
    model.then(Reply(tools=(Tool("exec_command", {"cmd": committing("a.txt")}),)), DONE)

    login = {"CODEX_HOME": str(home), "CODEX_API_KEY": KEY}
    running = await start(tmp_path, "--agent", "codex", path=beside(codex), **login)
    said = await read_until(running, "/issue <title>")

    assert "with your CODEX_API_KEY" in said
    assert "costs money" in said
    assert KEY not in said
    await ended(running, tmp_path, signal.SIGTERM)


def codex_settings(url: str) -> str:
    return f"""
        model = "scripted-model"
        model_provider = "scripted"
        [model_providers.scripted]
        name = "scripted"
        base_url = "{url}/v1"
        wire_api = "responses"
        requires_openai_auth = true
    """


@pytest.mark.parametrize(
    ("person", "passed"),
    [
        ({}, {"CLAUDE_CONFIG_DIR": "/home/ada/.claude"}),
        ({"CLAUDE_CONFIG_DIR": "/etc/claude"}, {"CLAUDE_CONFIG_DIR": "/etc/claude"}),
        ({"ANTHROPIC_API_KEY": "k"}, {"ANTHROPIC_API_KEY": "k"}),
        (
            {"ANTHROPIC_BASE_URL": "u", "OTHER": "o"},
            {"ANTHROPIC_BASE_URL": "u", "CLAUDE_CONFIG_DIR": "/home/ada/.claude"},
        ),
    ],
)
def test_a_login_is_used_where_it_is(person: dict[str, Any], passed: dict[str, Any]) -> None:
    assert environment(PROGRAMS["claude"], person, Path("/home/ada")) == passed
