"""SIGTERM and SIGINT between two steps of the event loop, rather than in the middle of one.

mautrix has both raise `KeyboardInterrupt` wherever the main thread happens to be. Where that is
within a task, the task ends with it, and whoever awaits the task while maubot stops is interrupted
once more: stopping is given up half-way, and the process hangs.
"""

from __future__ import annotations

import asyncio
import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Between `take` and `give_back`; does nothing where others handle the signals already."""

    def __init__(self) -> None:
        self._taken: list[signal.Signals] = []

    def take(self) -> None:
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.default_int_handler:
                asyncio.get_running_loop().add_signal_handler(number, _interrupt)
                self._taken.append(number)

    def give_back(self) -> None:
        for number in self._taken:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.default_int_handler)
        self._taken.clear()


def _interrupt() -> None:
    """In a callback of the loop's own, which hands it on to whoever runs the loop."""
    raise KeyboardInterrupt
