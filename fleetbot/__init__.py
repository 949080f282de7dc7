"""fleetbot: a fleet of coding agents for Forgejo and Matrix, run from a maubot plugin."""

from __future__ import annotations

import sys

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
    from .plugin import FleetBot as FleetBot
