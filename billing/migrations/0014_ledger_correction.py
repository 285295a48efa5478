from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("billing", "0013_reconciliation")]

    operations = [
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("grant", "Credit granted"),
                    ("top_up", "Credit bought"),
                    ("usage", "Usage"),
                    ("subscription", "Subscription"),
                    ("refund", "Refund"),
                    ("correction", "Correction"),
                ],
                max_length=20,
            ),
        ),
    ]
