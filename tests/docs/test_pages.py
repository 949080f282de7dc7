"""What the pages say can be done: links lead somewhere, names and settings exist."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from ruamel.yaml import YAML

from fleetbot.chat.commands.table import COMMANDS
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.waits import WaitReason
from fleetbot.parsing import parse
from fleetbot.runner.adapters import claude_code, codex
from fleetbot.runner.config import decode
from fleetbot.store import flat
from fleetbot_devkit.docs import ROOT
from fleetbot_devkit.docs.settings import read_toml, read_yaml
from tests.docs.blocks import PAGES, WRITTEN, blocks, name

MACHINE = """
[orchestrator]
url = "https://matrix.example.org/_matrix/maubot/plugin/fleetbot"
[forge]
url = "https://forgejo.example.org"
username = "fleet-runner"
"""
AGENT = '[[agents]]\nname = "other"\nadapter = "codex"\n'

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_SETTING = re.compile(
    r"`((?:forge|labels|auth|rooms|runs|retry|keep|journal|verify|budget|outbox|notify|chat|board|orchestrator"
    r"|runner|workspace|limits)\.[a-z_]+)`"
)
_CHAT = re.compile(r"!fleet ([a-z]+)")


def _examples(language: str, first_line: str) -> list[Any]:
    return [
        pytest.param(text, id=f"{name(page)}-{number}")
        for page in WRITTEN
        for number, text in enumerate(_of(page, language))
        if text.startswith(first_line)
    ]


def _of(page: Path, language: str) -> list[str]:
    return [block.text for block in blocks(page) if block.language == language]


# links


def _anchors(page: Path) -> set[str]:
    """As Forgejo and others make them of headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text("utf-8")):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        found = target.exists() and (not anchor or anchor in _anchors(target))
        broken += [] if found else [link]
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text("utf-8"))}
    assert [name(p) for p in (ROOT / "docs").rglob("*.md") if p not in {*linked, index}] == []


# names


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_of_the_chat_exist(page: Path) -> None:
    said = set(_CHAT.findall(page.read_text("utf-8")))
    assert said <= set(COMMANDS), said - set(COMMANDS)


# settings


@cache
def _settings() -> set[str]:
    yaml = read_yaml((ROOT / "base-config.yaml").read_text("utf-8"))[1]
    toml = read_toml((ROOT / "config.example.toml").read_text("utf-8"))[1]
    names = {f"{section.name}.{s.name}" for section in (*yaml, *toml) for s in section.settings}
    return {*names, *(section.name for section in (*yaml, *toml)), "workspace.hooks"}


@pytest.mark.parametrize("page", [*WRITTEN, ROOT / "docs/reference/reasons.md"], ids=name)
def test_settings_that_are_named_exist(page: Path) -> None:
    assert set(_SETTING.findall(page.read_text("utf-8"))) - _settings() == set()


@pytest.mark.parametrize("text", _examples("toml", "# of the runner"))
def test_a_runners_configuration_is_accepted(text: str) -> None:
    assert decode(text).agents


@pytest.mark.parametrize("text", _examples("toml", "# an agent"))
def test_an_agents_configuration_is_accepted(text: str) -> None:
    assert len(decode(MACHINE + AGENT + text).agents) == 2


@pytest.mark.parametrize("text", _examples("yaml", "# of the plugin"))
def test_a_plugins_configuration_is_accepted(text: str) -> None:
    """What a page shows, over the file that maubot fills in."""
    yaml = YAML(typ="safe")
    config = yaml.load(ROOT / "base-config.yaml")
    config["forge"] |= {
        "token": "a token",
        "webhook_secret": "a secret",
        "repositories": ["acme/app"],
    }
    for section, values in yaml.load(text).items():
        config[section] = {**config[section], **values}
    parse(config)


def test_examples_are_looked_at_or_marked_as_anothers() -> None:
    marks = {
        "toml": ("# of the runner", "# an agent", "# of your package"),
        "yaml": ("# of the plugin", "# of maubot"),
    }
    for page in WRITTEN:
        for language, first_lines in marks.items():
            assert all(text.startswith(first_lines) for text in _of(page, language)), page


# facts that are written out


def test_the_versions_of_the_agent_programs_are_those_supported() -> None:
    howto = ROOT / "docs" / "howto"
    assert str(claude_code.SUPPORTED) in (howto / "claude-code.md").read_text("utf-8")
    assert str(codex.SUPPORTED) in (howto / "codex.md").read_text("utf-8")


def test_the_packages_of_the_plugin_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    wanted = re.findall(r'"([^"]+)"', project.partition("\nplugin = [")[2].partition("]")[0])
    pages = [page.read_text("utf-8") for page in WRITTEN]
    lines = [line for page in pages for line in page.splitlines() if "$ pip install 'msg" in line]
    assert lines
    assert all(f"'{package}'" in line for line in lines for package in wanted)


def test_reasons_in_the_pages_exist() -> None:
    stuck = (ROOT / "docs/howto/when-something-is-stuck.md").read_text("utf-8")
    table = stuck.partition("## A task fails again and again")[2].partition("\n## ")[0]
    named = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    codes = re.findall(r"`([a-z_]+)`", " ".join(named))
    assert codes
    assert set(codes) <= set(ReasonCode)


def test_each_wait_has_its_way_out_in_the_page() -> None:
    stuck = (ROOT / "docs/howto/when-something-is-stuck.md").read_text("utf-8")
    table = stuck.partition("## A task does not move")[2].partition("\n## ")[0]
    named = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    assert set(re.findall(r"`([a-z_]+)`", " ".join(named))) - {"reason"} == set(WaitReason)


def test_the_threat_model_names_tests_that_there_are_and_all_of_the_hostile_ones() -> None:
    page = (ROOT / "docs" / "explanation" / "security.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))

    assert named >= _tests_in("hostile")
    known = _tests_in("hostile") | _tests_in("chat") | _tests_in("flow") | _tests_in("web")
    assert named <= known


def test_what_is_said_of_recovery_is_shown_by_tests_that_there_are() -> None:
    page = (ROOT / "docs" / "explanation" / "recovery.md").read_text("utf-8")
    rows = [
        line for line in page.splitlines() if line.startswith("| ") and "what breaks" not in line
    ]
    named = [re.findall(r"`tests/(\w+(?:/\w+)*)\.py::(test_\w+)`", row) for row in rows]

    assert all(named)
    for file, test in (one for row in named for one in row):
        suite = (ROOT / "tests" / f"{file}.py").read_text("utf-8")
        assert re.search(rf"^(async )?def {test}\(", suite, re.MULTILINE), f"{file}: {test}"


def _tests_in(folder: str) -> set[str]:
    files = (ROOT / "tests" / folder).rglob("test_*.py")
    suite = "".join(path.read_text("utf-8") for path in files)
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", suite, re.MULTILINE))


def test_the_fields_of_exported_rows_are_those_that_the_page_names() -> None:
    page = (ROOT / "docs" / "howto" / "export-and-import.md").read_text("utf-8")
    rows = {"tasks": flat.TaskRow, "runs": flat.RunRow, "receipts": flat.ReceiptRow}
    for what, row in rows.items():
        (line,) = re.findall(rf"^\| `{what}` \|.*$", page, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", line)) - {what} == set(row.__struct_fields__) - {what}


def test_the_walks_name_files_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    _, _, walks = page.partition("## Adding to it")
    walks, _, _ = walks.partition("\n## ")
    rows = [row.split("|")[1] for row in walks.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w/.-]+[/.]\w*)`", row)}
    assert len(named) > 20
    beside = {name for name in named if "/" not in name and not (ROOT / name).exists()}
    assert {name for name in named - beside if not (ROOT / name).exists()} == set()
    folders = [(ROOT / name).parent for name in named - beside]
    assert {name for name in beside if not any((f / name).exists() for f in folders)} == set()
