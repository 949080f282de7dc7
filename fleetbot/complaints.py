"""How the `fleetbot` command says what keeps it from doing something, instead of a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import click

CANNOT = 2
"""The exit status of a command that could not do or find out what it was asked for."""


def plain(text: str) -> str:
    """As a terminal shows it: without the marks of code, and nothing that a server has said may
    give the terminal orders."""
    return "".join(sign for sign in text if sign.isprintable() and sign != "`")


@contextlib.contextmanager
def needs(install: str) -> Iterator[None]:
    """Tell what is missing, and that this would `install` it."""
    try:
        yield
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] == "fleetbot":
            raise
        click.echo(f"fleetbot: {missing.name} is missing; install it: {install}", err=True)
        sys.exit(CANNOT)


@contextlib.contextmanager
def told(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds as problem:
        click.echo(f"fleetbot: {problem}", err=True)
        sys.exit(CANNOT)
