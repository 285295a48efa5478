from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_cache_write_long_tokens")]

    operations = [
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(
                fields=["provider_key_id", "model", "-created_at"],
                condition=Q(outcome="ok"),
                name="billing_usage_served",
            ),
        ),
    ]
