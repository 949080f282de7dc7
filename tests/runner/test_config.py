"""The runner's configuration: a complete example, and a way out of every mistake."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from fleetbot.runner.config import ConfigError, ConfigFile, decode, load
from fleetbot.runner.tokens import Tokens

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SMALL = """
[orchestrator]
url = "http://127.0.0.1:1/fleet/"
[forge]
url = "http://127.0.0.1:2"
username = "fleet"
token = "t0ken-of-fleet"
[[agents]]
name = "worker-1"
adapter = "command"
[agents.command]
argv = ["true"]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, text), {})
    return str(refused.value)


def test_the_example_is_valid() -> None:
    config = decode(EXAMPLE.read_text())

    assert [agent.adapter for agent in config.agents] == ["claude-code", "codex", "command"]


def settings(kind: Any, prefix: str = "") -> Iterator[str]:
    """The dotted names of every setting below a struct."""
    for field in msgspec.structs.fields(kind):
        table = table_in(field.type)
        yield from settings(table, f"{prefix}{field.name}.") if table else [prefix + field.name]


def table_in(hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next(filter(None, map(table_in, get_args(hint))), None)


def test_the_example_names_every_setting_there_is() -> None:
    uncommented = re.sub(r"^# (?=[a-z_]+ = |\[)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    example = tomllib.loads(uncommented)

    missing = [name for name in settings(ConfigFile) if not is_named(example, name.split("."))]

    assert missing == []


def is_named(table: Any, steps: list[str]) -> bool:
    if not steps:
        return True
    if isinstance(table, list):
        return any(is_named(entry, steps) for entry in table)
    return isinstance(table, dict) and steps[0] in table and is_named(table[steps[0]], steps[1:])


def test_a_small_file_gets_the_defaults_and_absolute_paths(tmp_path: Path) -> None:
    text = SMALL.replace("[forge]", '[runner]\nroot = "state"\n[forge]')

    config = load(written(tmp_path, text), {})

    assert config.root.path == tmp_path / "state"
    assert config.orchestrator.urls == ("http://127.0.0.1:1/fleet",)
    assert config.workspace.keep_days == 7
    assert config.agents[0].commit_leftovers
    assert config.host


def test_tokens_come_from_files_and_variables(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    text = SMALL.replace('token = "t0ken-of-fleet"', 'token_env = "FORGE_TOKEN"').replace(
        "[forge]", 'enrolment_token_file = "secret"\n[forge]'
    )

    config = load(written(tmp_path, text), {"FORGE_TOKEN": "from-a-variable"})

    assert config.forge.token == "from-a-variable"
    assert config.orchestrator.enrolment_token == "from-a-file"
    assert set(Tokens(config).named().values()) == {"from-a-variable", "from-a-file"}


@pytest.mark.parametrize(
    ("mistake", "instead", "said"),
    [
        ('token = "t0ken-of-fleet"', "", "forge.token is missing; set one of token, token_file"),
        ('token = "t0ken-of-fleet"', 'token_file = "gone"', "forge.token_file: cannot read"),
        ("[forge]", '[forge]\nca_file = "gone"', "gone cannot be read: No such file"),
        ('token = "t0ken-of-fleet"', 'token_env = "GONE"', "the variable GONE is not set"),
        ("[forge]", '[forge]\ntoken_env = "X"', "forge.token is given 2 times"),
        ("username", "user", "forge.user is an unknown setting; did you mean username?"),
        ('username = "fleet"', "", "forge.username is missing"),
        ('username = "fleet"', "username = 3", "forge.username must be a line of text"),
        ("http://127.0.0.1:2", "forge.example.org", "forge.url must be an http(s) address"),
        (
            "[agents.command]\nargv =",
            "command =",
            "agents[0].command must be a table [agents.command], not a list",
        ),
        (
            "[[agents]]",
            '[limits]\nmemory_mb = "x"\n[[agents]]',
            "limits.memory_mb must be a whole number",
        ),
        ("[forge]", "[forges]", "forges is an unknown setting; did you mean forge?"),
        ("worker-1", "Worker One", "agents[0].name"),
        ('"command"', '"comand"', "'comand' is unknown; use one of claude-code"),
        ("[agents.command]", "[agents.claude]", "agents[0].claude.argv is an unknown"),
        ('[agents.command]\nargv = ["true"]', "", "give it a table [agents.command]"),
        ('argv = ["true"]', "argv = []", "agents[0].command: argv: name the program to run"),
        ("[agents.command]", "[agents.codex]\n[agents.command]", "remove its table [agents.codex]"),
        (
            "[[agents]]",
            "max_gb = 3\n[[agents]]",
            "forge.max_gb is an unknown setting",
        ),
        ("[[agents]]", "[workspace]\nkeep_days = -1\n[[agents]]", "workspace.keep_days"),
        ("[[agents]]", "[workspace.hooks.before_run]\n[[agents]]", "before_run.run is missing"),
        ("[agents.command]", 'prompt = "gone.j2"\n[agents.command]', "there is no file"),
        ("[orchestrator]", "[orchestrator", "not TOML"),
    ],
)
def test_a_mistake_is_answered_with_its_field_and_the_way_out(
    tmp_path: Path, mistake: str, instead: str, said: str
) -> None:
    assert mistake in SMALL

    refused = refusal(tmp_path, SMALL.replace(mistake, instead, 1))

    assert said in refused
    assert "\n" not in refused
    assert "t0ken-of-fleet" not in refused


def test_two_agents_of_one_name_are_refused(tmp_path: Path) -> None:
    agent = SMALL[SMALL.index("[[agents]]") :]

    assert "two agents are named 'worker-1'" in refusal(tmp_path, SMALL + agent)


def test_a_missing_file_is_to_be_named_or_made_as_a_page_shows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name it with -c, or make one: docs/howto/add-a-runner"):
        load(tmp_path / "gone.toml", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_anothers_is_no_missing_one(tmp_path: Path) -> None:
    path = written(tmp_path, EXAMPLE.read_text())
    path.chmod(0)
    with pytest.raises(ConfigError, match=r"Permission denied; give it .* \(chown -R\)"):
        load(path, {})


def test_what_is_the_runners_alone_is_known_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "forge").write_text("t0ken-of-fleet")
    (tmp_path / "forge-token").symlink_to("secrets/forge")
    text = SMALL.replace('token = "t0ken-of-fleet"', 'token_file = "forge-token"')

    config = load(written(tmp_path, f'{text}\n[runner]\nroot = "state"'), {})

    assert config.private == (
        tmp_path / "config.toml",
        tmp_path / "secrets" / "forge",
        tmp_path / "state",
    )


def test_no_part_of_the_root_is_shown_to_an_agent_by_name(tmp_path: Path) -> None:
    root, other = tmp_path / "state", tmp_path / "state" / "homes" / "other"
    text = f"{SMALL}\n[agents.bubblewrap]\nreadable = ['{other}']\n[runner]\nroot = '{root}'"

    assert "is in runner.root" in refusal(tmp_path, text)


def test_bounds_are_off_unless_they_are_set(tmp_path: Path) -> None:
    assert load(written(tmp_path, SMALL), {}).limits.quota is None

    quota = load(written(tmp_path, f"{SMALL}\n[limits]\nprocesses = 50"), {}).limits.quota

    assert quota is not None
    assert quota.settings() == {"pids.max": "50"}
