"""The packages: what maubot reads of the plugin, what is in them, and that they need no more than
they say."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from maubot.cli.commands.build import read_meta, write_plugin
from maubot.loader import ZippedPluginLoader
from packaging.requirements import Requirement
from ruamel.yaml import YAML

import fleetbot
from fleetbot.requirements import PLUGIN, lacking
from fleetbot_devkit.build import build_plugin, described

_PROJECT = Path(__file__).parents[1]
_DEVKIT = _PROJECT / "packages" / "devkit"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((_PROJECT / "pyproject.toml").read_text())["project"]
    return found


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_plugin(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By the name of the distribution."""
    built = tmp_path_factory.mktemp("wheels")
    return {wheel.name.partition("-")[0]: wheel for wheel in _build_wheels(built)}


def _build_wheels(target: Path, **env: str) -> list[Path]:
    code = (
        "import os, sys; from hatchling.builders.wheel import WheelBuilder\n"
        "for root in sys.argv[2:]:\n"
        "    os.chdir(root); list(WheelBuilder(root).build(directory=sys.argv[1]))"
    )
    argv = [sys.executable, "-c", code, str(target), str(_PROJECT), str(_DEVKIT)]
    subprocess.run(argv, env={**os.environ, **env}, check=True)
    return sorted(target.glob("*.whl"))


def _names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as content:
        return set(content.namelist())


# the plugin


def test_the_plugin_has_the_version_of_the_code_and_maubot_yaml_says_so() -> None:
    """`make plugin` writes it there."""
    assert described(_PROJECT).version == fleetbot.__version__
    assert described(_PROJECT).description == (_PROJECT / "maubot.yaml").read_text()


def test_the_package_alone_needs_no_maubot() -> None:
    assert not hasattr(fleetbot, "FleetBot")


def test_maubot_finds_the_class_name_in_the_modules_code() -> None:
    meta = YAML(typ="safe").load(_PROJECT / "maubot.yaml")
    source = Path(fleetbot.__file__)
    code = compile(source.read_text(), str(source), "exec")
    assert meta["main_class"] in code.co_names


def test_the_plugin_is_the_same_in_every_byte_when_it_is_built_again(
    plugin: Path, tmp_path: Path
) -> None:
    again = build_plugin(tmp_path)
    assert again.read_bytes() == plugin.read_bytes()


def test_the_plugin_is_built_with_nothing_but_python(plugin: Path, tmp_path: Path) -> None:
    builder = _PROJECT / "fleetbot_devkit" / "build.py"
    argv = [sys.executable, "-I", "-S", str(builder), str(tmp_path)]
    built = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert Path(built.stdout.strip()).read_bytes() == plugin.read_bytes()


def test_maubots_own_loader_takes_the_plugin(plugin: Path) -> None:
    id, version, _ = ZippedPluginLoader.verify_meta(plugin)
    assert (id, str(version)) == ("dev.fleetbot", fleetbot.__version__)


def test_the_plugin_holds_what_the_orchestrator_imports_and_little_else(plugin: Path) -> None:
    packed = {name for name in _names(plugin) if name.endswith(".py")}
    imported = _imported_from("fleetbot.plugin", "fleetbot.requirements")
    assert imported <= packed
    beside = {name.split("/")[1] for name in packed - imported}
    assert beside <= {"store"}, "fleetbot_devkit/build.py says what is not the plugin's"
    others = {name for name in _names(plugin) - packed if not name.endswith(".sql")}
    board = {name for name in others if name.startswith("fleetbot/web/board/static/")}
    assert board, "what browsers show"
    assert others - board == {"maubot.yaml", "base-config.yaml", "fleetbot/py.typed"}


def _imported_from(*names: str) -> set[str]:
    """The files of fleetbot that these modules import, and all that those import."""
    found: dict[str, set[str]] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        path = _PROJECT / name.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not file.exists():
            continue
        found[name] = _imports(file) | {name.rpartition(".")[0] or name}
        todo += found[name]
    folders = {"migrations", "migrations.sqlite", "migrations.postgres"}  # read, not imported
    files = {f"fleetbot/store/{name.replace('.', '/')}/__init__.py" for name in folders}
    return files | {
        f"{path}/__init__.py" if (_PROJECT / path).is_dir() else f"{path}.py"
        for path in (name.replace(".", "/") for name in found)
    }


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fleetbot"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names if a.name.startswith("fleetbot")}
    return names


def test_mbc_builds_a_plugin_as_good(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(_PROJECT)
    meta = read_meta(".")
    assert meta is not None
    write_plugin(meta, str(tmp_path / "by-mbc.mbp"))
    assert _names(plugin) <= _names(tmp_path / "by-mbc.mbp")
    assert ZippedPluginLoader.verify_meta(tmp_path / "by-mbc.mbp")[0] == "dev.fleetbot"


# what it asks of its maubot


def test_what_the_plugin_looks_for_is_what_its_package_requires(project: dict[str, Any]) -> None:
    extra = project["optional-dependencies"]["plugin"]
    needed = {line for line in [*project["dependencies"], *extra] if "tzdata" not in line}
    of_maubot = {"aiohttp>=3.11,<4", "click>=8.1,<9"}  # and the latter it does not use
    assert set(PLUGIN) == needed - of_maubot


def test_a_package_that_is_missing_or_of_a_wrong_version_is_named_in_one_line() -> None:
    versions = {"msgspec": "0.18.6", "jinja2": "3.1.6", "prometheus-client": "0.21.0"}

    def installed(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    assert lacking("0.1.0", installed, is_there=lambda module: False) == (
        "pip install 'msgspec>=0.19,<1' 'yoyo-migrations>=9,<10' in maubot's environment, then try"
        " again: fleetbot 0.1.0 finds msgspec 0.18.6, no yoyo-migrations"
    )
    versions |= {"msgspec": "0.19.0"}
    by_hand = lacking("0.1.0", installed, is_there=lambda module: module == "yoyo")
    assert by_hand == "", "a package that somebody has put there without pip does as well"


# the wheels


def test_wheels_are_the_same_in_every_byte_when_they_are_built_again(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    again = _build_wheels(tmp_path, TZ="Asia/Tokyo")
    assert [wheel.read_bytes() for wheel in again] == [
        wheels[wheel.name.partition("-")[0]].read_bytes() for wheel in again
    ]


def test_a_runners_wheel_holds_no_practice_servers_and_no_tests(wheels: dict[str, Path]) -> None:
    tops = {name.partition("/")[0] for name in _names(wheels["fleetbot"])}
    assert tops == {"fleetbot", f"fleetbot-{fleetbot.__version__}.dist-info"}
    assert wheels["fleetbot"].stat().st_size < 1_500_000


def test_the_practice_servers_need_fleetbot_of_their_own_version(
    wheels: dict[str, Path], project: dict[str, Any]
) -> None:
    [wheel] = [wheels["fleetbot_devkit"]]
    assert "fleetbot_devkit/plugin/maubot.yaml" in _names(wheel)
    with zipfile.ZipFile(wheel) as content:
        [name] = [name for name in content.namelist() if name.endswith("METADATA")]
        lines = content.read(name).decode().splitlines()
    needed = {Requirement(line.split(": ", 1)[1]) for line in lines if "Requires-Dist" in line}
    fleet = Requirement(f"fleetbot[plugin,postgres,charts]=={fleetbot.__version__}")
    assert fleet in needed
    dev = {Requirement(line) for line in project["optional-dependencies"]["dev"]}
    assert needed - {fleet} <= dev, "`make` installs the same for the tests"


ONLY_DECLARED = """
import json, sys
sys.path.insert(0, sys.argv[1])
allowed = set(json.loads(sys.argv[2]))

class Declared:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in allowed or top in sys.stdlib_module_names:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Declared(finder) for finder in sys.meta_path]
from click.testing import CliRunner
from fleetbot.cli import main

assert sys.modules["fleetbot"].__file__.startswith(sys.argv[1])
for words in json.loads(sys.argv[3]):
    result = CliRunner().invoke(main, words)
    print(json.dumps([result.exit_code, result.output, repr(result.exception)]))
"""


def test_an_installed_runner_imports_what_its_package_declares_and_nothing_else(
    wheels: dict[str, Path], project: dict[str, Any], tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheels["fleetbot"]) as content:
        content.extractall(tmp_path)
    calls = [["--help"], ["runner", "-c", "none.toml"], ["check", "-c", "none.toml"], ["demo"]]
    allowed = sorted({"fleetbot", *_modules_of(project["dependencies"])})
    given = [str(tmp_path), json.dumps(allowed), json.dumps(calls)]
    argv = [sys.executable, "-c", ONLY_DECLARED, *given]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    help, runner, check, demo = (json.loads(line) for line in done.stdout.splitlines())
    assert help[0] == 0
    for status, text, error in (runner, check):
        assert (status, "none.toml" in text) == (2, True), error
    assert demo[0] == 2
    assert re.search(r"pip install 'fleetbot-devkit==[\d.]+', or `make demo` in a check", demo[1])


def _modules_of(requirements: list[str]) -> set[str]:
    """The modules of these packages, and of all that they need."""
    tops: dict[str, list[str]] = {}
    for module, names in metadata.packages_distributions().items():
        for name in names:
            tops.setdefault(name.lower().replace("_", "-"), []).append(module)
    found: set[str] = set()
    todo = [Requirement(line) for line in requirements]
    while todo:
        needed = todo.pop()
        name = needed.name.lower().replace("_", "-")
        if name in found or (needed.marker and not needed.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        todo += [Requirement(line) for line in metadata.requires(name) or []]
    return {module for name in found for module in tops.get(name, [])}
