# SPDX-License-Identifier: GPL-3.0-or-later
"""Column types that mean the same in Python whichever database holds them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Numeric
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.dialects.sqlite import DATETIME as SQLITE_DATETIME
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
CENT = Decimal("0.01")

# SQLite gives automatic ids only to a column of type INTEGER; PostgreSQL's keys are bigint.
Id = BigInteger().with_variant(Integer(), "sqlite")
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class EpochMillis(TypeDecorator[datetime]):
    """A moment: milliseconds since 1970 in SQLite, timestamptz in PostgreSQL, aware UTC in Python."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        millis = (value - EPOCH) // MILLISECOND
        return EPOCH + millis * MILLISECOND if dialect.name == "postgresql" else millis

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, int):
            return EPOCH + value * MILLISECOND
        moment: datetime = value
        return moment.astimezone(timezone.utc)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: `YYYY-MM-DD HH:MM:SS.ffffff` text in SQLite, timestamp in PostgreSQL; both are UTC."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=timezone.utc)


class UtcSeconds(UtcDateTime):
    """The same to the second, in the form that SQLite's CURRENT_TIMESTAMP writes."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(SQLITE_DATETIME(truncate_microseconds=True))  # type: ignore[no-untyped-call]  # SQLAlchemy's
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        utc = super().process_bind_param(value, dialect)
        return None if utc is None else utc.replace(microsecond=0)


class Money(TypeDecorator[Decimal]):
    """DECIMAL(12,2): SQLite keeps a REAL, or an INTEGER for whole amounts; PostgreSQL keeps numeric(12,2)."""

    impl = Numeric
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(12, 2)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # On SQLite the number goes in and out as it is: SQLAlchemy's Numeric would warn at each value.
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Numeric(12, 2, asdecimal=False))
        return dialect.type_descriptor(Numeric(12, 2))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        exact = value.quantize(CENT)
        return float(exact) if dialect.name == "sqlite" else exact

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        # The shortest text of a double gives back the cents that went in.
        return None if value is None else Decimal(str(value)).quantize(CENT)
