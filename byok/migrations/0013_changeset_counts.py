from django.db import migrations, models


class Migration(migrations.Migration):
    """How many changes a set has is kept beside them, so that a list of sets reads none of them."""

    dependencies = [("byok", "0012_keynotice_found_and_claimed")]

    operations = [
        migrations.AddField(
            "ChangeSet",
            "counts",
            models.JSONField(
                default=dict,
                help_text="How many changes of each kind, for lists, which read no more.",
            ),
        ),
        migrations.AddIndex(
            "ChangeSet",
            models.Index(fields=["state", "-created_at"], name="byok_changeset_by_state"),
        ),
        migrations.AddIndex(
            "ChangeSet",
            models.Index(fields=["source", "-created_at"], name="byok_changeset_by_source"),
        ),
    ]
