"""What all values of the domain are."""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of the domain's values; unset fields are left out of their JSON.

    Values hold no cycles, so the garbage collector need not walk a hundred thousand of them.
    """
