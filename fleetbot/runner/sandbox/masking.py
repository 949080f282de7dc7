"""Secrets out of everything that leaves the runner."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_MASK = "[masked]"
_SECRET_NAME = re.compile(r"(?<!CONFIG_)KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 6
_KNOWN = re.compile(
    r"""\bsk-[A-Za-z0-9_-]{12,}            # Anthropic, OpenAI
    | \bgh[pousr]_[A-Za-z0-9]{20,}         # GitHub
    | \bgithub_pat_[A-Za-z0-9_]{20,}
    | \bglpat-[A-Za-z0-9_-]{16,}           # GitLab
    | \bxox[abprs]-[A-Za-z0-9-]{10,}       # Slack
    | \bAKIA[0-9A-Z]{16}\b                 # AWS
    | \bsyt_[A-Za-z0-9_]{16,}              # Matrix
    | \beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+  # JWT
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)      # credentials in a URL
    | (?<=[Bb]earer[ ])[A-Za-z0-9._~+/=-]{12,}
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE,
)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable is a secret by its name. A number is a setting (…_MAX_TOKENS)."""
    named = _SECRET_NAME.search(name) is not None
    return named and not value.isdigit() and len(value.strip()) >= _SHORTEST


class Masker:
    """Replaces known forms of secrets, and the exact values of a run's secret variables."""

    def __init__(self, env: Mapping[str, str], also: Iterable[str] = ()) -> None:
        values = {value for name, value in env.items() if is_secret(name, value)} | set(also)
        self._values = sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True)

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, _MASK)
        return _KNOWN.sub(_MASK, text)

    def tree(self, value: Any) -> Any:
        """The same JSON value with every string in it masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(k)): self.tree(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(v) for v in value]
        return value
