"""What strangers, programs and other versions may send: texts and JSON that break readers.

`spoiled` takes a good message and gives it one or several such values, or takes something away.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

BITS = [
    "\0",
    "\x1b[2J",
    "\r\n",
    "\u2028",
    "\u202e",  # from here on right to left
    "\u2066",
    "\u200b",  # of no width
    "\u200d",
    "\ufeff",
    "\ufffd",
    "\u0130",  # longer in lower case
    "\u017f",  # an s, to who does not look at the case
    "\u0663",  # a digit
    "\u2160",
    "e\u0301" * 30,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0010ffff",
    "@room",
    "<b>",
    "](http://evil.example)",
    "`" * 7,
    "${x}{{x}}%s%n",
    "../../../etc/passwd",
    "--upload-pack=x",
    "'; DROP TABLE events; --",
    "a" * 3000,
]
HALVES = ["\ud800", "\udfff", "\udcff\ud800"]
"""Half characters: what JSON may say and UTF-8 cannot."""
NUMBERS: list[Any] = [0, -1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**400, 1e308, -0.0]
DEEP = "[" * 3000 + "]" * 3000

texts = st.lists(st.sampled_from(BITS) | st.text(max_size=20), max_size=6).map("".join)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    texts,
    st.sampled_from(HALVES),
    st.sampled_from([[], {}, [[]], {"": {}}, [None], {"type": "x"}, [{}], {"id": None}]),
).map(deepcopy)  # one may come into the other


@st.composite
def spoiled(draw: st.DrawFn, good: Any) -> bytes:
    """JSON, mostly: the good message with up to three of its parts replaced, left out or added."""
    message = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        _spoil(draw, message)
    said = json.dumps(message, ensure_ascii=draw(st.booleans()))
    damage = draw(st.integers(0, 11))
    if damage == 0:
        said = said[: draw(st.integers(0, len(said)))]
    if damage == 1:
        said = said.replace("null", DEEP, 1)
    return said.encode("utf-8", "surrogatepass")


def _spoil(draw: st.DrawFn, message: Any) -> None:
    inner, key = draw(st.sampled_from(_places(message) or [(message, "new")]))
    match draw(st.integers(0, 3)):
        case 0 if isinstance(inner, dict):
            inner.pop(key, None)
        case 1 if isinstance(inner, dict):
            inner[draw(texts)] = draw(values)
        case _:
            inner[key] = draw(values)


def _places(message: Any) -> list[tuple[Any, Any]]:
    """Everything inside that can be replaced, as a container and a key."""
    found: list[tuple[Any, Any]] = []
    keys = message.items() if isinstance(message, dict) else enumerate(message)
    for key, value in keys:
        found.append((message, key))
        if isinstance(value, dict | list):
            found += _places(value)
    return found
