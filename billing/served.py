"""Whether a provider key served a model lately, as `byok` asks for it."""

from datetime import datetime

from django.db.models import Exists, OuterRef, Value

from billing.models import UsageRecord


def served_lately(key: OuterRef, model: OuterRef | Value, since: datetime) -> Exists:
    """What `byok.served` asks: there is a call that the key answered well."""
    return Exists(
        UsageRecord.objects.filter(
            provider_key_id=key, model=model, outcome="ok", created_at__gt=since
        )
    )
