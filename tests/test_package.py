"""What maubot reads of the package before it loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import fleetbot

_PROJECT = Path(__file__).parents[1]


@pytest.fixture
def meta() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(_PROJECT / "maubot.yaml")
    return loaded


def test_the_plugin_has_the_version_of_the_package(meta: dict[str, Any]) -> None:
    assert meta["version"] == fleetbot.__version__


def test_the_package_alone_needs_no_maubot() -> None:
    assert not hasattr(fleetbot, "FleetBot")


def test_maubot_finds_the_class_name_in_the_modules_code(meta: dict[str, Any]) -> None:
    source = Path(fleetbot.__file__)
    code = compile(source.read_text(), str(source), "exec")
    assert meta["main_class"] in code.co_names
