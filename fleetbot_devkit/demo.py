"""`fleetbot demo`: the whole job once, for real, on loopback; then a room to talk in."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import textwrap
import time
from collections.abc import Coroutine
from pathlib import Path

import click

from fleetbot_devkit import demo_person
from fleetbot_devkit.chat_prompt import ChatPrompt
from fleetbot_devkit.demo_agents import AgentMissing, DemoAgent, choose
from fleetbot_devkit.story import Step, Story, StoryFailed, until
from fleetbot_devkit.world import REPO, World

TITLE = "The greeting is misspelt"
BODY = "`greet()` says *Helo*. It should say *Hello*; the tests should notice next time."
MISSING = 2  # exit status where the agent asked for cannot be had
TOLD = "told"  # the demo task's name once its story has ended well


class Teller:
    """Prints a line per step, with the time since the story began."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def restart(self) -> None:
        self._start = time.monotonic()

    def __call__(self, step: Step) -> None:
        stamp = click.style(f"{time.monotonic() - self._start:7.2f} s", dim=True)
        name = click.style(f"{step.name:<13}", fg=_COLOURS.get(step.name, "cyan"), bold=True)
        first, _, rest = step.text.partition("\n")
        click.echo(f"{stamp}  {name} {textwrap.shorten(first, 140, placeholder=' …')}")
        if rest:
            click.echo(textwrap.indent(rest, " " * 11))


_COLOURS = {
    "verified": "green",
    "completed": "green",
    "failed": "red",
    "plugin": "green",
    "refuted": "red",
    "agent lost": "red",
    "matrix": "magenta",
    "card": "magenta",
    "card moved": "magenta",
    "question": "yellow",
    "answered": "yellow",
    "alice": "blue",
    "heard": "blue",
    "room": "magenta",
    "thread": "magenta",
    "log": "white",
}


def main(agent: str, once: bool) -> int:
    """Run the demo; the exit status says whether the story ended well."""
    return until_interrupted(_demo(agent, once))


def until_interrupted(show: Coroutine[None, None, int]) -> int:
    """Ctrl-C and SIGTERM end the show in order: every server is stopped."""
    try:
        return asyncio.run(_until_interrupted(show))
    except KeyboardInterrupt:
        return 130


async def _until_interrupted(show: Coroutine[None, None, int]) -> int:
    task = asyncio.create_task(show)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        click.echo("\nStopping everything.")
        return 0 if task.get_name() == TOLD else 130


async def _demo(name: str, once: bool) -> int:
    tell = Teller()
    with tempfile.TemporaryDirectory(prefix="fleetbot-demo-") as folder:
        try:
            agent = await choose(name, Path(folder))
        except AgentMissing as missing:
            click.echo(click.style(str(missing), fg="red"), err=True)
            return MISSING
        for line in agent.notice:
            click.echo(click.style(line, fg="yellow"))
        tell(
            Step(
                "start",
                "Synapse, maubot with the plugin, a small forge: some seconds, all on 127.0.0.1",
            )
        )
        async with World.start(Path(folder)) as world:
            try:
                await _tell_story(world, agent, tell)
            except StoryFailed as failure:
                _explain(world, failure)
                return 1
            if once:
                return 0
            _mark_told()
            show_addresses(world)
            await ChatPrompt(world).run()
    return 0


def _mark_told() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.set_name(TOLD)


async def _tell_story(world: World, agent: DemoAgent, tell: Teller) -> None:
    world.start_runner(agent.table, env=agent.env)
    tell(Step("runner", "one agent, named smith"))
    await until(lambda: _is_online(world), "the agent to register")
    tell.restart()
    issue = await world.open_issue(TITLE, BODY, labels=("fleet", "bug", "priority:high"))
    tell(Step("issue", f"alice opens {REPO}#{issue}: {TITLE}"))
    story = Story(world, issue, tell, demo_person.EXPECTED if agent.talks else ())
    async with demo_person.at_hand(world, story.note):
        await story.watch(agent.seconds)
    await _check_outcome(world, issue)
    tell(Step("done", f"{world.forge.url}/{REPO}/issues/{issue}"))


async def _is_online(world: World) -> bool:
    return bool((await world.get("/agents?status=online"))["agents"])


async def _check_outcome(world: World, issue: int) -> None:
    async def is_done() -> bool:
        labels = {label["name"] for label in (await world.issue(issue))["labels"]}
        return "status:done" in labels

    await until(is_done, "the label status:done on the issue")


def _explain(world: World, failure: StoryFailed) -> None:
    click.echo(click.style(f"The demo failed. {failure}", fg="red"), err=True)
    for runner in world.runners:
        click.echo(f"The runner's last words:\n{_tail(runner.output())}", err=True)
    click.echo(f"maubot's last words:\n{world.bots.process.log_tail()}", err=True)


def _tail(text: str, lines: int = 30) -> str:
    return "\n".join(text.splitlines()[-lines:])


def show_addresses(world: World) -> None:
    rows = [
        ("Matrix client", f"{world.homeserver.url}  {world.alice.user_id}"),
        ("", f"password {world.alice_password}"),
        ("management UI", world.bots.management_url),
        ("", f"{world.bots.admin_user}, password {world.bots.admin_password}"),
        ("forge", f"{world.forge.url}/{REPO}"),
        ("", f"alice, password {world.alice_password}"),
        ("fleetbot", f"{world.api}/tasks"),
        ("", f"Authorization: Bearer {world.reader_token}"),
    ]
    click.echo("\nEverything stays up until Ctrl-C or Ctrl-D.\n")
    for name, text in rows:
        click.echo(f"  {name:<15} {text}")
    click.echo("\nYou are alice in the room. Try: !fleet status, !fleet help, !fleet tasks,")
    click.echo("or /issue <title> to open an issue for the fleet. The agent asks before it tests:")
    click.echo("/react ✅ or /reply yes answers it, /thread <words> speaks to it.\n")
