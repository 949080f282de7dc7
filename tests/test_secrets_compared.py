"""What is secret is compared in a time that does not tell how much of it was right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import fleetbot

SOURCES = Path(fleetbot.__file__).parent
SECRET = re.compile(r"token|secret|signature|password|credential|digest|claim\.code|hmac", re.I)
CONSTANT_TIME = {
    "forge/payloads.py": "the webhook's signature",
    "services/access.py": "tokens",
    "services/passes.py": "links to the board, and sessions",
    "services/proofs.py": "codes that prove who somebody is",
}
HARMLESS = {
    # Setup runs where the person is whose tokens these are, and compares them for nobody else.
    "installing/tokens.py: token == self._site.given.get(self._secret)": "where it came from",
    "installing/tokens.py: one.token_last_eight == token[-8:]": "which of our tokens it is",
    "installing/runner_files.py: digest(path.read_text('utf-8')) == its": "whether it was edited",
    "installing/plugin.py: digest(_at(config, name)) == its": "whether it was edited",
    "installing/plugin.py: _at(config, 'forge.token') != token": "whether there is a newer one",
    "domain/followup.py: watch.failing == signature(checks)": "which checks are red",
    "runner/git/task_repository.py: hashlib.file_digest(file, 'sha256').hexdigest()"
    " == target.name": "a file's content, by its public name",
    "services/setup/facts.py: t.token_last_eight == self._token_end": "which of our tokens it is",
}


def sources() -> Iterator[tuple[str, str]]:
    """The product's modules; testing.py is for authors of adapters."""
    for path in sorted(SOURCES.rglob("*.py")):
        name = str(path.relative_to(SOURCES))
        if name != "testing.py":
            yield name, path.read_text()


def equalities(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            yield ast.unparse(node)


def test_no_secret_is_compared_by_its_letters() -> None:
    found = {
        f"{name}: {equality}"
        for name, source in sources()
        if any(SECRET.search(line) for line in source.splitlines() if "==" in line or "!=" in line)
        for equality in equalities(source)
        if SECRET.search(equality)
    }

    assert found == set(HARMLESS), "use hmac.compare_digest; if it is no secret, say what it is"


def test_where_secrets_are_compared() -> None:
    found = {name for name, source in sources() if "compare_digest" in source}

    assert found == set(CONSTANT_TIME)
