"""`make dev`: the demo's servers, the plugin and the runner made anew when their code changes."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import click

from fleetbot_devkit.build import PROJECT
from fleetbot_devkit.chat_prompt import ChatPrompt
from fleetbot_devkit.demo import MISSING, Teller, show_addresses, until_interrupted
from fleetbot_devkit.demo_agents import AgentMissing, choose
from fleetbot_devkit.reloading import Reloader
from fleetbot_devkit.story import Step
from fleetbot_devkit.world import INSTANCE, World

_LOOK_SECONDS = 0.4
_OF_THE_RUNNER = {"domain", "fence.py", "forge", "misfits.py", "network.py", "runner", "wire"}


@click.command()
@click.option("--agent", default="command", show_default=True, help="command, claude or codex.")
def main(agent: str) -> None:
    """Servers, a room to talk in, and the code as it is on the disk by now."""
    sys.exit(until_interrupted(_dev(agent)))


async def _dev(name: str) -> int:
    tell = Teller()
    with tempfile.TemporaryDirectory(prefix="fleetbot-dev-") as folder:
        try:
            agent = await choose(name, Path(folder))
        except AgentMissing as missing:
            click.echo(click.style(str(missing), fg="red"), err=True)
            return MISSING
        tell(Step("start", "Synapse, maubot with the plugin, a forge; all on 127.0.0.1"))
        async with World.start(Path(folder)) as world:
            world.start_runner(agent.table, env=agent.env)
            show_addresses(world)
            click.echo(f"Change a file of {PROJECT / 'fleetbot'}, and it is in force at once.\n")
            watching = asyncio.create_task(_watch(world, tell))
            try:
                await ChatPrompt(world).run()
            finally:
                watching.cancel()
    return 0


async def _watch(world: World, tell: Teller) -> None:
    def told(well: bool, text: str) -> None:
        tell(Step("plugin" if well else "failed", text))

    out = world.root / "dist"
    reloader = Reloader(world.bots.admin, INSTANCE, PROJECT, out, told)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        changed = await reloader.tick()
        if any(part in _OF_THE_RUNNER for path in changed for part in path.parts[1:2]):
            await _restart_runner(world, tell)


async def _restart_runner(world: World, tell: Teller) -> None:
    begun = time.monotonic()
    for runner in world.runners:
        await runner.stop()
        runner.start()
    tell(Step("runner", f"restarted in {time.monotonic() - begun:.1f} s"))


if __name__ == "__main__":
    main()
