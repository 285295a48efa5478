"""S23: whatever is granted again under the same key is granted once; other content is an error."""

from functools import partial

import pytest

from billing.actions import KeyReused, grant_credit
from billing.models import LedgerEntry
from orgs.models import Account, AuditEvent, User
from orgs.origin import Origin
from tests.billing.wallets import wallet_of
from tests.together import at_once

AT_ONCE = 50

pytestmark = pytest.mark.django_db(transaction=True)


def grant(staff: User, account: Account, micros: int = 5_000_000, note: str = "") -> LedgerEntry:
    return grant_credit(
        actor=staff,
        account=account,
        amount_micros=micros,
        idempotency_key="invoice-7",
        note=note,
        origin=Origin(),
    )


def test_fifty_at_once_with_one_key_are_one_entry(staff, organization):
    results = at_once(*[partial(grant, staff, organization)] * AT_ONCE)
    assert len({entry.pk for entry in results if isinstance(entry, LedgerEntry)}) == 1
    assert len(results) == AT_ONCE
    assert LedgerEntry.objects.count() == 1
    assert wallet_of(organization.pk).posted_micros == 5_000_000
    assert AuditEvent.objects.filter(event="billing.credit.granted").count() == 1


def test_of_other_contents_at_once_under_one_key_one_is_granted(staff, organization, owner):
    grants = [
        partial(grant, staff, account, micros, note)
        for account in (organization, owner.account)
        for micros in (1, 2)
        for note in ("", "x")
    ]
    results = at_once(*grants * 2, refusals=(KeyReused,))
    entry = LedgerEntry.objects.get()
    # The one that was granted, and the same one again.
    assert [result for result in results if isinstance(result, LedgerEntry)] == [entry, entry]
    assert AuditEvent.objects.filter(event="billing.credit.granted").count() == 1


@pytest.mark.parametrize("other", [{"micros": 4}, {"note": "another"}])
def test_other_content_is_an_error(staff, organization, other):
    grant(staff, organization)
    with pytest.raises(KeyReused):
        grant(staff, organization, **other)
    assert wallet_of(organization.pk).posted_micros == 5_000_000
