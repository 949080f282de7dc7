"""`python -m torture`: rounds from a seed, or incidents by name, against a plugged-in system."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from torture import report
from torture.incidents import INCIDENTS
from torture.outcome import Unreadable
from torture.play import play
from torture.stories import generate
from torture.story import Bounds, Story
from torture.system import Plug, Refused

_SYSTEM = "torture.systems.fleetbot_system"


def main(argv: Sequence[str] | None = None) -> int:
    """0 where nothing is wrong, 1 where something is, 2 where it could not be played."""
    asked = _parser().parse_args(argv)
    if asked.list:
        for incident in INCIDENTS.values():
            print(f"{incident.name}: {incident.told}")
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        return asyncio.run(_main(asked))
    except Refused as refusal:
        print(f"torture: {refusal}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--system", default=_SYSTEM, help="the module of the plug")
    parser.add_argument("--option", action="append", default=[], help="of the plug: NAME=VALUE")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next adds one")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0, help="of a round, while faults last")
    parser.add_argument("--issues", type=int, default=10, help="in a round")
    parser.add_argument("--strikes", type=int, default=10, help="kills and freezes in a round")
    parser.add_argument("--spells", type=int, default=12, help="faults of lines in a round")
    parser.add_argument("--orders", type=int, default=2, help="given in the room, in a round")
    parser.add_argument("--recover", type=float, default=90.0, help="seconds after its last fault")
    parser.add_argument("--incident", action="append", default=[], help="by name, or `all`")
    parser.add_argument("--list", action="store_true", help="the incidents, and do nothing else")
    parser.add_argument("--json", type=Path, help="a file that gets a line for each round")
    return parser


async def _main(asked: argparse.Namespace) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _stop, asyncio.current_task())
    options = dict(option.partition("=")[::2] for option in asked.option)
    opened: AbstractAsyncContextManager[Plug] = importlib.import_module(asked.system).open_plug(
        options
    )
    rows: list[report.Row] = []
    async with opened as plug:
        try:
            for story in _stories(asked, plug):
                rows.append(await _row(plug, story))
                _keep(asked.json, rows[-1])
        finally:
            print(report.table(rows))
    return 1 if any(row["findings"] for row in rows) else 0


def _stop(task: asyncio.Task[Any] | None) -> None:
    if task:
        task.cancel()


def _stories(asked: argparse.Namespace, plug: Plug) -> Iterator[Story]:
    if asked.incident:
        names = INCIDENTS if "all" in asked.incident else asked.incident
        if unknown := [name for name in names if name not in INCIDENTS]:
            known = ", ".join(INCIDENTS)
            raise Refused(f"there is no incident {', '.join(unknown)}; there are: {known}")
        yield from (INCIDENTS[name] for name in names)
        return
    for seed in range(asked.seed, asked.seed + asked.rounds):
        yield generate(
            seed,
            acts=plug.acts,
            workers=plug.workers,
            lines=plug.lines,
            seconds=asked.seconds,
            issues=asked.issues,
            strikes=asked.strikes,
            spells=asked.spells,
            orders=asked.orders if plug.takes_orders else 0,
            bounds=Bounds(recover=asked.recover, silence=asked.recover / 2, idle=5.0),
        )


async def _row(plug: Plug, story: Story) -> report.Row:
    """Raises Refused where the story could not be played to its end: that is no outcome."""
    try:
        async with plug(story) as system:
            row = report.row(await play(system, story))
    except (Unreadable, Refused, ExceptionGroup) as error:
        raise Refused(f"{story.name} was not played to its end: {_told(error)}") from error
    faults = sum(row["faults"].values())
    logging.info("%s: %d faults, findings: %d", story.name, faults, len(row["findings"]))
    return row


def _told(error: Exception) -> str:
    """Why it could not be played. What is no word of forge, room or plug is a bug, and goes on."""
    if not isinstance(error, ExceptionGroup):
        return str(error)
    _, others = error.split((Unreadable, Refused))
    if others:
        raise error
    return "; ".join(map(_told, error.exceptions))


def _keep(path: Path | None, row: report.Row) -> None:
    if path:
        with path.open("a") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
