# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables as SQLAlchemy projects write them."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    func,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every constraint has a name, as Alembic advises."""

    metadata = MetaData(naming_convention=NAMES)


class State(enum.Enum):
    """Stored by its names; a type of its own in PostgreSQL."""

    OPEN = "open"
    IN_WORK = "in work"
    DONE = "done"


class Person(Base):
    """Refers to itself."""

    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    email: Mapped[str | None] = mapped_column(String(120), unique=True)
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    boss: Mapped[Person | None] = relationship(remote_side=[id])
    tickets: Mapped[list[Ticket]] = relationship(back_populates="person", cascade="all, delete-orphan")


class Site(Base):
    """A key of two columns."""

    __tablename__ = "site"

    country: Mapped[str] = mapped_column(String(2), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    address: Mapped[str] = mapped_column(Text)


class Ticket(Base):
    """Most kinds of values."""

    __tablename__ = "ticket"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[uuid.UUID] = mapped_column(Uuid, unique=True, default=uuid.uuid4)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    country: Mapped[str | None] = mapped_column(String(2))
    site_number: Mapped[int | None]
    state: Mapped[State] = mapped_column(Enum(State, name="ticket_state"), default=State.OPEN)
    colour: Mapped[str | None] = mapped_column(Enum("red", "green é", name="colour", native_enum=False, length=20))
    hours: Mapped[dt.timedelta | None] = mapped_column(Interval)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 4))
    free: Mapped[Decimal | None] = mapped_column(Numeric)
    ratio: Mapped[float | None]
    big: Mapped[int] = mapped_column(BigInteger, default=0)
    small: Mapped[int] = mapped_column(SmallInteger, default=0)
    urgent: Mapped[bool] = mapped_column(Boolean, server_default=true())
    at: Mapped[dt.datetime | None] = mapped_column(DateTime)
    due: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    day: Mapped[dt.date | None]
    clock: Mapped[dt.time | None] = mapped_column(Time)
    data: Mapped[Any | None] = mapped_column(JSON)
    photo: Mapped[bytes | None] = mapped_column(LargeBinary)
    created: Mapped[dt.datetime] = mapped_column(DateTime, server_default=func.now())
    order: Mapped[str] = mapped_column(Text, server_default="it's")
    person: Mapped[Person] = relationship(back_populates="tickets")
    site: Mapped[Site | None] = relationship()

    __table_args__ = (
        ForeignKeyConstraint(["country", "site_number"], ["site.country", "site.number"], onupdate="CASCADE"),
        CheckConstraint("price >= 0", name="not_negative"),
        UniqueConstraint("person_id", "order", name="uq_ticket_person_order"),
        Index("ix_ticket_urgent", "at", postgresql_where=text("urgent"), sqlite_where=text("urgent")),
    )


class Step(Base):
    """What PostgreSQL shall count by GENERATED ALWAYS."""

    __tablename__ = "step"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), index=True)
    text: Mapped[str]
