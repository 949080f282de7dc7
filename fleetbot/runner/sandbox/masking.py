"""Secrets out of everything that leaves the runner.

What is known is found in the forms it usually takes: as it is, line by line, in a URL, in JSON, in
base64 at any place (`user:token` too). What is not known is found by the forms that tokens have.
This keeps accidents out of rooms and logs. A program that wants to tell a secret can always spell
it in another way: give it none that it must not tell.

Time is linear in the text, whatever the text: no alternative of the pattern can be begun inside of
what it has already passed, and none steps back over it (of groups only a few bounded ones:
Python before 3.11.5 matches possessive groups wrongly).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from fleetbot.runner.sandbox.lines import readable

_MASK = "[masked]"
_SECRET_NAME = re.compile(r"(?<!CONFIG_)KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 6
_SHORTEST_LINE = 16  # of a secret of several lines
_SHORTEST_IN_BASE64 = 10
_KNOWN = re.compile(
    r"""\bsk-[A-Za-z0-9_-]{12,}+            # Anthropic, OpenAI
    | \bgh[pousr]_[A-Za-z0-9]{20,}+         # GitHub
    | \bgithub_pat_[A-Za-z0-9_]{20,}+
    | \bglpat-[A-Za-z0-9_-]{16,}+           # GitLab
    | \bxox[abprs]-[A-Za-z0-9-]{10,}+       # Slack
    | \bAKIA[0-9A-Z]{16}\b                  # AWS
    | \bsyt_[A-Za-z0-9_]{16,}+              # Matrix
    | (?<![\w-])eyJ[\w-]{10,}+\.[\w-]{10,}+\.[\w-]++  # JWT
    | (?<=://)[^/\s:@]++:[^/\s@]++(?=@)     # credentials in a URL
    | (?<=[Bb]earer[ ])[A-Za-z0-9._~+/=-]{12,}+
    | -----BEGIN[ ](?:[A-Z0-9]{1,20}[ ]){0,3}PRIVATE[ ]KEY[\s\S]*?(?:-----END[ ][^-]*+-----|\Z)
    """,
    re.VERBOSE,
)
_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY")
_KEY_LINE = re.compile(r"\s*+(?:[A-Za-z0-9+/=]{16,}+|[\w-]++: .*+|-----END .*+)?\s*+")


def is_secret(name: str, value: str) -> bool:
    """Whether a variable is a secret by its name. A number is a setting (…_MAX_TOKENS)."""
    named = _SECRET_NAME.search(name) is not None
    return named and not value.isdigit() and len(value.strip()) >= _SHORTEST


class Masker:
    """Makes texts of one run fit to leave: readable, and without secrets.

    It knows the exact values of the secret variables in `env` and what `also` gives; asked anew for
    each text where that is a function, as tokens may be renewed. A value once known stays known.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        also: Iterable[str] | Callable[[], Iterable[str]] = (),
    ) -> None:
        fixed = () if callable(also) else tuple(also)
        self._more: Callable[[], Iterable[str]] = also if callable(also) else lambda: fixed
        self._secrets = {value for name, value in env.items() if is_secret(name, value)}
        self._forms: tuple[str, ...] = ()
        self._learnt: frozenset[str] | None = None
        self._in_key = False

    def text(self, text: str) -> str:
        """The text, readable and masked. Lines of a key that come one by one are masked as well."""
        text = readable(text)
        for form in self._known_forms():
            text = text.replace(form, _MASK)
        if self._in_key and _KEY_LINE.fullmatch(text):
            self._in_key = "-----END" not in text
            return _MASK
        self._in_key = _KEY.search(text, max(0, text.rfind("-----END "))) is not None
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

    def _known_forms(self) -> tuple[str, ...]:
        """Longest first: one may be a part of another."""
        now = frozenset(self._more())
        if now != self._learnt:
            self._learnt = now
            self._secrets |= now
            forms = {form for secret in self._secrets for form in _forms(secret)}
            self._forms = tuple(sorted(forms, key=len, reverse=True))
        return self._forms


def _forms(secret: str) -> Iterator[str]:
    secret = secret.strip()
    if len(secret) < _SHORTEST:
        return
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line for line in map(str.strip, lines) if len(line) >= _SHORTEST_LINE)
    if len(secret) >= _SHORTEST_IN_BASE64:
        yield from _in_base64(secret.encode("utf-8", "surrogateescape"))


def _in_base64(secret: bytes) -> Iterator[str]:
    """What base64 of any text with the secret in it contains, for each place modulo three."""
    for before in range(3):
        spare = -(before + len(secret)) % 3
        text = base64.b64encode(bytes(before) + secret + bytes(spare)).decode()
        # The characters at both ends also depend on what stands beside the secret.
        own = text[-(-before * 8 // 6) : len(text) - -(-spare * 8 // 6)]
        yield from {own, own.replace("+", "-").replace("/", "_")}
