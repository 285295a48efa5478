from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0011_subscription_took_key")]

    operations = [
        migrations.CreateModel(
            name="AccountDay",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("account_id", models.UUIDField()),
                (
                    "model",
                    models.CharField(
                        help_text="Empty for names that no model has.", max_length=200
                    ),
                ),
                ("provider", models.CharField(max_length=40)),
                ("provider_key_id", models.UUIDField(null=True)),
                (
                    "payer",
                    models.CharField(
                        choices=[
                            ("byok", "Your provider key"),
                            ("balance", "Balance"),
                            ("none", "Nobody"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "result",
                    models.CharField(
                        choices=[
                            ("ok", "OK"),
                            ("refused", "Refused"),
                            ("failed", "Failed"),
                            ("closed", "Caller left"),
                        ],
                        max_length=10,
                    ),
                ),
                ("requests", models.PositiveBigIntegerField()),
                ("input_tokens", models.PositiveBigIntegerField()),
                ("cache_read_tokens", models.PositiveBigIntegerField()),
                ("cache_write_tokens", models.PositiveBigIntegerField()),
                ("cache_write_long_tokens", models.PositiveBigIntegerField()),
                ("output_tokens", models.PositiveBigIntegerField()),
                ("reasoning_tokens", models.PositiveBigIntegerField()),
                ("charged_micros", models.PositiveBigIntegerField()),
                ("market_micros", models.PositiveBigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["account_id", "day"], name="billing_account_day")],
            },
        ),
        # Of everybody's calls the new table tells.
        migrations.RemoveIndex(model_name="usageday", name="billing_day_by_account"),
        migrations.RemoveIndex(model_name="usageday", name="billing_day_by_key"),
        migrations.RemoveIndex(model_name="usageday", name="billing_day_by_payer"),
        migrations.RemoveIndex(model_name="usageday", name="billing_day_by_result"),
    ]
