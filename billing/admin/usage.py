"""Usage, for staff to look up."""

from django.contrib import admin

from billing.models import UsageRecord
from orgs.admin.base import StaffAdmin


@admin.register(UsageRecord)
class UsageRecordAdmin(StaffAdmin):
    list_display = [
        "request_id",
        "created_at",
        "of_account",
        "model",
        "provider",
        "payer",
        "status",
        "outcome",
        "latency_ms",
    ]
    ordering = ["-id"]
    ordering_found = ["-created_at", "-id"]
    search_fields = ["request_id", "provider_key_id"]
    account_field = "account_id"
    search_help_text = (
        "A request's id, a provider key's id, the account's slug or id, or a person's e-mail "
        "address."
    )
    fields = [
        "request_id",
        "of_account",
        "user_id",
        "token_id",
        "created_at",
        "endpoint",
        "streamed",
        "model",
        "upstream_model",
        "provider",
        "provider_key_id",
        "payer",
        "status",
        "outcome",
        "attempts",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_long_tokens",
        "output_tokens",
        "reasoning_tokens",
        "usage_source",
        "charged_micros",
        "market_micros",
        "latency_ms",
        "first_byte_ms",
        "overhead_us",
        "client",
    ]
