"""Where a fleet's database is, as a person names it on a command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from fleetbot.store.postgres.address import Address

_POSTGRES = ("postgresql", "postgres")


class PlaceRefused(Exception):
    """It names no database; the text says what would."""


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """`url` may hold a password, which is never shown."""

    url: str = field(repr=False)
    schema: str

    def __str__(self) -> str:
        return self.address.where

    @property
    def address(self) -> Address:
        return Address(self.url, self.schema)


Place = SqlitePlace | PostgresPlace


def place_of(text: str, schema: str = "", password: str = "") -> Place:
    """Raises `PlaceRefused`."""
    scheme, colon, _ = text.partition("://")
    if not colon:
        return SqlitePlace(Path(text))
    if scheme not in _POSTGRES:
        raise PlaceRefused(
            f"{scheme}:// is no database of fleetbot: give the path of a file, or postgresql://…"
        )
    _refuse_password(text)
    if not schema:
        raise PlaceRefused(
            "on Postgres a fleet has a schema of its own: name it with --schema; maubot calls it "
            "mbp_<instance>"
        )
    return PostgresPlace(_with_password(text, password) if password else text, schema)


def _refuse_password(text: str) -> None:
    """What stands on a command line can be read by everybody on the machine."""
    try:
        parts = urlsplit(text)
        given = [name for name, _ in parse_qsl(parts.query) if "password" in name]
        has_password = bool(given) or parts.password is not None
    except ValueError:
        raise PlaceRefused("this is no address of a Postgres database") from None
    if has_password:
        raise PlaceRefused(
            "the address holds a password, which everybody on this machine can read in the list of "
            "processes: take it out, and give it with --password-file, PGPASSWORD or ~/.pgpass"
        )


def _with_password(text: str, password: str) -> str:
    parts = urlsplit(text)
    login, at, hosts = parts.netloc.rpartition("@")
    if not at:
        raise PlaceRefused("the address names no user, whose password that would be")
    secret = quote(password, safe="")
    return urlunsplit(parts._replace(netloc=f"{login}:{secret}@{hosts}"))
