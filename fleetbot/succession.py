"""Whether maubot can still go back to the version that this one replaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from maubot.loader import MaubotZipImportError, ZippedPluginLoader


def replaces_another(loader: object) -> bool:
    """While an upload is under way: the archive of the version before lies beside that of the new
    one until the new one's instances run. Where making one of them fails, maubot goes back to it,
    and answers the upload with the reason; of what fails later it says nothing, and it is too late.
    """
    if not isinstance(loader, ZippedPluginLoader) or not loader.path:
        return False
    ours = Path(loader.path)
    others = (path for path in ours.parent.glob("*.mbp") if path != ours)
    return loader.meta is not None and loader.meta.id in _ids(others)


def _ids(archives: Iterator[Path]) -> Iterator[str]:
    for path in archives:
        try:
            with path.open("rb") as content:
                yield ZippedPluginLoader.verify_meta(content)[0]
        except (MaubotZipImportError, OSError):
            continue  # whatever it is, it is no version of ours
