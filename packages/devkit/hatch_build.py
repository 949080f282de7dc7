"""What the practice servers need: fleetbot of the same version, and the servers themselves."""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# The extra `dev` of fleetbot's pyproject.toml has the same; a test holds them together.
SERVERS = [
    "commonmark>=0.9,<1",
    "maubot>=0.6,<0.7",
    "mautrix>=0.21,<0.22",
    "matrix-synapse>=1.120,<2",
    "ruamel.yaml>=0.18,<0.19",
]


class CustomMetadataHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        fleetbot = f"fleetbot[plugin,postgres,charts]=={metadata['version']}"
        metadata["dependencies"] = [fleetbot, *SERVERS]
