"""The search for secrets at the end of every world finds them, however they are written."""

from __future__ import annotations

import base64
import json
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.flow.leaks import Needles, command_lines, found_in, open_to_others, texts_below

SECRET = "s3cret/+of=the\"world's-own"
NEEDLES = Needles({"it": SECRET})

WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "among others": lambda secret: f"x{secret}x",
    "in an address": lambda secret: f"https://bot:{quote(secret, safe='')}@forge.example/",
    "in JSON": lambda secret: json.dumps({"token": secret}),
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64, after one": lambda secret: base64.b64encode(f"a:{secret}".encode()).decode(),
    "in base64, after two": lambda secret: base64.b64encode(f"b{secret}b".encode()).decode(),
    "in base64 for addresses": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "over lines": lambda secret: textwrap.fill(secret, 9),
    "in base64, over lines": lambda s: textwrap.fill(base64.b64encode(s.encode()).decode(), 20),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_a_secret_is_found(tmp_path: Path, written: Callable[[str], str]) -> None:
    (tmp_path / "maubot").mkdir()
    (tmp_path / "maubot" / "maubot.log").write_text(f"Hello.\n{written(SECRET)}\nHello.")

    assert found_in(NEEDLES, texts_below(tmp_path)) == ["it in maubot/maubot.log"]


def test_it_is_found_in_the_name_of_a_file(tmp_path: Path) -> None:
    name = SECRET.replace("/", "")
    (tmp_path / name).touch()
    assert found_in(Needles({"it": name}), texts_below(tmp_path)) == [f"it in {name}"]


@pytest.mark.parametrize("packed", [False, True])
def test_it_is_found_in_what_git_has_kept(tmp_path: Path, packed: bool) -> None:
    def git(*words: str) -> None:
        who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a", "GIT_CONFIG_GLOBAL": "/dev/null"}
        who |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a"}
        subprocess.run(["git", *words], cwd=tmp_path, env=who, check=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", f"Use {SECRET}")
    git("commit", "-q", "--allow-empty", "--amend", "-m", "Use it")
    if packed:
        git("gc", "-q", "--prune=never", "--cruft")

    found = found_in(NEEDLES, texts_below(tmp_path))

    assert any(place.startswith("it in .git/objects") for place in found), found


def test_a_token_that_fleetbot_made_is_found_whoever_it_is_of(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("fbe_" + "x" * 43)
    assert found_in(NEEDLES, texts_below(tmp_path)) == ["a token that fleetbot made in spool"]


def test_what_must_have_it_is_left_out(tmp_path: Path) -> None:
    for name in ("maubot/config.yaml", "runner/one/config.toml", "runner/one/state/tokens/a"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SECRET)
    (tmp_path / "runner/one/config.toml.bak").write_text(SECRET)

    assert found_in(NEEDLES, texts_below(tmp_path)) == ["it in runner/one/config.toml.bak"]


def test_what_others_may_look_into_is_told(tmp_path: Path) -> None:
    token = tmp_path / "runner/one/state/tokens/smith"
    token.parent.mkdir(parents=True)
    token.touch(0o600)
    token.parents[1].chmod(0o700)
    assert open_to_others(tmp_path) == []

    token.chmod(0o640)
    assert open_to_others(tmp_path) == ["runner/one/state/tokens/smith"]


def test_a_command_line_is_looked_at() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(["cat", "-u", "--", "-"], stdin=pipe, stdout=pipe) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdin.write(b"Are you there?\n")
        started.stdin.flush()
        started.stdout.readline()
        seen = dict(command_lines())[f"/proc/{started.pid}/cmdline"]
    assert seen == b"cat -u -- - "
