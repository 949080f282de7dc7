"""YAML as maubot keeps it: comments stay where they are."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fleetbot.installing.servers import Refused


def load(text: str) -> dict[str, Any]:
    """Raises Refused where it is none, without the text, which holds secrets."""
    try:
        data = YAML().load(text)
    except YAMLError:
        raise Refused("the instance's configuration in maubot is not YAML: mend it there") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise Refused("the instance's configuration in maubot has no sections: mend it there")
    return data


def dump(data: dict[str, Any]) -> str:
    yaml = YAML()
    yaml.width = 1000
    yaml.indent(4)
    buffer = io.StringIO()
    yaml.dump(data, buffer)
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """Without what ruamel remembers of how it was written."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
