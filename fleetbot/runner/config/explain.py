"""What is wrong with a file that does not fit its tables, in words for who wrote the file."""

from __future__ import annotations

import difflib
import re

import msgspec

from fleetbot.misfits import Misfit, known_at
from fleetbot.runner.config.tables import ConfigFile


def explained(error: msgspec.ValidationError) -> str:
    """The field first, then the way out."""
    its = Misfit.of(error)
    if missing := its.missing:
        return f"{missing} is missing"
    if its.unknown is not None:
        return _unknown_key(its, its.unknown)
    if its.is_a_rule:
        return f"{its.where}: {its.said}"
    header = re.sub(r"\[[^]]*\]", "", its.where)
    return f"{its.where} must be {its.wanted(ConfigFile, f'a table [{header}]')}"


def _unknown_key(its: Misfit, key: str) -> str:
    known = known_at(ConfigFile, its.where)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    return f"{its.below(key)}: there is no such setting; {hint}"
