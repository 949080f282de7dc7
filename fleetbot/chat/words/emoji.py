"""Emoji as clients send them: with or without a variant, in any skin tone."""

from __future__ import annotations

_VARIANTS = frozenset("\ufe0e\ufe0f")
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))


def bare(emoji: str) -> str:
    """The emoji without what clients add to it, so that two of a kind are equal."""
    kept = (c for c in emoji.strip() if c not in _VARIANTS and c not in _SKIN_TONES)
    return "".join(kept)


YES, NO, EYES = "✅", "❌", "👀"
NUMBERS = tuple(f"{number}\ufe0f\u20e3" for number in range(1, 10))
_ALIKE = {
    "✅": "✔☑👍🆗👌",
    "❌": "👎❎🚫⛔✗✘🙅",
    "✖": "✕",
    "🔁": "🔂🔄🔃♻",
    EYES: "👁",
    "🔕": "🔇",
}
_MEANT = {other: emoji for emoji, others in _ALIKE.items() for other in others}


def meant(emoji: str) -> str:
    """The one of those that we put below messages that people mean by it: 👍 is a ✅. Others are
    what they are."""
    plain = bare(emoji)
    return _MEANT.get(plain, plain)


def number(emoji: str) -> int | None:
    """1 for 1️⃣."""
    plain = bare(emoji)
    return int(plain[0]) if plain in map(bare, NUMBERS) else None
