"""Named incidents."""

from torture.story import Story

INCIDENTS: dict[str, Story] = {}
