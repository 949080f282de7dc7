"""What a mutant breaks is there: one that fits nothing any more would prove nothing."""

from __future__ import annotations

import pytest

from fleetbot_devkit.build import PROJECT
from tests.torture.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_patch_fits_the_source_once(mutant: Mutant) -> None:
    for patch in (*mutant.without, *mutant.patches):
        assert (PROJECT / patch.file).read_text("utf-8").count(patch.old) == 1, patch.file
        assert patch.new != patch.old
