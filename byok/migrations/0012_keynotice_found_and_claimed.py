import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """A notice is found, claimed and told, so that one who is killed in between loses none."""

    dependencies = [("byok", "0011_told_by_staff")]

    operations = [
        migrations.AddField(
            "KeyNotice", "found_at", models.DateTimeField(default=django.utils.timezone.now)
        ),
        migrations.AddField(
            "KeyNotice",
            "claimed_at",
            models.DateTimeField(
                blank=True,
                help_text="When whoever writes of it took it up, or last tried.",
                null=True,
            ),
        ),
        migrations.AlterField("KeyNotice", "told_at", models.DateTimeField(blank=True, null=True)),
        migrations.AlterField(
            "KeyNotice",
            "about",
            models.CharField(
                help_text="Which occasion: a date, or a model and it.", max_length=200
            ),
        ),
        migrations.AddIndex(
            "KeyNotice",
            models.Index(
                fields=["claimed_at"], condition=Q(told_at=None), name="byok_keynotice_untold"
            ),
        ),
    ]
