"""`python -m fleetbot_devkit.docs` writes the generated pages."""

from __future__ import annotations

from fleetbot_devkit.docs import write

write()
