from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_append_only_ledger")]

    operations = [
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("account_id", models.UUIDField()),
                ("user_id", models.UUIDField(null=True)),
                ("token_id", models.UUIDField(null=True)),
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
                "indexes": [
                    models.Index(fields=["account_id", "day"], name="billing_day_by_account"),
                    models.Index(
                        fields=["account_id", "user_id", "day"], name="billing_day_by_member"
                    ),
                    models.Index(
                        fields=["account_id", "token_id", "day"], name="billing_day_by_token"
                    ),
                    models.Index(
                        fields=["account_id", "model", "day"], name="billing_day_by_model"
                    ),
                    models.Index(
                        fields=["account_id", "provider", "day"], name="billing_day_by_provider"
                    ),
                    models.Index(
                        fields=["account_id", "provider_key_id", "day"], name="billing_day_by_key"
                    ),
                    models.Index(
                        fields=["account_id", "payer", "day"], name="billing_day_by_payer"
                    ),
                    models.Index(
                        fields=["account_id", "result", "day"], name="billing_day_by_result"
                    ),
                ],
            },
        ),
        # What there is already is counted by the worker, or at once by `usage count`.
        migrations.AddField(
            model_name="usagerecord",
            name="counted",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Whether it is in the sums by day.",
            ),
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(
                fields=["id"], condition=Q(counted=False), name="billing_usage_uncounted"
            ),
        ),
    ]
