"""What a program says: secrets through every channel, and more than anybody can read."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import msgspec
import pytest

from fleetbot_devkit.model import Reply, ScriptedModel
from tests.hostile.conftest import Hostile, in_turn
from tests.runner.adapters.agents import Agent
from tests.runner.scene import Scene
from tests.runner.test_agents import configured

SECRET = "npm-8f3a/5c7e+2d9b=of the team"
TOLD = "printf '%s\\n' \"$NPM_TOKEN\""
CHANNELS = {
    "output, errors, a URL, JSON, base64": f"echo work > w; {TOLD} >&2; {TOLD}; python3 -c '"
    'import os, json, urllib.parse as u; x = os.environ["NPM_TOKEN"]; '
    'print("https://x/?t=" + u.quote(x, safe="")); print(json.dumps(x))\'; '
    "printf 'fleet:%s' \"$NPM_TOKEN\" | base64 -w0; echo",
    "last words": f"echo work > w; git add .; git commit -qm Work; {TOLD}",
    "a failure": f"{TOLD} >&2; exit 3",
    "a file": f"{TOLD} > w",
    "a file in a commit that is undone": f"{TOLD} > w; git add .; git commit -qm a; rm w; "
    "echo work > v; git add -A; git commit -qm b",
    "a commit's message": 'echo work > w; git add .; git commit -qm "$NPM_TOKEN"',
    "a commit's author": 'echo work > w; git add .; git commit -qm x --author "$NPM_TOKEN <a@b>"',
    "a branch": "echo work > w; git add .; git commit -qm x; git branch x-$(printf '%s' "
    '"$NPM_TOKEN" | tr -d " ")',
    "a file's name": 'mkdir -p "$(dirname "$NPM_TOKEN")"; echo work > "$NPM_TOKEN"',
}


def everything_told(scene: Scene) -> str:
    """What left the runner: to the orchestrator, to the terminal, to the forge's repository."""
    told = scene.orchestrator
    parts = [*scene.said, scene.on_forge("log", "--all", "-p", "--format=fuller")]
    parts += [told.log_of(run) for run in told.logs]
    parts += [msgspec.json.encode(x).decode() for x in (*told.receipts, *told.failures.values())]
    parts += [msgspec.json.encode(x).decode() for x in told.asked.values()]
    return "\n".join([*parts, scene.on_forge("for-each-ref")])


def forms() -> tuple[str, ...]:
    return (
        SECRET,
        SECRET.replace(" ", ""),
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        base64.b64encode(f"fleet:{SECRET}".encode()).decode(),
    )


@in_turn("channel", CHANNELS)
async def test_an_agents_secret_reaches_nobody(
    hostile: Hostile, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", SECRET)
    order = await hostile.scene.order()

    await hostile.run(channel, order, more='env = ["NPM_TOKEN"]')

    told = everything_told(hostile.scene) + json.dumps(await hostile.scene.pulls())
    assert [form for form in forms() if form in told] == []


async def test_nor_does_the_forges_wherever_it_was_found(hostile: Hostile) -> None:
    order = await hostile.scene.order()
    token = hostile.scene.fleet
    script = f"echo {token}; echo {token} >&2; echo fleet:{token} | base64; exit 3"

    await hostile.run(script, order)

    told = everything_told(hostile.scene)
    assert token not in told
    assert base64.b64encode(f"fleet:{token}".encode()).decode() not in told


@in_turn("hook", {name: name for name in ("after_create", "before_run", "after_run")})
async def test_nor_does_a_hook_that_fails(
    hostile: Hostile, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", SECRET)
    order = await hostile.scene.order()
    hooks = f"""
        [workspace.hooks]
        {hook} = {{ run = "echo $NPM_TOKEN >&2; false" }}
    """
    settings = hostile.settings('env = ["NPM_TOKEN"]')

    await hostile.scene.carry_out("date > x", order, agent=settings, more=hooks)

    told = everything_told(hostile.scene)
    assert "hook" in told
    assert SECRET not in told


async def test_nor_does_a_question(
    scene: Scene, claude: str, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real program asks a person for leave to use what it found."""
    agent = Agent("claude-code", "live", claude, model)
    monkeypatch.setenv("NPM_TOKEN", SECRET)
    for name, value in agent.env.items():
        monkeypatch.setenv(name, value)
    order, token = await scene.order(), scene.fleet
    command = f"curl -H 'Authorization: token {token}' -d '{SECRET}' http://127.0.0.1:1/"
    model.then(agent.shell(command), Reply(text=f"I may not use {token} {SECRET}."))
    settings = configured(agent, 'permissions = "ask"').replace("env = [", 'env = ["NPM_TOKEN", ')

    await scene.carry_out("", order, agents=settings, more="[limits]\nquestion_seconds = 1")

    assert scene.orchestrator.asked
    told = everything_told(scene)
    assert token not in told
    assert SECRET not in told


# Of lines twice as many as a log takes (`runlog.OUTPUT_LIMIT`): each costs the runner 30 µs.
FLOODS = {
    "lines": "yes 'a line of many' | head -c 800000; yes 'an error of many' | head -c 800000 >&2",
    "one line": "head -c 50000000 /dev/zero | tr '\\0' x; echo",
    "what looks like tokens": "yes eyJ- | tr -d '\\n' | head -c 8000000; echo",
    "bytes": "head -c 5000000 /dev/urandom",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_output_without_end_stops_nothing(scene: Scene, flood: str) -> None:
    """It is read, shortened and masked while the runner goes on: it beats, and the work counts."""
    order = await scene.order()

    await scene.carry_out(f"echo work > work.txt; {flood}", order)

    assert scene.orchestrator.receipts[0].files == ("work.txt",)
    assert len(scene.orchestrator.heartbeats) > 2
