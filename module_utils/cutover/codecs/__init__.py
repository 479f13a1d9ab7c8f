# SPDX-License-Identifier: GPL-3.0-or-later
"""The codecs by name. Adding a type is adding an entry here."""

from __future__ import annotations

from .base import Codec, base_type
from .documents import Json, Jsonb
from .instants import DateDays, EpochReal, Julian
from .narrow import Char, Enum, Float4
from .network import Inet
from .numbers import SPELLINGS, Boolean, DecimalNumber, Integer, Real
from .other_forms import UtcTimestamp, UuidBytes, UuidHex
from .ruled import Ruled
from .spans import IntervalMicroseconds, IntervalSinceEpoch
from .temporal import (
    Date,
    EpochMicroseconds,
    EpochMilliseconds,
    EpochSeconds,
    IsoTimestamp,
    IsoTimestampTz,
    MixedTimestamp,
    Time,
)
from .texts import Blob, Text, Uuid

_ALL: tuple[Codec, ...] = (
    Integer(),
    Real(),
    DecimalNumber(),
    Boolean(),
    *SPELLINGS,
    Text(),
    Blob(),
    Uuid(),
    EpochSeconds(),
    EpochMilliseconds(),
    EpochMicroseconds(),
    IsoTimestamp(),
    IsoTimestampTz(),
    MixedTimestamp(),
    Date(),
    Time(),
    EpochReal(),
    Julian(),
    DateDays(),
    IntervalMicroseconds(),
    IntervalSinceEpoch(),
    Jsonb(),
    Json(),
    Enum(),
    Float4(),
    Char(),
    UuidHex(),
    UuidBytes(),
    Inet(),
    UtcTimestamp(),
)

CODECS: dict[str, Ruled] = {codec.name: Ruled(codec) for codec in _ALL}

__all__ = ["CODECS", "Codec", "base_type"]
