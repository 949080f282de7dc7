"""Properties are tried with the same examples everywhere, so that a red run is red again."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("domain", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("domain")
