"""Pauses that people make: nothing new is given out, of a repository or at all; runs go on.

They are no others' business: neither a day's budget nor what Forgejo shows makes or ends them.
"""

from __future__ import annotations

from fleetbot.domain import commands as cmd
from fleetbot.domain import events as ev
from fleetbot.domain.draft import Draft, Drafts
from fleetbot.domain.lookup import the_repo
from fleetbot.domain.state import FLEET_STREAM, FleetState, repo_stream


def pause_fleet(state: FleetState) -> Drafts:
    return () if state.frozen else (Draft(FLEET_STREAM, ev.FleetFrozen()),)


def resume_fleet(state: FleetState) -> Drafts:
    return (Draft(FLEET_STREAM, ev.FleetThawed()),) if state.frozen else ()


def pause_repo(state: FleetState, command: cmd.PauseRepo) -> Drafts:
    repo = the_repo(state, command.repo)
    return () if repo.frozen else (Draft(repo_stream(repo.id), ev.RepoFrozen()),)


def resume_repo(state: FleetState, command: cmd.ResumeRepo) -> Drafts:
    repo = the_repo(state, command.repo)
    return (Draft(repo_stream(repo.id), ev.RepoThawed()),) if repo.frozen else ()
