"""When members last called and what they and their API tokens spent, as `orgs` asks for it."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from billing.holds import period
from billing.models import Spending, UsageRecord
from orgs.member_calls import MemberCalls
from orgs.models import Account, User

Of = Spending.Of
#: By the counters that the limits are held against.
SPENT = F("spent_micros") + F("held_micros")


class Source:
    def of_members(self, account: Account, users: Collection[UUID]) -> dict[UUID, MemberCalls]:
        """In one query, with two steps into indexes for each of the users."""
        calls = UsageRecord.objects.for_account(account).filter(user_id=OuterRef("pk"))
        counters = Spending.objects.filter(
            of=Of.MEMBER,
            account_id=account.pk,
            subject_id=OuterRef("pk"),
            period=period(Of.MEMBER, timezone.now()),
        )
        people = User.objects.filter(pk__in=users).annotate(
            called_at=Subquery(calls.order_by("-created_at").values("created_at")[:1]),
            spent_today=Subquery(counters.values_list(SPENT)[:1]),
        )
        return {
            user: MemberCalls(called_at, spent or 0)
            for user, called_at, spent in people.values_list("pk", "called_at", "spent_today")
        }

    def spent_this_month(self, tokens: Collection[UUID]) -> dict[UUID, int]:
        month = period(Of.TOKEN, timezone.now())
        counters = Spending.objects.filter(of=Of.TOKEN, subject_id__in=tokens, period=month)
        return dict(counters.values_list("subject_id", SPENT))
