"""When members last called for an account, as the lists of `orgs` show it."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, Subquery

from billing.models import UsageRecord
from orgs.models import Account, User


def last_calls(account: Account, users: Collection[UUID]) -> dict[UUID, datetime]:
    """What `orgs.last_calls` asks: for each of the users one step into an index."""
    calls = UsageRecord.objects.for_account(account).filter(user_id=OuterRef("pk"))
    latest = calls.order_by("-created_at").values("created_at")[:1]
    people = User.objects.filter(pk__in=users).annotate(called_at=Subquery(latest))
    return {user: at for user, at in people.values_list("pk", "called_at") if at is not None}
