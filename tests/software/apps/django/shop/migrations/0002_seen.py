# SPDX-License-Identifier: GPL-3.0-or-later
"""A column renamed, and a row that every shop has: what migrations do beside creating tables."""

from django.db import migrations


def seed(apps, schema_editor):
    """One tag, there before anybody writes."""
    apps.get_model("shop", "Tag").objects.create(name="seeded")


class Migration(migrations.Migration):
    """The second release."""

    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RenameField("product", "seen_at", "seen"),
        migrations.RunPython(seed, migrations.RunPython.noop),
    ]
