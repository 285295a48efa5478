import uuid

from django.contrib import admin

from orgs.admin.base import StaffAdmin, row_action
from orgs.audit.verification import verify_whole
from orgs.models import AuditEvent, AuditHead
from orgs.requests import SignedInRequest

#: A longer chain takes longer than a page may; the command line has the time.
VERIFIED_HERE = 50_000


def verified(account_id: uuid.UUID) -> str:
    """What walking the account's chain found, in words."""
    head = AuditHead.objects.filter(pk=account_id).first()
    if head is not None and head.sequence > VERIFIED_HERE:
        return (
            f"{head.sequence:,} events are too many for a page: run “python manage.py audit "
            "verify” for this one"
        )
    chain = verify_whole(account_id)
    if chain.fault is not None:
        return f"broken at event {chain.first_bad}: {chain.fault}"
    return f"all {chain.events:,} events are as they were written"


@admin.register(AuditEvent)
class AuditEventAdmin(StaffAdmin):
    list_display = ["created_at", "__str__", "of_account", "sequence", "address"]
    ordering = ["-id"]
    ordering_found = ["-sequence"]
    account_field = "account_id"
    search_help_text = "An organization's slug, a person's e-mail address, or an account's id."
    # It has to name a column for Django to show the field to search in.
    search_fields = ["account_id"]
    fields = [
        "of_account",
        "sequence",
        "event",
        "actor_label",
        "actor_id",
        "target_kind",
        "target_label",
        "target_id",
        "changed",
        "details",
        "address",
        "user_agent",
        "request_id",
        "created_at",
        "previous_hash",
        "hash",
    ]


@admin.register(AuditHead)
class AuditHeadAdmin(StaffAdmin):
    list_display = ["account_id", "of_account", "sequence", "hash"]
    ordering = ["account_id"]
    account_field = "account_id"
    search_fields = ["account_id"]
    search_help_text = AuditEventAdmin.search_help_text
    fields = ["of_account", "sequence", "hash"]
    actions = ["verify"]

    @row_action("Verify the audit log")
    def verify(self, request: SignedInRequest, head: AuditHead) -> str:
        return verified(head.account_id)
