"""The commands as clients are told of them by a room's state (MSC4391): pure.

Each command has a state event of its own; its state key keeps two bots' commands of one name apart.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from fleetbot.chat.commands.grammar import PRIORITY_NAMES, STATE_NAMES
from fleetbot.chat.commands.table import COMMANDS, GROUP, Kind, Parameter, Usage

KIND = "org.matrix.msc4391.command_description"
Content = dict[str, Any]


def descriptions(own_id: str) -> Mapping[str, Content]:
    """The contents by state key; `own_id` is the bot's user id."""
    return {state_key(name, own_id): _described(name, its) for name, its in COMMANDS.items()}


def state_key(name: str, own_id: str) -> str:
    digest = sha256(f"{_spoken(name)}{own_id}".encode()).digest()
    return base64.b64encode(digest).decode()


def _spoken(name: str) -> str:
    """`fleet status`: what people also type."""
    return f"{GROUP} {name}"


def _described(name: str, its: Usage) -> Content:
    return {
        "command": _spoken(name),
        "description": _text(its.says),
        "parameters": [_parameter(parameter) for parameter in its.parameters],
    }


def _parameter(its: Parameter) -> Content:
    """An issue may always be left out: a reply may say which it is."""
    described = {"key": its.name, "schema": _schema(its.kind), "description": _text(its.shown)}
    is_needed = its.needed and its.kind is not Kind.ISSUE
    return described if is_needed else {**described, "optional": True}


def _schema(kind: Kind) -> Content:
    match kind:
        case Kind.STATE:
            return {"schema_type": "array", "items": _one_of(STATE_NAMES)}
        case Kind.PRIORITY:
            return _one_of(PRIORITY_NAMES)
        case _:
            return {"schema_type": "primitive", "type": "string"}


def _one_of(words: Mapping[str, object]) -> Content:
    literals = [
        {"schema_type": "literal", "literal_type": "string", "value": word} for word in words
    ]
    return {"schema_type": "union", "variants": literals}


def _text(words: str) -> Content:
    return {"m.text": [{"body": words.replace("`", "")}]}
