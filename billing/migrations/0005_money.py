import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_usage_served"),
    ]

    operations = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4,
                        help_text="The request's id.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("account_id", models.UUIDField()),
                ("user_id", models.UUIDField()),
                ("token_id", models.UUIDField()),
                ("amount_micros", models.PositiveBigIntegerField()),
                ("charged_micros", models.PositiveBigIntegerField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("settled", "Settled"),
                            ("released", "Released"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                (
                    "lease_until",
                    models.DateTimeField(
                        help_text="Renewed by the process that serves the call; after it, anybody releases it."
                    ),
                ),
                (
                    "noticed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When somebody first saw that the lease was over.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "open")),
                        fields=["lease_until"],
                        name="billing_hold_abandoned",
                    ),
                    models.Index(
                        condition=models.Q(("state", "open")),
                        fields=["account_id", "-created_at"],
                        name="billing_hold_open",
                    ),
                    models.Index(fields=["-created_at"], name="billing_hold_newest"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("charged_micros__isnull", True),
                                ("resolved_at__isnull", True),
                                ("state", "open"),
                            ),
                            models.Q(
                                ("charged_micros__isnull", False),
                                ("resolved_at__isnull", False),
                                ("state", "settled"),
                            ),
                            models.Q(
                                ("charged_micros__isnull", True),
                                ("resolved_at__isnull", False),
                                ("state", "released"),
                            ),
                            _connector="OR",
                        ),
                        name="billing_hold_charged_iff_settled",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("charged_micros__isnull", True),
                            ("charged_micros__lte", models.F("amount_micros")),
                            _connector="OR",
                        ),
                        name="billing_hold_never_charged_beyond",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("account_id", models.UUIDField()),
                (
                    "number",
                    models.PositiveBigIntegerField(help_text="1, 2, 3 … within the account."),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("grant", "Credit granted"),
                            ("top_up", "Credit bought"),
                            ("usage", "Usage"),
                            ("subscription", "Subscription"),
                            ("refund", "Refund"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "amount_micros",
                    models.BigIntegerField(help_text="Added to the balance, or taken from it."),
                ),
                ("balance_micros", models.BigIntegerField(help_text="The balance after it.")),
                (
                    "idempotency_key",
                    models.CharField(
                        help_text="Whatever is done twice under one key is done once.",
                        max_length=120,
                        unique=True,
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=300)),
                ("actor_id", models.UUIDField(blank=True, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "verbose_name_plural": "ledger entries",
                "indexes": [
                    models.Index(
                        fields=["account_id", "kind", "number"], name="billing_ledgerentry_of_kind"
                    ),
                    models.Index(
                        fields=["account_id", "created_at", "number"],
                        name="billing_ledgerentry_by_time",
                    ),
                    models.Index(fields=["-created_at"], name="billing_ledgerentry_newest"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account_id", "number"), name="billing_ledgerentry_gap_free"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount_micros", 0), _negated=True),
                        name="billing_ledgerentry_changes_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("balance_micros__gte", 0)),
                        name="billing_ledgerentry_never_below_zero",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Spending",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "of",
                    models.CharField(
                        choices=[
                            ("token", "API token, in a month"),
                            ("member", "Member, in a day"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "account_id",
                    models.UUIDField(
                        help_text="Whose balance a member spends from; null for a token, which may use several.",
                        null=True,
                    ),
                ),
                ("subject_id", models.UUIDField(help_text="The token, or the user.")),
                ("period", models.DateField(help_text="The first day of the month, or the day.")),
                ("spent_micros", models.PositiveBigIntegerField(default=0)),
                ("held_micros", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "spending",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("of", "token")),
                        fields=("subject_id", "period"),
                        name="billing_spending_of_token",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("of", "member")),
                        fields=("account_id", "subject_id", "period"),
                        name="billing_spending_of_member",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("account_id__isnull", True), ("of", "token")),
                            models.Q(("account_id__isnull", False), ("of", "member")),
                            _connector="OR",
                        ),
                        name="billing_spending_of_member_in_account",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("held_micros__gte", 0), ("spent_micros__gte", 0)),
                        name="billing_spending_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Wallet",
            fields=[
                ("account_id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "posted_micros",
                    models.BigIntegerField(
                        default=0, help_text="The sum of the account's ledger entries."
                    ),
                ),
                (
                    "held_micros",
                    models.BigIntegerField(default=0, help_text="The sum of its open holds."),
                ),
                (
                    "entries",
                    models.PositiveBigIntegerField(
                        default=0,
                        help_text="How many entries its ledger has; the number of the last one.",
                    ),
                ),
                (
                    "frozen_at",
                    models.DateTimeField(
                        blank=True, help_text="Since when nothing is paid from it.", null=True
                    ),
                ),
                ("frozen_why", models.CharField(blank=True, max_length=300)),
                (
                    "frozen_claimed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a worker began to tell staff of it, until it has.",
                        null=True,
                    ),
                ),
                ("frozen_told_at", models.DateTimeField(blank=True, null=True)),
                (
                    "alert_below_micros",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="Tell those who manage billing below this; null: never.",
                        null=True,
                    ),
                ),
                (
                    "low_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="When it last fell below that, if it has not risen since.",
                        null=True,
                    ),
                ),
                (
                    "low_claimed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a worker began to tell of it, until it is done.",
                        null=True,
                    ),
                ),
                ("low_told_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("frozen_at__isnull", False)),
                        fields=["frozen_at"],
                        name="billing_wallet_frozen",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("low_since__isnull", False), ("low_told_at__isnull", True)
                        ),
                        fields=["low_since"],
                        name="billing_wallet_low_untold",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("held_micros__gte", 0)),
                        name="billing_wallet_holds_nothing_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("posted_micros__gte", models.F("held_micros"))),
                        name="billing_wallet_covers_its_holds",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("frozen_at__isnull", True),
                            models.Q(("frozen_why", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="billing_wallet_frozen_for_a_reason",
                    ),
                ],
            },
        ),
    ]
