"""A small Forgejo-compatible server on real git repositories, for the demo and the tests.

It answers the part of Forgejo's API that fleetbot uses, with Forgejo's quirks, sends signed
webhooks, and serves git over HTTP. What it knows lives in memory; the repositories live on disk.
"""

from __future__ import annotations

from fleetbot_devkit.forge.server import DevForge as DevForge
from fleetbot_devkit.forge.webhooks import Delivery as Delivery
