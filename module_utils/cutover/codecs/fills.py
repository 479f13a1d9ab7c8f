# SPDX-License-Identifier: GPL-3.0-or-later
"""Which codecs can fill a type that the target has already, and under which rules."""

from __future__ import annotations

from . import CODECS
from .base import Rules, base_type
from .ruled import LOSING

#: Types that a codec fills where an application's schema has them, besides those that a derived plan may choose.
_MORE: dict[str, tuple[str, ...]] = {
    "text": ("citext",),
    # Instants in a column without a zone: the time is the one in UTC, as for integers.
    "iso_timestamptz": ("timestamp",),
    "mixed_timestamp": ("timestamp",),
}


def fills(codec: str, type_name: str) -> bool:
    """Whether a codec can fill a type."""
    base = base_type(type_name)
    return base in CODECS[codec].types or base in _MORE.get(codec, ())


def fillers(type_name: str) -> list[tuple[str, str, Rules]]:
    """Every way to fill a type without an enum's labels: (codec, type, rules), those without a rule first.

    Rules that lose something are for the operator to think of, not for a proposal.
    """
    able = [
        codec for codec in CODECS.values() if codec.name not in ("enum", "uuid_key") and fills(codec.name, type_name)
    ]
    exact: list[tuple[str, str, Rules]] = [(c.name, type_name, ()) for c in able if c.name != "mixed_timestamp"]
    return exact + [(c.name, type_name, (rule,)) for c in able for rule in c.rules if rule not in LOSING]
