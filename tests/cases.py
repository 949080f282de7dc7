"""Hundreds of cases in one test: a test for each would cost more than what it looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def case(*what: object) -> Iterator[None]:
    """A failure says which case it is of."""
    try:
        yield
    except BaseException as failure:
        failure.add_note(f"in the case: {', '.join(map(str, what))}")
        raise
