"""The generated pages of the reference: whatever the code knows best is not written by hand.

`python -m fleetbot_devkit.docs`, or `make docs`, writes them, and the dashboard; tests compare
them.
"""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from fleetbot_devkit.docs import chat, dashboard, http, lifecycle, monitoring, people, settings

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
DASHBOARD = ROOT / "deploy" / "monitoring" / "grafana-dashboard.json"


def pages() -> dict[str, str]:
    """Every generated page by its name in the reference."""
    base_config = (ROOT / "base-config.yaml").read_text("utf-8")
    example = (ROOT / "config.example.toml").read_text("utf-8")
    return {
        "states.md": lifecycle.states(),
        "reasons.md": lifecycle.reasons(),
        "events.md": lifecycle.events(),
        "commands.md": chat.commands(),
        "labels.md": people.labels(YAML(typ="safe").load(base_config)["labels"]),
        "cli.md": people.shell(),
        "prompt.md": people.prompts(),
        "configuration-plugin.md": settings.plugin(base_config),
        "configuration-runner.md": settings.runner(example),
        "http.md": http.http(),
        "metrics.md": monitoring.metrics(),
        "openapi.json": http.openapi(),
    }


def write() -> None:
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, "utf-8")
    DASHBOARD.write_text(dashboard.dashboard(), "utf-8")
