from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0014_ledger_correction"),
    ]

    operations = [
        migrations.AddField(
            model_name="autotopup",
            name="capped_at",
            field=models.DateTimeField(
                blank=True,
                help_text="Since when the cap is known to be reached, in the latest month in which it was.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="autotopup",
            name="capped_claimed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="autotopup",
            name="capped_told_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="payment",
            name="charging_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When a worker last began to charge it, or to ask for its card.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="payment",
            name="taken_back_micros",
            field=models.PositiveBigIntegerField(
                default=0, help_text="Of what was refunded, as much as the balance had so far."
            ),
        ),
        migrations.AddIndex(
            model_name="autotopup",
            index=models.Index(
                condition=models.Q(("capped_at__isnull", False), ("capped_told_at__isnull", True)),
                fields=["account_id"],
                name="billing_autotopup_cap_untold",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(
                    ("state", "paid"), ("taken_back_micros__lt", models.F("refunded_micros"))
                ),
                fields=["account_id"],
                name="billing_payment_to_take_back",
            ),
        ),
    ]
