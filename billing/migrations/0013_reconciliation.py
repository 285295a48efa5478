from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_account_day")]

    operations = [
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                (
                    "begun_at",
                    models.DateTimeField(
                        help_text="When workers last began with the first ledger."
                    ),
                ),
                (
                    "done_at",
                    models.DateTimeField(
                        help_text="When somebody last came to the end of all there is.", null=True
                    ),
                ),
                (
                    "under_way",
                    models.BooleanField(help_text="Whether workers have yet to come to the end."),
                ),
                (
                    "account_id",
                    models.UUIDField(help_text="Whose ledger comes next, or is begun."),
                ),
                (
                    "number",
                    models.PositiveBigIntegerField(
                        help_text="The entry up to which that was read."
                    ),
                ),
                (
                    "sum_micros",
                    models.BigIntegerField(help_text="What its entries come to so far."),
                ),
                (
                    "call_id",
                    models.UUIDField(
                        help_text="All ledgers and calls up to this were read.", null=True
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="billing_reconciliation_is_one"
                    )
                ],
            },
        ),
    ]
