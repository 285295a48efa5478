"""Several people, or several workers, at the same subscription at once."""

from collections.abc import Callable
from functools import partial

import pytest

from billing.models import LedgerEntry, PlanKey, Subscription, SubscriptionTerm
from billing.subscriptions.actions import AlreadySubscribed, OutOfStock, cancel
from billing.subscriptions.renewing import renew_due
from byok.actions import KeyAlreadyExists, KeyGone, add_key, update_key
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.actions import delete_organization
from orgs.models import Account, User
from tests.billing.subscribing import (
    DAY,
    DOLLAR,
    ORIGIN,
    START,
    balance,
    fund,
    stock,
    subscribed,
)
from tests.together import at_once

pytestmark = pytest.mark.django_db(transaction=True)

END = START + 30 * DAY
ROUNDS = 4


def to_subscribe(actor: User, account: Account) -> Callable[[], Subscription]:
    return partial(subscribed, actor, account)


def test_the_last_key_goes_to_one_and_the_others_are_told(owner, stranger, member, staff):
    stock(staff, 1)
    people = (owner, stranger, member)
    for person in people:
        fund(person.account, 20)
    results = at_once(
        *(to_subscribe(person, person.account) for person in people), refusals=(OutOfStock,)
    )
    [winner] = [result for result in results if isinstance(result, Subscription)]
    assert [type(result) for result in results].count(OutOfStock) == 2
    balances = {person.account.pk: balance(person.account) for person in people}
    assert balances.pop(winner.account_id) == 0
    assert list(balances.values()) == [20 * DOLLAR, 20 * DOLLAR]
    assert ProviderKey.objects.get().account_id == winner.account_id


def test_each_of_several_takes_a_key_of_its_own(owner, stranger, member, staff):
    stock(staff, 1, 2, 3)
    people = (owner, stranger, member)
    for person in people:
        fund(person.account, 20)
    results = at_once(*(to_subscribe(person, person.account) for person in people))
    keys = {result.plan_key_id for result in results if isinstance(result, Subscription)}
    assert len(keys) == 3
    assert not PlanKey.objects.available().exists()


def test_an_account_subscribes_once_however_often_it_is_asked(owner, account, staff):
    stock(staff, 1, 2, 3)
    fund(account, 60)
    results = at_once(*[to_subscribe(owner, account)] * 3, refusals=(AlreadySubscribed,))
    assert [type(result) for result in results].count(AlreadySubscribed) == 2
    assert balance(account) == 40 * DOLLAR
    assert PlanKey.objects.available().count() == 2


def test_a_key_of_ones_own_and_a_subscription_do_not_both_come(owner, account, staff):
    stock(staff, 1)
    fund(account, 20)
    secret = Secret("sk-api-sim-ok-0123456789abcdefghijklmnop")
    at_once(
        to_subscribe(owner, account),
        partial(
            add_key, actor=owner, account=account, provider="minimax", secret=secret, origin=ORIGIN
        ),
        refusals=(KeyAlreadyExists,),
    )
    managed = ProviderKey.objects.get().managed_by != ""
    assert Subscription.objects.exists() is managed
    assert balance(account) == (0 if managed else 20 * DOLLAR)
    assert PlanKey.objects.available().exists() is not managed


def test_two_workers_renew_once(owner, account, staff):
    stock(staff, 1)
    fund(account, 20 + 20 * (ROUNDS + 2))
    subscribed(owner, account)
    for number in range(1, ROUNDS + 1):
        at_once(*[partial(renew_due, START + number * 30 * DAY)] * 3)
        assert LedgerEntry.objects.filter(kind="subscription").count() == number + 1
        assert SubscriptionTerm.objects.count() == number + 1


def test_who_cancels_while_it_is_renewed_has_it_for_that_period(owner, account, staff):
    stock(staff, 1)
    fund(account, 40)
    subscription = subscribed(owner, account)
    at_once(
        partial(renew_due, END),
        partial(cancel, actor=owner, subscription=subscription, origin=ORIGIN, now=END),
    )
    renew_due(END + 31 * DAY)
    subscription.refresh_from_db()
    assert subscription.state == "ended"
    # It was paid for, or it was not; never half.
    paid = subscription.terms.count()
    assert balance(account) == (40 - 20 * paid) * DOLLAR


def test_a_secret_of_ones_own_outlives_the_end_that_meets_it(owner, account, staff):
    for number in range(ROUNDS):
        [*_, plan_key] = stock(staff, number)
        fund(account, 20)
        subscription = subscribed(owner, account)
        cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
        key = ProviderKey.objects.get()
        own = f"sk-api-sim-ok-0123456789abcdef{number:06d}"
        [_, replaced] = at_once(
            partial(renew_due, END),
            partial(update_key, actor=owner, key=key, secret=Secret(own), origin=ORIGIN),
            refusals=(KeyGone,),
        )
        left = ProviderKey.objects.first()
        if isinstance(replaced, KeyGone):
            assert left is None
        else:
            assert left is not None
            assert left.secret.unseal().reveal() == own
            assert left.managed_by == ""
            left.delete()
        plan_key.refresh_from_db()
        assert plan_key.state == "to_revoke"


def test_an_organization_is_deleted_while_its_subscription_is_renewed(owner, organization, staff):
    stock(staff, 1)
    fund(organization, 60)
    subscription = subscribed(owner, organization)
    at_once(
        partial(renew_due, END),
        partial(delete_organization, actor=owner, account=organization, origin=ORIGIN),
    )
    subscription.refresh_from_db()
    assert subscription.state == "ended"
    assert renew_due(END + 30 * DAY) == 0
    assert balance(organization) == (60 - 20 * subscription.terms.count()) * DOLLAR
