# SPDX-License-Identifier: GPL-3.0-or-later
"""A diary written with peewee: `app.py create|fill|dump|work|later` on the database of DATABASE_URL; answers JSON."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from peewee import (
    AutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    DatabaseProxy,
    DateField,
    DateTimeField,
    DecimalField,
    DoubleField,
    FixedCharField,
    ForeignKeyField,
    IntegerField,
    IntegrityError,
    IPField,
    ManyToManyField,
    Model,
    SmallIntegerField,
    TextField,
    TimeField,
    TimestampField,
    UUIDField,
    fn,
)
from playhouse.db_url import connect
from playhouse.migrate import PostgresqlMigrator, SqliteMigrator, migrate

START = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)  # noqa: DTZ001 - peewee has no zones
TEXTS = ["plain", "", "Ünïcödé ✓ 漢字 🦊", "tab\tnew\nline\\backslash \\N \\.", "'quotes' \"double\"", "e\u0301 ≠ é"]
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
database = DatabaseProxy()


class Base(Model):
    """All in one database."""

    class Meta:
        """Bound at the start."""

        database = database


class Author(Base):
    """Written by; a tree through `teacher`."""

    name = CharField(unique=True)
    teacher = ForeignKeyField("self", backref="pupils", null=True, on_delete="SET NULL")


class Topic(Base):
    """Something to write about."""

    id = AutoField(column_name="topic_id")
    code = FixedCharField(max_length=4, unique=True)


class Entry(Base):
    """Most kinds of values."""

    author = ForeignKeyField(Author, backref="entries", on_delete="CASCADE")
    topics = ManyToManyField(Topic, backref="entries", on_delete="CASCADE")
    title = CharField(max_length=80, index=True)
    body = TextField(default="")
    public = BooleanField(default=False)
    mood = SmallIntegerField(null=True)
    words = IntegerField(default=0, constraints=[Check("words >= 0")])
    big = BigIntegerField(default=0)
    score = DoubleField(null=True)
    cost = DecimalField(max_digits=10, decimal_places=3, null=True)
    key = UUIDField(default=uuid.uuid4)
    picture = BlobField(null=True)
    written = DateTimeField(default=lambda: START)
    day = DateField(null=True)
    clock = TimeField(null=True)
    stamp = TimestampField(utc=True, default=0)
    milli = TimestampField(utc=True, resolution=3, null=True)
    address = IPField(null=True)

    class Meta:
        """Indexes."""

        indexes = ((("author", "title"), True), (("written", "public"), False))


class Rating(Base):
    """A key of two columns."""

    author = ForeignKeyField(Author, on_delete="CASCADE")
    entry = ForeignKeyField(Entry, on_delete="CASCADE")
    stars = IntegerField()

    class Meta:
        """No key of its own."""

        primary_key = CompositeKey("author", "entry")
        table_name = "user"


MODELS = [Author, Topic, Entry, Entry.topics.get_through_model(), Rating]


def create() -> str:
    """Create the tables."""
    database.create_tables(MODELS)
    return "created"


def fill() -> str:
    """Write hundreds of rows, the same each time."""
    chance = random.Random(13)
    with database.atomic():
        authors = []
        for n in range(40):
            teacher = authors[n // 3] if n % 4 else None
            authors.append(Author.create(name=f"{TEXTS[n % 6]} {n}", teacher=teacher))
        topics = [Topic.create(code=f"{n:04}") for n in range(12)]
        for n in range(350):
            entry = _entry(n, authors[n % 38], chance)
            entry.topics.add(topics[n % 9 : n % 9 + n % 3])
            for author in authors[: n % 4]:
                Rating.create(author=author, entry=entry, stars=n % 6)
        Entry.delete().where(Entry.id > 340).execute()
        authors[39].delete_instance()
    return "filled"


def _entry(n: int, author: Author, chance: random.Random) -> Entry:
    return Entry.create(
        author=author,
        title=f"{n} {TEXTS[n % 6]}",
        body=TEXTS[n % 6] * (n % 5),
        public=bool(n % 2),
        mood=[None, -32768, 32767][n % 3],
        words=n,
        big=[-(2**63), 2**63 - 1, 0, n][n % 4],
        score=[None, 0.1, 1e308, -0.0, 5e-324, 1 / 3][n % 6],
        cost=[None, Decimal("0.1"), Decimal(chance.randrange(10**9)) / 1000][n % 3],
        key=uuid.uuid5(NAMESPACE, str(n)),
        picture=[None, b"", bytes(range(256)), chance.randbytes(40)][n % 4],
        written=[START, dt.datetime(1, 1, 1), START.replace(microsecond=0)][n % 3] + dt.timedelta(days=n),  # noqa: DTZ001
        day=[None, dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29)][n % 4],
        clock=[None, dt.time(0), dt.time(23, 59, 59, 999999), dt.time(8, 30)][n % 4],
        stamp=1_700_000_000 + n,
        milli=None if n % 3 == 0 else dt.datetime(2024, 1, 1, 1, 1, 1, 5000) + dt.timedelta(hours=n),  # noqa: DTZ001
        address=None if n % 2 else f"192.0.2.{n % 256}",
    )


def dump() -> dict[str, list[str]]:
    """Every object of every model, as peewee reads it."""
    return {
        model.__name__: sorted(
            ", ".join(f"{name}={_shown(value)}" for name, value in sorted(row.__data__.items()))
            for row in model.select()
        )
        for model in MODELS
    }


def _shown(value: Any) -> str:
    if isinstance(value, memoryview):
        value = bytes(value)
    return f"{value.normalize():f}" if isinstance(value, Decimal) else repr(value)


def _refused(what: Callable[[], object]) -> str:
    try:
        with database.atomic():
            what()
    except IntegrityError:
        return "refused"
    return "accepted"


def work() -> list[Any]:
    """A day's work: read, write, violate; the same answers on both databases."""
    said: list[Any] = []
    last = {model: model.select(fn.MAX(model._meta.primary_key)).scalar() for model in (Author, Topic, Entry)}
    author = Author.create(name="New 🦊", teacher=Author.get(Author.name == "plain 0"))
    entry = Entry.create(author=author, title="New", picture=b"\x00\xff", cost=Decimal("1.10"), address="192.0.2.9")
    topic = Topic.create(code="new ")
    entry.topics.add(topic)
    new = {Author: author, Topic: topic, Entry: entry}
    said.append(["keys continue", [model.__name__ for model, row in new.items() if row._pk <= last[model]]])
    entry = Entry.get_by_id(entry.id)
    said.append(["defaults", entry.body, entry.public, entry.words, repr(entry.written), repr(entry.stamp)])
    said.append(["read back", bytes(entry.picture).hex(), _shown(entry.cost), entry.address])
    Entry.insert_many([{"author": author, "title": f"bulk {n}"} for n in range(9)]).execute()
    said.append(["bulk", author.entries.count(), entry.topics.get().code])

    # Queries that need the right types.
    said.append(["by flag", Entry.select().where(Entry.public).count()])
    said.append(["by time", Entry.select().where(Entry.written > START + dt.timedelta(days=90)).count()])
    said.append(["by year", Entry.select().where(Entry.written.year == 2025).count()])
    said.append(["by month", Entry.select().where(Entry.day.month == 2).count()])
    said.append(["by clock", Entry.select().where(Entry.clock < dt.time(9)).count()])
    said.append(["by UUID", Entry.select().where(Entry.key == uuid.uuid5(NAMESPACE, "7")).count()])
    said.append(["by stamp", Entry.select().where(Entry.stamp > dt.datetime(2023, 11, 14, 22, 15)).count()])  # noqa: DTZ001
    said.append(["by bytes", Entry.select().where(Entry.picture == bytes(range(256))).count()])
    said.append(["any case", Entry.select().where(Entry.title.contains("PLAIN")).count()])
    said.append(["address", Entry.select().where(Entry.address == "192.0.2.4").count()])
    said.append(["sum", _shown(Entry.select(fn.SUM(Entry.words)).scalar() + 0)])

    # Updates and deletes, with what hangs on them.
    said.append(["update", Entry.update(words=Entry.words + 1, public=True).where(Entry.mood.is_null()).execute()])
    Topic.insert(code="0001").on_conflict_ignore().execute()
    said.append(["upsert", Topic.select().count()])
    said.append(["get or create", Topic.get_or_create(code="0002")[1]])
    said.append(["delete", Author.delete().where(Author.name == "plain 6").execute(), Entry.select().count()])
    said.append(["cascade", Rating.select().count(), Author.select().where(Author.teacher.is_null()).count()])

    # What must be refused still is.
    first = Entry.select().order_by(Entry.id).get()
    said.append(["unique", _refused(lambda: Topic.create(code="0003"))])
    said.append(["unique pair", _refused(lambda: Entry.create(author=first.author, title=first.title))])
    said.append(["check", _refused(lambda: Entry.create(author=first.author, title="x", words=-1))])
    said.append(["not null", _refused(lambda: Entry.update(title=None).execute())])
    said.append(["foreign key", _refused(lambda: Entry.create(author=99999, title="x"))])
    rating = Rating.select().first()
    said.append(["key", _refused(lambda: Rating.create(author=rating.author, entry=rating.entry, stars=1))])
    return said


def later() -> str:
    """The next release changes the tables."""
    kind = SqliteMigrator if "sqlite" in os.environ["DATABASE_URL"] else PostgresqlMigrator
    migrator = kind(database)
    migrate(
        migrator.add_column("entry", "pages", IntegerField(default=1)),
        migrator.add_column("entry", "editor_id", ForeignKeyField(Author, field=Author.id, null=True)),
        migrator.drop_index("entry", "entry_written_public"),
        migrator.drop_index("entry", "entry_author_id_title"),
        migrator.drop_index("topic", "topic_code"),
        migrator.drop_not_null("entry", "body"),
        migrator.alter_column_type("entry", "mood", IntegerField(null=True)),
        migrator.rename_column("entry", "words", "length"),
        migrator.rename_table("user", "rating"),
    )
    return "migrated"


if __name__ == "__main__":
    url = os.environ["DATABASE_URL"]
    options = {"pragmas": {"foreign_keys": 1}} if url.startswith("sqlite") else {}
    database.initialize(connect(url.replace("sqlite://", "sqlite:///", 1), **options))
    print(json.dumps({"create": create, "fill": fill, "dump": dump, "work": work, "later": later}[sys.argv[1]]()))
