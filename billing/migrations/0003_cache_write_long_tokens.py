from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_usage_by_member"),
    ]

    operations = [
        migrations.AddField(
            model_name="usagerecord",
            name="cache_write_long_tokens",
            field=models.PositiveBigIntegerField(
                db_default=0,
                default=0,
                help_text="Of the cache writes, those to be kept for an hour or longer.",
            ),
        ),
    ]
