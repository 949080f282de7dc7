"""The plugin's archive: what it is, before it is uploaded."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from fleetbot.installing.servers import Refused
from fleetbot.installing.site import PLUGIN

_FIELD = r"^{}:\s*['\"]?([^\s'\"]+)"


def read(path: Path) -> bytes:
    """Raises Refused where it is no plugin of ours."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise Refused(f"{path} cannot be read: {problem.strerror}") from None
    version_of(content, str(path))
    return content


def version_of(content: bytes, name: str = "the archive") -> str:
    """Raises Refused."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            meta = archive.read("maubot.yaml").decode()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        raise Refused(f"{name} is no plugin of maubot: it is dev.fleetbot-v….mbp") from None
    if _field(meta, "id") != PLUGIN:
        raise Refused(f"{name} is another plugin than {PLUGIN}")
    return _field(meta, "version")


def order_of(version: str) -> tuple[int, ...]:
    """By which one is newer than another."""
    return tuple(map(int, re.findall(r"\d+", version)))


def _field(meta: str, name: str) -> str:
    found = re.search(_FIELD.format(name), meta, re.MULTILINE)
    return found[1] if found else ""
