"""Whether a message is for us, and which command it is then: pure."""

from __future__ import annotations

from fleetbot.chat.commands import grammar
from fleetbot.chat.commands.said import Called, Said
from fleetbot.chat.commands.table import COMMANDS, NAMES, Kind

_CLOSE = 0.75  # a word after our name that is as like a command as that is a slip of the fingers


def meant(said: Said) -> grammar.Parsed | None:
    """The command of a message; None where it is not for us."""
    if said.invocation:
        return grammar.structured(said.invocation.name, said.invocation.arguments)
    parsed = grammar.parse(said.body, called=said.called is not Called.NOT)
    match said.called:
        case Called.LOOSELY if isinstance(parsed, grammar.Misspelt):
            return parsed if grammar.nearest(parsed.word, _CLOSE) else None
        case Called.IN_PASSING:
            return parsed if _is_whole(parsed, said.body) else None
    return parsed


def _is_whole(parsed: grammar.Parsed | None, body: str) -> bool:
    """Who names us in passing talks about us more often than to us: only what is a whole command
    without us in it counts then, and none that takes any words."""
    name = NAMES.get(type(parsed))
    return bool(body) and name is not None and not _takes_any_words(name)


def is_changing(parsed: grammar.Parsed) -> bool:
    name = NAMES.get(type(parsed))
    return name is not None and COMMANDS[name].changes


def _takes_any_words(name: str) -> bool:
    return any(parameter.kind is Kind.TEXT for parameter in COMMANDS[name].parameters)
