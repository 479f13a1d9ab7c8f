# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of field and constraint that a Django project on SQLite is likely to have."""

from __future__ import annotations

import uuid
from decimal import Decimal

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Lower, Now


class Tag(models.Model):
    """A small integer key, and a text key that nothing refers to."""

    id = models.SmallAutoField(primary_key=True)
    name = models.CharField(max_length=30, unique=True)


class Category(models.Model):
    """A tree: a table that refers to itself."""

    id = models.AutoField(primary_key=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")
    slug = models.SlugField(unique=True)
    title = models.CharField(max_length=60)

    class Meta:
        """Names that differ in case only are the same name."""

        constraints = [models.UniqueConstraint(Lower("title"), "parent", name="category_title_once")]


class Product(models.Model):
    """Most kinds of values."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    category = models.ForeignKey(Category, models.PROTECT)
    tags = models.ManyToManyField(Tag)
    name = models.CharField(max_length=80, db_index=True)
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    rate = models.DecimalField(max_digits=18, decimal_places=9, null=True)
    weight = models.FloatField(null=True)
    small = models.SmallIntegerField(default=0)
    big = models.BigIntegerField(default=0)
    stock = models.PositiveIntegerField(default=0)
    available = models.BooleanField(default=True)
    on_offer = models.BooleanField(null=True)
    lead_time = models.DurationField(null=True)
    attributes = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    note = models.JSONField(null=True)
    thumbnail = models.BinaryField(null=True)
    released = models.DateField(null=True)
    opens = models.TimeField(null=True)
    created = models.DateTimeField()
    seen = models.DateTimeField(null=True)
    source_ip = models.GenericIPAddressField(null=True)
    entered = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=10, db_default="new")

    class Meta:
        """Constraints and indexes."""

        indexes = [
            models.Index(fields=["-created", "name"], name="product_newest"),
            models.Index(fields=["price"], name="product_on_offer", condition=models.Q(on_offer=True)),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(price__gte=0), name="product_price_positive"),
            models.UniqueConstraint(
                fields=["category", "name"], name="product_available_once", condition=models.Q(available=True)
            ),
        ]


class Profile(models.Model):
    """A key that is a foreign key."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True)
    language = models.CharField(max_length=5, default="en")


class Order(models.Model):
    """A table whose name is a word of SQL; a foreign key that becomes NULL."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    number = models.CharField(max_length=12)
    year = models.IntegerField()
    placed = models.DateTimeField(auto_now_add=True)
    products = models.ManyToManyField(Product, through="Line")

    class Meta:
        """Named by hand."""

        db_table = "order"
        unique_together = [("year", "number")]


class Line(models.Model):
    """What joins two tables and has columns of its own, one of them computed."""

    order = models.ForeignKey(Order, models.CASCADE)
    product = models.ForeignKey(Product, models.RESTRICT)
    quantity = models.PositiveSmallIntegerField(default=1)
    each = models.DecimalField(max_digits=10, decimal_places=2, default=Decimal("0.00"))
    pieces = models.GeneratedField(
        expression=models.F("quantity") * 2, output_field=models.IntegerField(), db_persist=True
    )

    class Meta:
        """Once each."""

        constraints = [models.UniqueConstraint(fields=["order", "product"], name="line_once")]
