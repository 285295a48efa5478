import byok.fields
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0007_usage_by_day"),
    ]

    operations = [
        migrations.CreateModel(
            name="Plan",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "slug",
                    models.SlugField(
                        help_text="By which the keys it hands out name it.",
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("provider", models.CharField(max_length=40)),
                (
                    "summary",
                    models.CharField(
                        blank=True, help_text="What one gets, for its page.", max_length=300
                    ),
                ),
                (
                    "price_micros",
                    models.PositiveBigIntegerField(help_text="Of a period, in micro-dollars."),
                ),
                ("period_days", models.PositiveSmallIntegerField()),
                (
                    "active",
                    models.BooleanField(
                        default=True, help_text="Whether one can subscribe. Those who have go on."
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("price_micros__gt", 0)),
                        name="billing_plan_costs_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("period_days__gt", 0)),
                        name="billing_plan_lasts_some_days",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("provider", models.CharField(max_length=40)),
                (
                    "secret",
                    byok.fields.EncryptedField(
                        account="provider", fingerprint="fingerprint", null=True
                    ),
                ),
                ("hint", models.CharField(blank=True, max_length=40)),
                ("fingerprint", models.CharField(max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("available", "Available"),
                            ("claimed", "Handed out"),
                            ("to_revoke", "To be revoked at the provider"),
                            ("revoked", "Revoked"),
                        ],
                        default="available",
                        max_length=10,
                    ),
                ),
                ("added_by", models.UUIDField(blank=True, null=True)),
                ("added_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("claimed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "released_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Since when it is no longer anybody's and to be revoked.",
                        null=True,
                    ),
                ),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="keys",
                        to="billing.plan",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("account_id", models.UUIDField()),
                (
                    "provider_key_id",
                    models.UUIDField(
                        blank=True,
                        help_text="The key it manages; null since its secret was replaced.",
                        null=True,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("past_due", "Past due"),
                            ("ended", "Ended"),
                        ],
                        default="active",
                        max_length=10,
                    ),
                ),
                ("cancel_at_period_end", models.BooleanField(default=False)),
                (
                    "terms_paid",
                    models.PositiveIntegerField(help_text="The number of its last term."),
                ),
                (
                    "renews_at",
                    models.DateTimeField(help_text="When the period ends that was paid for last."),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When it is renewed, tried again or ended; null: never.",
                        null=True,
                    ),
                ),
                ("past_due_since", models.DateTimeField(blank=True, null=True)),
                ("started_by", models.UUIDField(blank=True, null=True)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "ended_why",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("cancelled", "Cancelled"),
                            ("unpaid", "Not paid"),
                            ("staff", "Ended by MegaBrain"),
                            ("abandoned", "Nobody left to pay for it"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "untold",
                    models.BooleanField(
                        default=False, help_text="Whether its state is yet to be told by letter."
                    ),
                ),
                (
                    "telling_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a worker began to tell of it, until it is done.",
                        null=True,
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscriptions",
                        to="billing.plan",
                    ),
                ),
                (
                    "plan_key",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscription",
                        to="billing.plankey",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SubscriptionTerm",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "number",
                    models.PositiveIntegerField(help_text="1, 2, 3 … within the subscription."),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("price_micros", models.PositiveBigIntegerField()),
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="term",
                        to="billing.ledgerentry",
                    ),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="terms",
                        to="billing.subscription",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="plankey",
            index=models.Index(fields=["plan", "state", "added_at"], name="billing_plankey_next"),
        ),
        migrations.AddIndex(
            model_name="plankey",
            index=models.Index(fields=["-added_at"], name="billing_plankey_newest"),
        ),
        migrations.AddConstraint(
            model_name="plankey",
            constraint=models.UniqueConstraint(
                fields=("provider", "fingerprint"), name="billing_plankey_in_stock_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="plankey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("secret__isnull", False), ("state__in", ["available", "claimed"])),
                    models.Q(("secret__isnull", True), ("state__in", ["to_revoke", "revoked"])),
                    _connector="OR",
                ),
                name="billing_plankey_forgotten_when_over",
            ),
        ),
        migrations.AddConstraint(
            model_name="plankey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("claimed_at__isnull", True),
                        ("released_at__isnull", True),
                        ("state", "available"),
                    ),
                    models.Q(
                        ("claimed_at__isnull", False),
                        ("released_at__isnull", True),
                        ("state", "claimed"),
                    ),
                    models.Q(("released_at__isnull", False), ("state", "to_revoke")),
                    ("state", "revoked"),
                    _connector="OR",
                ),
                name="billing_plankey_claimed_before_released",
            ),
        ),
        migrations.AddConstraint(
            model_name="plankey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("revoked_at__isnull", False), ("state", "revoked")),
                    models.Q(
                        models.Q(("state", "revoked"), _negated=True), ("revoked_at__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="billing_plankey_revoked_at_some_time",
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(
                condition=models.Q(("state__in", ["active", "past_due"])),
                fields=["due_at"],
                name="billing_subscription_due",
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(
                condition=models.Q(("untold", True)),
                fields=["telling_at"],
                name="billing_subscription_untold",
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(
                fields=["account_id", "-started_at"], name="billing_subscription_of"
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(fields=["-started_at"], name="billing_subscription_newest"),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["active", "past_due"])),
                fields=("account_id", "plan"),
                name="billing_subscription_one_live",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("due_at__isnull", False),
                        ("ended_at__isnull", True),
                        ("ended_why", ""),
                        ("state__in", ["active", "past_due"]),
                    ),
                    models.Q(
                        ("due_at__isnull", True),
                        ("ended_at__isnull", False),
                        ("state", "ended"),
                        models.Q(("ended_why", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="billing_subscription_ended_for_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("past_due_since__isnull", False), ("state", "past_due")),
                    models.Q(
                        models.Q(("state", "past_due"), _negated=True),
                        ("past_due_since__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="billing_subscription_past_due_since",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscriptionterm",
            constraint=models.UniqueConstraint(
                fields=("subscription", "number"), name="billing_subscriptionterm_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="subscriptionterm",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))),
                name="billing_subscriptionterm_lasts_some_time",
            ),
        ),
    ]
