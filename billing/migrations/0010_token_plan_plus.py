"""The first plan: MiniMax's Token Plan Plus, for $20 of balance per 30 days."""

import uuid

from django.db import migrations

SLUG = "token-plan-plus"


def add(apps, schema_editor):
    apps.get_model("billing", "Plan").objects.get_or_create(
        slug=SLUG,
        defaults={
            "id": uuid.uuid4(),
            "name": "Token Plan Plus",
            "provider": "minimax",
            "summary": "MiniMax models at a flat price: a key of a MiniMax Token Plan for you.",
            "price_micros": 20_000_000,
            "period_days": 30,
        },
    )


def remove(apps, schema_editor):
    """Not while anything hangs on it, which the database would refuse."""
    plans = apps.get_model("billing", "Plan").objects
    plans.filter(slug=SLUG, keys__isnull=True, subscriptions__isnull=True).delete()


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_payments")]
    operations = [migrations.RunPython(add, remove)]
