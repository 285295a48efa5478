from django.db import migrations

MODEL_FIELDS = ("name", "context", "max_output", "capabilities", "aliases")


def remember_staff(apps, schema_editor):
    """What staff had set was known by row; from here on it is by field."""
    CatalogModel = apps.get_model("byok", "CatalogModel")
    Offering = apps.get_model("byok", "Offering")
    CatalogModel.objects.filter(source="staff").update(told_by=dict.fromkeys(MODEL_FIELDS, "staff"))
    Offering.objects.filter(prices__source="staff").update(told_by={"prices": "staff"})
    # They came with the bundled catalogue, or no offering of it would serve them.
    CatalogModel.objects.filter(source="staff", offerings__source="bundled").update(
        source="bundled"
    )


def forget(apps, schema_editor):
    CatalogModel = apps.get_model("byok", "CatalogModel")
    CatalogModel.objects.filter(told_by__has_any_keys=MODEL_FIELDS).update(source="staff")


class Migration(migrations.Migration):
    dependencies = [("byok", "0010_catalogue_refresh")]

    operations = [migrations.RunPython(remember_staff, forget)]
