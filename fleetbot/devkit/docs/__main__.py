"""`python -m fleetbot.devkit.docs` writes the generated pages."""

from __future__ import annotations

from fleetbot.devkit.docs import write

write()
