"""The stages of setup, in their order."""

from __future__ import annotations

from fleetbot.installing.account import Account, Client, Limits
from fleetbot.installing.checking import Wellbeing
from fleetbot.installing.plugin import Address, Instance, Plugin
from fleetbot.installing.reach import Reach
from fleetbot.installing.repository import steps_of
from fleetbot.installing.room import Room
from fleetbot.installing.runner_files import RunnerFiles
from fleetbot.installing.site import Site
from fleetbot.installing.stage import Stage
from fleetbot.installing.tokens import forge_accounts


def stages_of(site: Site) -> list[Stage]:
    """Each stands on those before it; taken back is from the end. Repositories that were named
    before are among them."""
    runner = RunnerFiles(site) if site.answers.folder else None
    repos = dict.fromkeys([*site.answers.repos, *site.kept.state.repos])
    return [
        Reach(site),
        Account(site),
        Limits(site),
        Client(site),
        Plugin(site),
        *forge_accounts(site, runner.token if runner else None),
        Room(site),
        Instance(site),
        Address(site),
        *(step for repo in repos for step in steps_of(site, repo)),
        *([runner] if runner else []),
        Wellbeing(site),
    ]
