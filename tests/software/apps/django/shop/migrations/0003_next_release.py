# SPDX-License-Identifier: GPL-3.0-or-later
"""A release after the move: it changes and drops things by the names that earlier migrations gave them."""

from decimal import Decimal

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """The third release."""

    dependencies = [("shop", "0002_seen")]
    operations = [
        migrations.AddField(
            "product", "discount", models.DecimalField(max_digits=5, decimal_places=2, default=Decimal(0))
        ),
        migrations.AddField("product", "best", models.ForeignKey("shop.Tag", models.SET_NULL, null=True)),
        migrations.AlterField("product", "name", models.CharField(max_length=120)),
        migrations.AlterField("product", "stock", models.IntegerField(default=0)),
        migrations.AlterField("product", "state", models.CharField(max_length=20, null=True)),
        migrations.AlterField("tag", "id", models.BigAutoField(primary_key=True)),
        migrations.AlterField("category", "slug", models.SlugField(max_length=99)),
        migrations.AlterField(
            "order",
            "customer",
            models.ForeignKey(
                settings.AUTH_USER_MODEL, django.db.models.deletion.CASCADE, null=True, db_constraint=False
            ),
        ),
        migrations.AlterUniqueTogether("order", set()),
        migrations.RemoveIndex("product", "product_newest"),
        migrations.RemoveIndex("product", "product_on_offer"),
        migrations.RemoveConstraint("product", "product_price_positive"),
        migrations.RemoveConstraint("product", "product_available_once"),
        migrations.RemoveConstraint("category", "category_title_once"),
        migrations.RemoveConstraint("line", "line_once"),
        migrations.RemoveField("line", "pieces"),
        migrations.RenameModel("Profile", "Settings"),
        migrations.RemoveField("product", "seen"),
    ]
