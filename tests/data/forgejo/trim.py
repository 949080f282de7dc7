"""Cut a Forgejo API description down to the calls of fleetbot and its development forge.

    python tests/data/forgejo/trim.py swagger.v1.json VERSION

Take ``swagger.v1.json`` from a running Forgejo. Needed again only when a call or a version is
added.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from fleetbot_devkit.forge.server import ROUTES

Json = dict[str, Any]


def trim(description: Json) -> Json:
    wanted = {(route.method.lower(), shape(route.path)) for route in ROUTES}
    paths = {
        path: {
            method: operation
            for method, operation in operations.items()
            if (method, shape(path)) in wanted
        }
        for path, operations in description["paths"].items()
    }
    paths = {path: without_prose(operations) for path, operations in paths.items() if operations}
    kept: Json = {"info": {"version": description["info"]["version"]}, "paths": paths}
    add_references(kept, description, paths)
    return kept


def shape(path: str) -> str:
    """Parameters are named differently by different versions."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def add_references(kept: Json, description: Json, part: Any) -> None:
    """Bring along what ``part`` refers to, and what that refers to."""
    for reference in re.findall(r'"#/(\w+)/(\w+)"', json.dumps(part)):
        section, name = reference
        if name not in kept.setdefault(section, {}):
            kept[section][name] = without_prose(description[section][name])
            add_references(kept, description, kept[section][name])


def without_prose(part: Any) -> Any:
    if isinstance(part, list):
        return [without_prose(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: without_prose(value)
        for key, value in part.items()
        if not key.startswith("x-")
        and key not in ("tags", "consumes", "produces", "operationId", "summary")
        and not (key in ("description", "title") and isinstance(value, str))
    }


if __name__ == "__main__":
    source, version = sys.argv[1:]
    target = Path(__file__).with_name(f"api-{version}.json")
    trimmed = trim(json.loads(Path(source).read_text()))
    target.write_text(json.dumps(trimmed, sort_keys=True, separators=(",", ":")) + "\n")
