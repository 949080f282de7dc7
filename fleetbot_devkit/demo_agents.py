"""Who does the work in the demo: a stand-in, or a person's own Claude Code or Codex.

A person's login is used where it is. Nothing of it is copied or read here: the program gets the
variables that the person has set, or the name of the directory in which its own login is.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetbot.runner import adapters, config
from fleetbot.runner.sandbox.environment import build_env
from fleetbot.runner.session.contract import HealthLine

COMMAND = "command"
_COMMAND_SECONDS = 120
_PROGRAM_SECONDS = 900
_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")

SCRIPT = '''
"""A stand-in for a coding agent: reads its task, mends the code, asks, tests it, commits."""

import json
import os
import pathlib
import subprocess
import sys

issue = os.environ["FLEETBOT_ISSUE"]
prompt = pathlib.Path(os.environ["FLEETBOT_PROMPT_FILE"]).read_text()
notes = pathlib.Path("NOTES.md")


def note(text):
    before = notes.read_text() if notes.exists() else "# Notes\\n"
    notes.write_text(f"{before}\\n- {text}\\n")


def may_run(command):
    asked = {"kind": "permission", "title": "run the tests", "request": {"command": command}}
    print(json.dumps({"ask": command, **asked}), flush=True)
    for line in sys.stdin:
        said = json.loads(line)
        if "answer" in said:
            return said["verdict"] != "deny"
        print(f"a person says: {said['message']}", flush=True)
        note(said["message"])


print(f"I have read issue #{issue} ({len(prompt.split())} words)", flush=True)
code = pathlib.Path("greeting.py")
test = pathlib.Path("test_greeting.py")
if "Helo" in code.read_text():
    code.write_text(code.read_text().replace("Helo", "Hello"))
    print("greeting.py: Helo -> Hello", flush=True)
    test.write_text(test.read_text().replace('.endswith(", Ada!"))', ' == "Hello, Ada!")'))
    print("test_greeting.py: the test looks at the whole greeting now", flush=True)
    summary = "The greeting is spelt right, and the test would notice if it were not."
else:
    note(f"Issue #{issue}: {os.environ['FLEETBOT_TITLE']}")
    summary = "NOTES.md has a note of what was asked for."

if may_run("python3 -m unittest"):
    unittest = [sys.executable, "-B", "-m", "unittest", "-q"]
    tests = subprocess.run(unittest, capture_output=True, text=True)
    print(tests.stderr.strip().splitlines()[-1], flush=True)
    if tests.returncode:
        sys.exit("the tests fail")
else:
    print("the tests were not run: nobody allowed it", flush=True)
subprocess.run(["git", "add", "--all"], check=True)
message = f"{os.environ['FLEETBOT_TITLE']}\\n\\nRefs #{issue}"
subprocess.run(["git", "commit", "--quiet", "-m", message], check=True)
print(summary, flush=True)
'''
# A configuration needs both; the check of a program alone looks at neither.
_NOWHERE = (
    '[orchestrator]\nurl = "http://127.0.0.1"\n[forge]\nurl = "http://127.0.0.1"\nusername = "x"\n'
)


class AgentMissing(Exception):
    """The demo cannot have this agent; the text says what is missing and what to do."""


@dataclass(frozen=True)
class DemoAgent:
    """`table` is its part of the runner's configuration, `env` what the runner is to pass on.

    `notice` is what a person should know before it starts, `seconds` how long its story may take;
    `talks`: it asks in its story, and hears people.
    """

    table: str
    seconds: float
    env: Mapping[str, str]
    notice: tuple[str, ...] = ()
    talks: bool = False


@dataclass(frozen=True)
class Program:
    """A program with a login. Each of `keys` is one by itself; `home` is where else it can be.

    `home` is a variable and the directory below the person's HOME that it stands for.
    """

    title: str
    adapter: str
    keys: tuple[str, ...]
    others: tuple[str, ...]
    home: tuple[str, str]
    settings: str
    log_in: str
    bounds: tuple[str, ...]


PROGRAMS = {
    "claude": Program(
        title="Claude Code",
        adapter="claude-code",
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        others=("ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL"),
        home=("CLAUDE_CONFIG_DIR", ".claude"),
        settings="""[agents.claude]
max_turns = 50
max_budget_usd = 2.0
allowed_tools = [
    "Bash(git diff:*)", "Bash(git log:*)", "Bash(git status:*)",
    "Bash(python3 -m unittest:*)", "Bash(python -m unittest:*)",
]
""",
        log_in="run `claude` and log in, or export ANTHROPIC_API_KEY",
        bounds=(
            "It may edit files of the demo's own small repository, run its tests and commit;",
            "everything else is refused. Claude Code itself stops at 50 turns or 2 US dollars.",
        ),
    ),
    "codex": Program(
        title="Codex",
        adapter="codex",
        keys=("CODEX_API_KEY",),
        others=(),
        home=("CODEX_HOME", ".codex"),
        settings="",
        log_in="run `codex login`, or export CODEX_API_KEY",
        bounds=(
            "It works in its own sandbox: it can write in the demo's own small repository only and",
            "has no network. Codex has no limit of its own for turns or money, and notes in its",
            "config.toml that it may trust the demo's directory.",
        ),
    ),
}


async def choose(name: str, root: Path) -> DemoAgent:
    """The agent `name`, with what it needs in the directory `root`. Raises AgentMissing."""
    if name == COMMAND:
        return _stand_in(root)
    if (program := PROGRAMS.get(name)) is None:
        known = ", ".join([COMMAND, *PROGRAMS])
        raise AgentMissing(f"There is no demo with the agent {name!r}. There are: {known}.")
    if shutil.which(name) is None:
        raise AgentMissing(
            f"{program.title} was not found: there is no `{name}` on your PATH. Install it, then "
            f"`make demo AGENT={name}`."
        )
    env = environment(program, os.environ, Path.home())
    table = _table(program, env)
    found = await _examine(program, name, table, env, root)
    return DemoAgent(
        table=table, seconds=_PROGRAM_SECONDS, env=env, notice=_notice(program, found, env)
    )


def _stand_in(root: Path) -> DemoAgent:
    script = root / "agent.py"
    script.write_text(SCRIPT)
    table = (
        '[[agents]]\nname = "smith"\nadapter = "command"\ncapabilities = ["python"]\n'
        f'command = {{ argv = ["{sys.executable}", "{script}"], talks = true }}\n'
    )
    return DemoAgent(table=table, seconds=_COMMAND_SECONDS, env={}, talks=True)


def environment(program: Program, person: Mapping[str, str], home: Path) -> dict[str, str]:
    """What the program gets of the person's environment: as it would be if they started it.

    Only where no key and no directory is given does it get the usual directory of its login, which
    it would find by HOME; its HOME is the demo's.
    """
    variable, directory = program.home
    names = (*program.keys, *program.others, variable, *_NETWORK)
    env = {name: person[name] for name in names if person.get(name)}
    if not env.keys() & {*program.keys, variable}:
        env[variable] = str(home / directory)
    return env


def _table(program: Program, env: Mapping[str, str]) -> str:
    names = ", ".join(f'"{name}"' for name in env)
    return (
        f'[[agents]]\nname = "smith"\nadapter = "{program.adapter}"\ncapabilities = ["python"]\n'
        f'env = [{names}]\npermissions = "deny"\n{program.settings}'
    )


async def _examine(
    program: Program, name: str, table: str, env: Mapping[str, str], root: Path
) -> dict[str, HealthLine]:
    """The runner's own check of the program, with a way out for this case. Raises AgentMissing."""
    agent = config.decode(f"{_NOWHERE}{table}").agents[0]
    home = root / "check"
    child = build_env(run="check", home=home, extra=env)
    lines = await adapters.build(agent.adapter, agent.program).check(child, home)
    for line in lines:
        if not line.ok:
            remedy = program.log_in if line.name == "login" else line.remedy
            raise AgentMissing(
                f"{program.title} cannot show the demo: {line.detail}. To mend that, {remedy}; "
                f"then `make demo AGENT={name}`."
            )
    return {line.name: line for line in lines}


def _notice(
    program: Program, found: Mapping[str, HealthLine], env: Mapping[str, str]
) -> tuple[str, ...]:
    key = next((name for name in program.keys if name in env), None)
    login = f"your {key}" if key else f"your login and settings in {env[program.home[0]]}"
    return (
        f"{program.title} does the work: {found['program'].detail}, with {login}.",
        "It asks a real model: this costs money, or counts against your plan.",
        *program.bounds,
    )
