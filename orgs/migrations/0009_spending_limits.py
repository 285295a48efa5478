from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orgs", "0008_name_of_api_tokens"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="account",
            name="orgs_account_only_organizations_limit_members",
        ),
        migrations.AddField(
            model_name="account",
            name="member_daily_limit_micros",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="What each member may spend of its balance in a day; null: no limit of its own.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="membership",
            name="daily_limit_micros",
            field=models.PositiveBigIntegerField(
                blank=True,
                help_text="In place of what each member of the account may spend.",
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind", "organization"),
                    models.Q(
                        ("allowed_models__isnull", True),
                        ("member_daily_limit_micros__isnull", True),
                        ("member_requests_per_minute__isnull", True),
                        ("token_requests_per_minute__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="orgs_account_only_organizations_limit_members",
            ),
        ),
    ]
