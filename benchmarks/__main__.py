"""Every benchmark in turn, each in a process of its own, and one table: what is missed comes first.

    python -m benchmarks [--small] [--only NAME ...]

`--small` takes a tenth of what takes long. One that cannot be run is named with the reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from benchmarks.table import Line, show

# With what each takes to be done in a few minutes, at the most.
_SMALL: dict[str, Sequence[str]] = {
    "store": ("--pairs", "3", "--transitions", "1000"),
    "queues": ("--rounds", "3", "--jobs", "500"),
    "http": ("--rounds", "3", "--assignments", "100"),
    "hostile_clients": ("--rounds", "3", "--seconds", "2"),
    "scale": ("--rounds", "3", "--small"),
    "keeping": ("--tasks", "5000"),
    "idle": ("--agents", "100", "--seconds", "10"),
    "chat": ("--pairs", "10"),
    "runner": ("--pairs", "3"),
    "workspace": ("--rounds", "3", "--files", "5000"),
    "delivery": ("burst",),
}
_ORDER = tuple(_SMALL)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--small", action="store_true")
    arguments.add_argument("--only", nargs="+", choices=_ORDER, default=_ORDER)
    chosen = arguments.parse_args()
    lines = [line for name in chosen.only for line in _measured(name, chosen.small)]
    show(sorted(lines, key=lambda line: line.holds is not False))


def _measured(name: str, small: bool) -> Iterator[Line]:
    """Its lines, under its name; one that says so where it failed."""
    began = time.perf_counter()
    argv = [sys.executable, "-m", f"benchmarks.{name}", "--json", *(_SMALL[name] if small else ())]
    done = subprocess.run(argv, capture_output=True, check=False)
    took = time.perf_counter() - began
    print(f"{name}: {took:.0f} s", file=sys.stderr, flush=True)
    if done.returncode:
        why = done.stderr.decode().strip().rpartition("\n")[2]
        yield Line(case=f"{name}: {why}", product="failed", holds=False)
        return
    for line in msgspec.json.decode(done.stdout, type=list[Line]):
        yield replace(line, case=f"{name}: {line.case}")


if __name__ == "__main__":
    main()
