from django.db import migrations, models


class Migration(migrations.Migration):
    """The table of what was loaded becomes that of all sources."""

    dependencies = [("byok", "0008_providerkey_failing_claimed_at")]

    operations = [
        migrations.RenameModel("CatalogueLoad", "CatalogueSource"),
        migrations.RenameField("CatalogueSource", "source", "name"),
        migrations.RenameField("CatalogueSource", "loaded_at", "read_at"),
    ]
