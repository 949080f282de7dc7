"""Emoji as clients send them: with or without a variant, in any skin tone."""

from __future__ import annotations

_VARIANTS = frozenset("\ufe0e\ufe0f")
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))


def bare(emoji: str) -> str:
    """The emoji without what clients add to it, so that two of a kind are equal."""
    kept = (c for c in emoji.strip() if c not in _VARIANTS and c not in _SKIN_TONES)
    return "".join(kept)
