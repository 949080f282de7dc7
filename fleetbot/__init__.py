"""fleetbot: a fleet of coding agents for Forgejo and Matrix, run from a maubot plugin."""

from __future__ import annotations

import sys
from importlib import invalidate_caches

__version__ = "0.1.0"

# The runner and the tests import this package where there is no maubot, so the plugin class is
# exported only to the two loaders of maubot: its zip importer, and `python -m maubot.standalone`,
# which imports the working tree. maubot looks for the class's name in this module's code before it
# loads a plugin, hence the plain import; it must happen now, not on first use, because maubot
# rolls an upgrade back only for what fails while the module loads.
if (
    type(globals().get("__loader__")).__module__.startswith("maubot.")
    or getattr(sys.modules["__main__"], "__package__", None) == "maubot.standalone"
):
    # What was installed since Python last looked, and an archive that took a refused one's name.
    invalidate_caches()
    from .requirements import RequirementsMissing, check

    try:
        check(__version__)
        from .plugin import FleetBot as FleetBot
    except RequirementsMissing as missing:
        # maubot's answer would say no more than that the module failed. What comes of asking for
        # the class it passes on.
        _missing = missing

        def __getattr__(name: str) -> object:
            if name == "FleetBot":
                raise _missing
            raise AttributeError(name)
