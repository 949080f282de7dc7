"""`python -m fleetbot` is the `fleetbot` command."""

from __future__ import annotations

from fleetbot.cli import main

main()
