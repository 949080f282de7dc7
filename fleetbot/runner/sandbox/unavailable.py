"""The error of a protection that was asked for and cannot be had."""

from __future__ import annotations


class SandboxUnavailable(RuntimeError):
    """A sandbox or a bound was asked for and cannot be had; the text says why and what to do."""
