"""`python -m fleetbot`: the same as the `fleetbot` command."""

from fleetbot.cli import main

main()
