from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0010_token_plan_plus")]

    operations = [
        migrations.AddField(
            model_name="subscription",
            name="took_key",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Whether the key that it managed was still there to go when it ended.",
            ),
        ),
    ]
