from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("byok", "0014_cataloguesource_away")]

    operations = [
        migrations.AddField(
            model_name="cataloguesource",
            name="claimed_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When a worker began to tell staff, until it is done.",
                null=True,
            ),
        ),
    ]
