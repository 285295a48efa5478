from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("byok", "0007_offering_max_output")]

    operations = [
        migrations.AddField(
            model_name="providerkey",
            name="failing_claimed_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When a worker began to tell them, until it is done.",
                null=True,
            ),
        ),
    ]
