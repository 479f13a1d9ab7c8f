# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shop does with its data, always through Django's own objects."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count, F, ProtectedError, Sum
from django.db.models.functions import TruncMonth

from shop.models import Category, Line, Order, Product, Profile, Tag

UTC = dt.timezone.utc
START = dt.datetime(2024, 2, 29, 23, 59, 59, 999999, UTC)
TEXTS = ["plain", "", "Ünïcödé ✓ 漢字 🦊", "tab\tnew\nline\\backslash \\N \\.", "'quotes' \"double\"", "e\u0301 ≠ é"]
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def fill() -> str:
    """Write hundreds of rows, the same each time."""
    chance = random.Random(7)
    with transaction.atomic():
        users = [User.objects.create_user(f"user{n}", f"u{n}@example.org", f"secret {n}") for n in range(40)]
        for n, user in enumerate(users):
            user.date_joined = START + dt.timedelta(hours=n, microseconds=n)
            user.last_login = None if n % 3 else START
            user.first_name = TEXTS[n % len(TEXTS)][:30]
            user.save()
            if n % 2:
                Profile.objects.create(user=user, language=["en", "fi"][n % 4 // 2])
        staff = Group.objects.create(name="staff")
        staff.permissions.set(Permission.objects.filter(content_type__app_label="shop").order_by("codename")[:5])
        staff.user_set.add(*users[:7])
        tags = Tag.objects.bulk_create([Tag(name=f"tag {n} é") for n in range(25)])
        roots = [Category.objects.create(slug=f"c{n}", title=f"Category {n}") for n in range(5)]
        nodes = list(roots)
        for n in range(40):
            parent = chance.choice(nodes)
            nodes.append(Category.objects.create(slug=f"c{n}-{parent.pk}", title=f"Sub {n}", parent=parent))
        products = [_product(n, nodes[n % (len(nodes) - 1)], chance) for n in range(300)]
        Product.objects.bulk_create(products)
        for n, product in enumerate(products):
            product.tags.set(tags[n % 20 : n % 20 + n % 4])
        for n in range(120):
            order = Order.objects.create(customer=users[n % 40] if n % 5 else None, number=f"{n:05}", year=2020 + n % 5)
            for product in products[n : n + 1 + n % 4]:
                order.line_set.create(product=product, quantity=n % 9 + 1, each=product.price)
        # What was used and is gone: no new row may get such a key again where SQLite would not give it either.
        Order.objects.filter(number__gte="00110").delete()
        Category.objects.filter(title="Sub 39").delete()
    session = SessionStore()
    session["basket"] = [str(products[0].pk), "é"]
    session._session_key = "k" * 32
    session.set_expiry(dt.datetime(2099, 1, 1, tzinfo=UTC))
    session.save(must_create=True)
    return "filled"


def _product(n: int, category: Category, chance: random.Random) -> Product:
    durations = [None, dt.timedelta(0), dt.timedelta(microseconds=1), -dt.timedelta(days=3, seconds=7, microseconds=9)]
    return Product(
        id=uuid.uuid5(NAMESPACE, str(n)),
        category=category,
        name=f"Product {n} {TEXTS[n % 6]}"[:80],
        description=TEXTS[n % 6] * (n % 5),
        price=Decimal(chance.randrange(10**9)) / 100 if n else Decimal("99999999.99"),
        rate=None if n % 3 == 0 else Decimal(chance.randrange(10**15)) / 10**9,
        weight=[None, 0.1, 1e308, -0.0, 5e-324, 1 / 3][n % 6],
        small=[-32768, 32767, 0][n % 3],
        big=[-(2**63), 2**63 - 1, 0, n][n % 4],
        stock=n,
        available=bool(n % 7),
        on_offer=[None, True, False][n % 3],
        lead_time=[*durations, dt.timedelta(days=n, microseconds=chance.randrange(10**9))][n % 5],
        attributes={"n": n, "text": TEXTS[n % 6], "nested": [{"a": None, "b": [1.5, True]}], "when": START},
        note=[None, "a text", 17, 1.25, [], {"é": "\U0001f98a"}][n % 6],
        thumbnail=[None, b"", bytes(range(256)), chance.randbytes(40)][n % 4],
        released=[None, dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29)][n % 4],
        opens=[None, dt.time(0), dt.time(23, 59, 59, 999999), dt.time(8, 30)][n % 4],
        created=START + dt.timedelta(days=n, microseconds=n * 1001),
        seen=[None, dt.datetime(1, 1, 2, tzinfo=UTC), dt.datetime(9999, 12, 30, 23, 59, 59, 1, UTC), START][n % 4],
        source_ip=[None, "192.0.2.1", "2001:db8::1", "::"][n % 4],
        entered=START,
        state=["new", "", "old"][n % 3],
    )


def dump() -> dict[str, list[str]]:
    """Every object of every model, as Django reads it."""
    found: dict[str, list[str]] = {}
    for model in apps.get_models(include_auto_created=True):
        fields = model._meta.concrete_fields
        rows = model._default_manager.order_by("pk")
        found[model._meta.label] = [
            ", ".join(f"{field.attname}={_shown(getattr(row, field.attname))}" for field in fields) for row in rows
        ]
    return found


def _shown(value: Any) -> str:
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(value[key])}" for key in sorted(value)) + "}"
    return repr(value)


def _refused(what: Callable[[], object], kinds: type[Exception] = IntegrityError) -> str:
    try:
        with transaction.atomic():
            what()
            # Deferred constraints speak at the end of the transaction at the latest.
            connection.check_constraints()
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except kinds as error:
        return type(error).__name__
    return "accepted"


def _last(model: type[models.Model]) -> int:
    return model._default_manager.aggregate(models.Max("pk"))["pk__max"]


def work() -> list[Any]:
    """A day's work: read, write, violate; the same answers on both databases."""
    said: list[Any] = []
    # New rows of every table with a counted key: each above what was there.
    last = {model: _last(model) for model in (Order, Category, Tag, User, Line, Group)}
    user = User.objects.create_user("new", "new@example.org", "pass")
    category = Category.objects.create(slug="new", title="New", parent=Category.objects.get(slug="c0"))
    tags = Tag.objects.bulk_create([Tag(name=f"new {n}") for n in range(5)])
    product = Product.objects.create(
        category=category,
        name="New 🦊",
        price=Decimal("1.10"),
        created=START,
        lead_time=dt.timedelta(days=-1, microseconds=5),
        attributes={"a": [1, {"b": "é"}]},
        thumbnail=b"\x00\xff",
        source_ip="2001:db8::2",
        on_offer=True,
    )
    product.tags.add(*tags)
    order = Order.objects.create(customer=user, number="1", year=2030)
    line = Line.objects.create(order=order, product=product, quantity=3)
    group = Group.objects.create(name="new")
    user.groups.add(group)
    new = {Order: order, Category: category, Tag: tags[0], User: user, Line: line, Group: group}
    said.append(["keys continue", [model._meta.label for model, row in new.items() if row.pk <= last[model]]])
    product.refresh_from_db()
    line.refresh_from_db()
    said.append(["defaults", product.state, product.stock, product.available, product.small, product.on_offer])
    said.append(["default of the database", abs(product.entered - dt.datetime.now(UTC)) < dt.timedelta(minutes=5)])
    said.append(["computed", line.pieces])
    said.append(["read back", repr(product.lead_time), product.attributes, bytes(product.thumbnail).hex()])
    said.append(["address", product.source_ip, Product.objects.filter(source_ip="192.0.2.1").count()])

    # Queries that need the right types.
    said.append(["longer than a day", Product.objects.filter(lead_time__gt=dt.timedelta(days=1)).count()])
    later = Product.objects.filter(created__lt=F("created") + dt.timedelta(days=1)).count()
    said.append(["created, plus a day", later])
    said.append(["in JSON", Product.objects.filter(attributes__nested__0__b__1=True, attributes__n__lt=9).count()])
    months = Product.objects.annotate(month=TruncMonth("created")).values("month").annotate(n=Count("pk"))
    said.append(["months", [[str(row["month"]), row["n"]] for row in months.order_by("month")]])
    said.append(["on a day", Product.objects.filter(created__date=dt.date(2024, 3, 1)).count()])
    said.append(["by year", Product.objects.filter(released__year=2024).count()])
    said.append(["sum", f"{Product.objects.aggregate(n=Sum('price'))['n']:.2f}"])
    said.append(["any case", Product.objects.filter(name__icontains="PRODUCT 7").count()])
    said.append(["order", [t.name for t in Tag.objects.order_by("name")][:6]])
    said.append(["password", User.objects.get(username="user3").check_password("secret 3")])
    staff = User.objects.get(username="user1")
    said.append(["permissions", sorted(staff.get_all_permissions())])
    session = SessionStore(session_key="k" * 32)
    said.append(["session", session["basket"]])
    session["basket"] = []
    session.save()

    # Updates and deletes, with what hangs on them.
    said.append(["update", Product.objects.filter(on_offer=True).update(price=F("price") + 1, lead_time=None)])
    upsert = [Tag(name="tag 1 é"), Tag(name="upserted")]
    Tag.objects.bulk_create(upsert, update_conflicts=True, unique_fields=["name"], update_fields=["name"])
    said.append(["upsert", Tag.objects.filter(name__in=["tag 1 é", "upserted"]).count()])
    got, made = Tag.objects.get_or_create(name="tag 2 é")
    said.append(["get or create", got.name, made])
    User.objects.get(username="user2").delete()
    said.append(["set null", Order.objects.filter(customer=None).count(), Profile.objects.count()])
    said.append(["deleted", Order.objects.filter(year=2021).delete()[1].get("shop.Line")])
    with transaction.atomic():
        locked = Order.objects.select_for_update().filter(year=2022).first()
        locked.year = 2031
        locked.save()
    said.append(["locked", Order.objects.filter(year=2031).count()])

    # What must be refused still is.
    first = Product.objects.filter(available=True).order_by("pk")[0]
    twin = {"price": 1, "created": START, "category": first.category, "name": first.name}
    said.append(["unique", _refused(lambda: Tag.objects.create(name="tag 3 é"))])
    said.append(["unique together", _refused(lambda: Order.objects.create(year=2020, number="00000"))])
    said.append(["unique where available", _refused(lambda: Product.objects.create(**twin))])
    said.append(["else not", _refused(lambda: Product.objects.create(**twin, available=False))])
    said.append(["unique in any case", _refused(lambda: _same_title(Category.objects.get(title="Sub 1")))])
    said.append(["check", _refused(lambda: Product.objects.create(**{**twin, "name": "x", "price": -1}))])
    said.append(["not negative", _refused(lambda: Product.objects.filter(pk=first.pk).update(stock=-1))])
    said.append(["not null", _refused(lambda: Product.objects.filter(pk=first.pk).update(name=None))])
    said.append(["foreign key", _refused(lambda: Category.objects.create(slug="z", title="z", parent_id=99999))])
    said.append(["protected", _refused(lambda: first.category.delete(), ProtectedError)])
    raw = "DELETE FROM shop_category WHERE id IN (SELECT category_id FROM shop_product)"
    said.append(["by the database", _refused(lambda: connection.cursor().execute(raw))])
    return said


def _same_title(category: Category) -> Category:
    return Category.objects.create(slug="other", title=category.title.upper(), parent=category.parent)
