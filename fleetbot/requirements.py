"""What the plugin needs beside maubot, looked for before anything of it is imported.

maubot reads no requirements of plugins, and of what fails while one is loaded its answers say
nothing. So what is missing is raised where maubot asks for the plugin's class.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib import metadata, util

from aiohttp import web
from maubot.loader import MaubotZipImportError
from packaging.requirements import Requirement

log = logging.getLogger("fleetbot")

PLUGIN = {
    "msgspec>=0.19,<1": "msgspec",
    "jinja2>=3.1,<4": "jinja2",
    "yoyo-migrations>=9,<10": "yoyo",
    "prometheus-client>=0.20,<1": "prometheus_client",
}
"""What is required, and the module by which it is found where a package was put there by hand. The
same stands in pyproject.toml, in the dependencies and in the extra `plugin`."""


class RequirementsMissing(MaubotZipImportError, web.HTTPInternalServerError):
    """What is to be installed, in one line.

    maubot answers an upload with the text of the one, and a change of an instance with that of the
    other.
    """

    def __init__(self, text: str) -> None:
        super().__init__(reason=text, text=text)


def check(version: str) -> None:
    """Raises RequirementsMissing where this version of fleetbot lacks something, and logs it, for
    maubot logs it below a traceback."""
    if text := lacking(version):
        log.error(text)
        raise RequirementsMissing(text)


def _is_there(module: str) -> bool:
    return util.find_spec(module) is not None


def lacking(
    version: str,
    installed: Callable[[str], str] = metadata.version,
    is_there: Callable[[str], bool] = _is_there,
) -> str:
    """One line that says what to install, and why; empty where there is nothing."""
    troubles = dict(_troubles(installed, is_there))
    if not troubles:
        return ""
    packages = " ".join(f"'{requirement}'" for requirement in troubles)
    return (
        f"pip install {packages} in maubot's environment, then try again:"
        f" fleetbot {version} finds {', '.join(troubles.values())}"
    )


def _troubles(
    installed: Callable[[str], str], is_there: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    for text, module in PLUGIN.items():
        requirement = Requirement(text)
        try:
            version = installed(requirement.name)
        except metadata.PackageNotFoundError:
            if not is_there(module):
                yield text, f"no {requirement.name}"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield text, f"{requirement.name} {version}"
