"""All that a fleet's database holds, in another one, and the proof that it is all there."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.store.audit import examine
from fleetbot.store.auditable import Row
from fleetbot.store.chain import Head
from fleetbot.store.damage import Damage, JournalDamaged, Problem, Progress, in_silence
from fleetbot.store.vault import Table, Vault


class CopyRefused(Exception):
    """Nothing is copied, and nothing has changed; the text says why."""


class NotProven(CopyRefused):
    """What has arrived is not what was sent."""


async def copy(source: Vault, target: Vault, tell: Progress = in_silence) -> Head:
    """Fills the target; what it raises must undo that. Returns where both journals end.

    Raises `CopyRefused`: where the target holds something, where the two are of different versions,
    and where the proof fails; `JournalDamaged` where the source's journal is.
    """
    tables = await _tables(source, target)
    await refuse_filled(target, tables)
    for table in tables.values():
        copied = 0
        async for page in source.pages(table):
            await target.insert(table.name, table.columns, _fitting(target, table, page))
            copied += len(page)
            tell(f"rows of {table.name} copied", copied)
    return await _prove(source, target, tables, tell)


def _fitting(target: Vault, table: Table, page: list[Row]) -> list[Row]:
    """The rows as the target can hold them: on Postgres logins are in small letters, and no text
    has a zero byte, which a program may have written to its log."""
    if table.name == "people":
        login = table.columns.index("login")
        page = [(*row[:login], row[login].lower(), *row[login + 1 :]) for row in page]
    if target.holds_zero:
        return page
    return [tuple(map(_without_zero, row)) for row in page]


def _without_zero(value: object) -> object:
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\N{SYMBOL FOR NULL}")
    return value


async def refuse_filled(target: Vault, tables: Mapping[str, Table]) -> None:
    """Raises `CopyRefused` unless every table is empty."""
    for name in ("events", *tables):
        if await target.rows(f"SELECT 1 FROM {name} LIMIT 1"):
            last = (await target.head()).seq
            held = f"a journal of {last} events" if last else f"rows in its table {name}"
            raise CopyRefused(f"the target holds {held}: give an empty one")


async def _tables(source: Vault, target: Vault) -> Mapping[str, Table]:
    ours, theirs = await source.tables(), await target.tables()
    for name in sorted({*ours, *theirs}):
        if name not in ours or name not in theirs:
            raise CopyRefused(f"only one of the two has a table {name}: they are of two versions")
        if set(ours[name].columns) != set(theirs[name].columns):
            raise CopyRefused(f"their tables {name} differ: they are of two versions")
    return ours


async def _prove(source: Vault, target: Vault, tables: Mapping[str, Table], tell: Progress) -> Head:
    for name in tables:
        sent, arrived = await source.count(name), await target.count(name)
        if sent != arrived:
            raise NotProven(f"{sent} rows of {name} were copied, and {arrived} have arrived")
    head = await source.head()
    if problems := await examine(target, head, tell):
        if problems[0].damage is not Damage.MODELS:
            raise JournalDamaged(problems[0])
        raise NotProven(_told(problems[0]))
    return head


def _told(problem: Problem) -> str:
    found = f"{problem.where}: {problem.text}"
    return f"{found}; make the source's read models anew first (fleetbot db rebuild)"
