# SPDX-License-Identifier: GPL-3.0-or-later
"""What the workshop does with its data, always through SQLAlchemy's own objects."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, delete, func, inspect, select, text, update
from sqlalchemy.exc import DataError, IntegrityError, StatementError
from sqlalchemy.orm import Session

from shop.models import Base, Person, Site, State, Step, Ticket

UTC = dt.timezone.utc
START = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)  # noqa: DTZ001 - a column without a zone
TEXTS = ["plain", "", "Ünïcödé ✓ 漢字 🦊", "tab\tnew\nline\\backslash \\N \\.", "'quotes' \"double\"", "e\u0301 ≠ é"]
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def fill(engine: Engine) -> str:
    """Write hundreds of rows, the same each time."""
    chance = random.Random(11)
    with Session(engine) as session, session.begin():
        people = [Person(name=f"{TEXTS[n % 6]} {n}", email=f"p{n}@example.org" if n % 4 else None) for n in range(60)]
        for n, person in enumerate(people[1:]):
            person.boss = people[n // 3] if n % 5 else None
        sites = [Site(country="FI" if n % 2 else "SE", number=n + 1, address=TEXTS[n % 6]) for n in range(20)]
        session.add_all([*people, *sites])
        session.flush()
        for n in range(400):
            session.add(_ticket(n, people[n % 55], sites[n % 20] if n % 3 else None, chance))
        session.flush()
        tickets = session.scalars(select(Ticket).order_by(Ticket.id)).all()
        session.add_all(Step(ticket_id=t.id, text=f"step {n}") for t in tickets[:150] for n in range(t.id % 4))
        session.flush()
        session.execute(delete(Step).where(Step.ticket_id > 140))
        session.delete(people[-1])
    return "filled"


def _ticket(n: int, person: Person, site: Site | None, chance: random.Random) -> Ticket:
    hours = [None, dt.timedelta(0), dt.timedelta(microseconds=1), -dt.timedelta(days=3, seconds=7, microseconds=9)]
    return Ticket(
        reference=uuid.uuid5(NAMESPACE, str(n)),
        person=person,
        site=site,
        state=list(State)[n % 3],
        colour=[None, "red", "green é"][n % 3],
        hours=[*hours, dt.timedelta(days=n, microseconds=chance.randrange(10**9))][n % 5],
        price=Decimal(chance.randrange(10**9)) / 10**4,
        free=[None, Decimal("0.1"), Decimal(n) / 8, Decimal(n)][n % 4],
        ratio=[None, 0.1, 1e308, -0.0, 5e-324, 1 / 3][n % 6],
        big=[-(2**63), 2**63 - 1, 0, n][n % 4],
        small=[-32768, 32767, 0][n % 3],
        urgent=bool(n % 2),
        at=[None, dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), START][n % 4],  # noqa: DTZ001
        due=None if n % 3 == 0 else START.replace(tzinfo=UTC) + dt.timedelta(hours=n, microseconds=n),
        day=[None, dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29)][n % 4],
        clock=[None, dt.time(0), dt.time(23, 59, 59, 999999), dt.time(8, 30)][n % 4],
        data=[None, "a text", 17, 1.25, [], {"é": "\U0001f98a", "n": n, "deep": [{"a": None, "b": [True]}]}][n % 6],
        photo=[None, b"", bytes(range(256)), chance.randbytes(40)][n % 4],
        created=START + dt.timedelta(days=n),
        order=f"{n // 55} {TEXTS[n % 6]}",
    )


def dump(engine: Engine) -> dict[str, list[str]]:
    """Every object of every model, as SQLAlchemy reads it."""
    found: dict[str, list[str]] = {}
    with Session(engine) as session:
        for mapper in sorted(Base.registry.mappers, key=lambda mapper: mapper.class_.__name__):
            names = [attribute.key for attribute in mapper.column_attrs]
            rows = session.scalars(select(mapper.class_)).all()
            # Not ORDER BY: a column of text sorts by the database's collation.
            rows = sorted(rows, key=lambda row: inspect(row).identity)
            found[mapper.class_.__name__] = [
                ", ".join(f"{name}={_shown(getattr(row, name))}" for name in names) for row in rows
            ]
    return found


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, Decimal):
        # On SQLite, SQLAlchemy gives a Numeric without a scale ten decimals.
        return f"{value.normalize():f}"
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        # On SQLite, DateTime(timezone=True) reads without its zone.
        value = value.astimezone(UTC).replace(tzinfo=None)
    return repr(value)


def _refused(engine: Engine, what: Callable[[Session], object]) -> str:
    with Session(engine) as session:
        try:
            what(session)
            session.commit()
        except (IntegrityError, DataError, StatementError) as error:
            return "refused" if isinstance(error, (IntegrityError, DataError)) else type(error).__name__
    return "accepted"


def _person(session: Session, number: int) -> Person:
    return session.scalars(select(Person).where(Person.email == f"p{number}@example.org")).one()


def work(engine: Engine) -> list[Any]:
    """A day's work: read, write, violate; the same answers on both databases."""
    said: list[Any] = []
    with Session(engine) as session, session.begin():
        last = {model: session.scalar(select(func.max(model.id))) for model in (Person, Ticket, Step)}
        person = Person(name="New 🦊")
        ticket = Ticket(
            person=person, price=Decimal("1.1"), hours=dt.timedelta(days=-1, microseconds=5), data={"a": [1]}
        )
        ticket.state = State.IN_WORK
        ticket.due = START.replace(tzinfo=UTC)
        session.add(ticket)
        session.flush()
        step = Step(ticket_id=ticket.id, text="é")
        session.add(step)
        session.flush()
        new = {Person: person, Ticket: ticket, Step: step}
        said.append(["keys continue", [model.__name__ for model, row in new.items() if row.id <= last[model]]])
        session.refresh(ticket)
        said.append(["defaults", ticket.urgent, ticket.order, ticket.big, ticket.small, ticket.colour])
        now = dt.datetime.now(UTC).replace(tzinfo=None)
        said.append(["default of the database", abs(ticket.created - now) < dt.timedelta(minutes=5)])
        said.append(
            ["read back", repr(ticket.hours), ticket.data, ticket.state.name, _shown(ticket.due), str(ticket.price)]
        )
        bulk = session.scalars(
            Step.__table__.insert().returning(Step.id), [{"ticket_id": ticket.id, "text": str(n)} for n in range(9)]
        ).all()
        said.append(["bulk", len(set(bulk)), min(bulk) > step.id])

    with Session(engine) as session, session.begin():
        # Queries that need the right types.
        count = select(func.count()).select_from(Ticket)
        said.append(["by state", session.scalar(count.where(Ticket.state == State.DONE))])
        said.append(["by UUID", session.scalar(count.where(Ticket.reference == uuid.uuid5(NAMESPACE, "7")))])
        said.append(["by time", session.scalar(count.where(Ticket.created > START + dt.timedelta(days=100)))])
        said.append(
            [
                "by zoned time",
                session.scalar(count.where(Ticket.due > (START + dt.timedelta(hours=9)).replace(tzinfo=UTC))),
            ]
        )
        said.append(["by day", session.scalar(count.where(Ticket.day == dt.date(2024, 2, 29)))])
        said.append(["by clock", session.scalar(count.where(Ticket.clock < dt.time(8, 31)))])
        said.append(["by duration", session.scalar(count.where(Ticket.hours > dt.timedelta(days=100)))])
        said.append(["by flag", session.scalar(count.where(Ticket.urgent))])
        said.append(["in JSON", session.scalar(count.where(Ticket.data["n"].as_integer() > 300))])
        said.append(["bytes", session.scalar(count.where(Ticket.photo == bytes(range(256))))])
        said.append(["tree", len(_person(session, 1).tickets), _person(session, 3).boss.name])
        said.append(["site", session.get(Ticket, 2).site.address])

        # Updates and deletes, with what hangs on them.
        result = session.execute(update(Ticket).where(Ticket.urgent).values(price=Ticket.price + 1, hours=None))
        said.append(["update", result.rowcount])
        session.get(Ticket, 5).state = State.DONE
        session.get(Ticket, 5).data = {"new": True}
        session.delete(_person(session, 5))
        session.flush()
        said.append(["cascade", session.scalar(select(func.count()).select_from(Step)), session.scalar(count)])
        session.execute(delete(Person).where(Person.email == "p2@example.org"))
        said.append(["set null", session.scalar(select(func.count()).where(Person.boss_id.is_(None)))])
        session.execute(update(Site).where(Site.number == 3).values(number=99))
        said.append(["cascading key", session.scalar(count.where(Ticket.site_number == 99))])
        said.append(["locked", session.scalars(select(Ticket).where(Ticket.id == 9).with_for_update()).one().id])

    # What must be refused still is.
    with Session(engine) as session:
        anybody = session.scalar(select(func.min(Person.id)))
    base = {"person_id": anybody, "price": 1, "state": State.OPEN, "big": 0, "small": 0}
    uuid7 = uuid.uuid5(NAMESPACE, "7")
    raw = "INSERT INTO person (name, email) VALUES ('x', 'p1@example.org')"
    said.append(["unique", _refused(engine, lambda s: s.execute(text(raw)))])
    said.append(["unique UUID", _refused(engine, lambda s: s.add(Ticket(**base, reference=uuid7)))])
    said.append(
        ["unique pair", _refused(engine, lambda s: s.add_all([Ticket(**base, order="x"), Ticket(**base, order="x")]))]
    )
    said.append(["check", _refused(engine, lambda s: s.add(Ticket(**{**base, "price": -1})))])
    said.append(["not null", _refused(engine, lambda s: s.execute(update(Person).values(name=None)))])
    said.append(["foreign key", _refused(engine, lambda s: s.add(Ticket(**{**base, "person_id": 99999})))])
    said.append(["foreign pair", _refused(engine, lambda s: s.add(Ticket(**base, country="XX", site_number=1)))])
    said.append(["pair in use", _refused(engine, lambda s: s.execute(delete(Site)))])
    return said
