"""Subscribing to a plan, cancelling, resuming, and what becomes of the key."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.ledger import Frozen, NotEnough
from billing.models import LedgerEntry, PlanKey, Subscription, SubscriptionTerm, Wallet
from billing.subscriptions.actions import (
    AlreadySubscribed,
    NotOnSale,
    OutOfStock,
    SubscriptionGone,
    cancel,
    end,
    resume,
)
from billing.subscriptions.renewing import renew_due
from byok.actions import KeyAlreadyExists, add_key, delete_key, set_enabled, update_key
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.actions import delete_organization
from orgs.models import Account, AuditEvent
from orgs.permissions import NotPermitted
from tests.billing.subscribing import (
    DAY,
    DOLLAR,
    ORIGIN,
    START,
    balance,
    fund,
    plan_plus,
    plan_secret,
    stock,
    subscribed,
)
from tests.guarantees.conftest import refuse_events

pytestmark = pytest.mark.django_db

OWN_SECRET = "sk-api-sim-ok-0123456789abcdefghijklmnop"


def told(account: Account) -> list[str]:
    """The events of subscriptions and keys in the account's trail, in order."""
    events = AuditEvent.objects.for_account(account.pk).order_by("sequence")
    return [
        each.event for each in events if each.event.partition(".")[0] in ("subscription", "byok")
    ]


def state_of(key: PlanKey) -> str:
    key.refresh_from_db()
    return key.state


@pytest.fixture
def plan_key(staff) -> PlanKey:
    """The one key in stock."""
    [key] = stock(staff, 1)
    return key


@pytest.fixture
def subscription(owner, account, plan_key) -> Subscription:
    """Of the owner, who had $50."""
    fund(account, 50)
    return subscribed(owner, account)


def test_subscribing_pays_and_puts_the_key_among_the_accounts_own(owner, account, plan_key):
    fund(account, 50)
    subscription = subscribed(owner, account)
    assert (subscription.state, subscription.renews_at) == ("active", START + 30 * DAY)
    assert balance(account) == 30 * DOLLAR
    [entry] = LedgerEntry.objects.filter(kind="subscription")
    assert (entry.amount_micros, entry.actor_id) == (-20 * DOLLAR, owner.pk)
    [term] = subscription.terms.all()
    assert (term.number, term.starts_at, term.ends_at) == (1, START, START + 30 * DAY)
    assert (term.price_micros, term.entry) == (20 * DOLLAR, entry)
    key = ProviderKey.objects.get(account=account)
    assert (key.provider, key.managed_by, key.enabled) == ("minimax", "token-plan-plus", True)
    assert key.pk == subscription.provider_key_id
    assert key.secret.unseal().reveal() == plan_secret()
    assert state_of(plan_key) == "claimed"
    assert told(account) == ["subscription.started"]


def test_the_key_that_is_longest_in_stock_is_handed_out_first(owner, account, staff):
    first, _ = stock(staff, 1, 2)
    fund(account, 20)
    assert subscribed(owner, account).plan_key == first


def test_a_billing_manager_subscribes_for_the_organization(billing_manager, organization, plan_key):
    fund(organization, 20)
    subscribed(billing_manager, organization)
    assert ProviderKey.objects.get().account == organization
    assert balance(organization) == 0


def test_a_member_cannot_subscribe_for_the_organization(member, organization, plan_key):
    fund(organization, 20)
    with pytest.raises(NotPermitted):
        subscribed(member, organization)
    nothing_happened(organization, plan_key, 20)


def nothing_happened(account: Account, plan_key: PlanKey | None, dollars: int) -> None:
    assert balance(account) == dollars * DOLLAR
    assert not Subscription.objects.exists()
    assert not SubscriptionTerm.objects.exists()
    assert not ProviderKey.objects.filter(account=account).exclude(managed_by="").exists()
    assert not told(account) or told(account) == ["byok.key.added"]
    if plan_key is not None:
        assert state_of(plan_key) == "available"


def test_who_has_a_key_of_the_provider_is_refused(owner, account, plan_key):
    fund(account, 50)
    add_key(
        actor=owner, account=account, provider="minimax", secret=Secret(OWN_SECRET), origin=ORIGIN
    )
    with pytest.raises(KeyAlreadyExists):
        subscribed(owner, account)
    nothing_happened(account, plan_key, 50)


def test_without_a_key_in_stock_nobody_is_charged(owner, account):
    fund(account, 50)
    with pytest.raises(OutOfStock):
        subscribed(owner, account)
    nothing_happened(account, None, 50)


def test_a_balance_that_is_short_keeps_the_key_in_stock(owner, account, plan_key):
    fund(account, 19)
    with pytest.raises(NotEnough):
        subscribed(owner, account)
    nothing_happened(account, plan_key, 19)


def test_that_there_is_no_key_is_said_before_that_the_balance_is_short(owner, account):
    fund(account, 1)
    with pytest.raises(OutOfStock):
        subscribed(owner, account)


def test_a_frozen_balance_pays_for_nothing(owner, account, plan_key):
    fund(account, 50)
    Wallet.objects.filter(pk=account.pk).update(frozen_at=START, frozen_why="Looked at.")
    with pytest.raises(Frozen):
        subscribed(owner, account)
    nothing_happened(account, plan_key, 50)


def test_money_that_is_held_for_calls_does_not_subscribe(owner, account, plan_key):
    fund(account, 20)
    Wallet.objects.filter(pk=account.pk).update(held_micros=1)
    with pytest.raises(NotEnough):
        subscribed(owner, account)
    nothing_happened(account, plan_key, 20)


def test_a_plan_that_is_no_longer_offered_is_refused(owner, account, plan_key):
    fund(account, 50)
    plan = plan_plus()
    plan.active = False
    plan.save()
    with pytest.raises(NotOnSale):
        subscribed(owner, account)
    nothing_happened(account, plan_key, 50)


def test_one_subscribes_to_a_plan_once(owner, account, staff, subscription):
    stock(staff, 2)
    with pytest.raises(AlreadySubscribed):
        subscribed(owner, account)
    assert balance(account) == 30 * DOLLAR


def test_the_database_itself_knows_one_live_subscription_to_a_plan(subscription, staff):
    _, other = stock(staff, 2)
    with pytest.raises(IntegrityError), transaction.atomic():
        Subscription.objects.create(
            account_id=subscription.account_id,
            plan=subscription.plan,
            plan_key=other,
            terms_paid=1,
            renews_at=START,
            due_at=START,
            started_at=START,
        )


def test_a_key_in_stock_that_does_not_open_is_passed_over(owner, account, staff):
    broken, good = stock(staff, 1, 2)
    fund(account, 20)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_plankey SET secret = (SELECT secret FROM billing_plankey WHERE id = %s)"
            " WHERE id = %s",
            [_raw(good), _raw(broken)],
        )
    assert subscribed(owner, account).plan_key == good
    assert state_of(broken) == "available"


def _raw(key: PlanKey) -> str:
    """The id as the database has it."""
    return str(PlanKey._meta.pk.get_db_prep_value(key.pk, connection))


def test_cancelled_it_goes_on_until_its_period_ends(owner, account, subscription, plan_key):
    assert cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START + DAY)
    assert renew_due(START + 29 * DAY) == 0
    assert ProviderKey.objects.filter(account=account).exists()
    renew_due(START + 30 * DAY)
    subscription.refresh_from_db()
    assert (subscription.state, subscription.ended_why) == ("ended", "cancelled")
    assert not ProviderKey.objects.filter(account=account).exists()
    assert state_of(plan_key) == "to_revoke"
    assert balance(account) == 30 * DOLLAR
    assert told(account) == [
        "subscription.started",
        "subscription.cancelled",
        "subscription.ended",
    ]


def test_cancelling_twice_is_told_once(owner, account, subscription):
    assert cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    assert not cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    assert told(account) == ["subscription.started", "subscription.cancelled"]


def test_resumed_it_is_renewed(owner, account, subscription):
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START + DAY)
    assert resume(actor=owner, subscription=subscription, origin=ORIGIN)
    assert not resume(actor=owner, subscription=subscription, origin=ORIGIN)
    renew_due(START + 30 * DAY)
    subscription.refresh_from_db()
    assert (subscription.state, subscription.terms_paid) == ("active", 2)
    assert told(account) == [
        "subscription.started",
        "subscription.cancelled",
        "subscription.resumed",
        "subscription.renewed",
    ]


def test_what_has_ended_is_neither_cancelled_nor_resumed(owner, staff, subscription):
    end(actor=staff, subscription=subscription, origin=ORIGIN, now=START)
    with pytest.raises(SubscriptionGone):
        cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    with pytest.raises(SubscriptionGone):
        resume(actor=owner, subscription=subscription, origin=ORIGIN)


def test_after_it_ended_one_can_subscribe_again(owner, account, staff, subscription):
    end(actor=staff, subscription=subscription, origin=ORIGIN, now=START)
    stock(staff, 2)
    again = subscribed(owner, account, START + DAY)
    assert again.pk != subscription.pk
    assert balance(account) == 10 * DOLLAR


def test_a_stranger_changes_nothing(stranger, subscription):
    for change in (cancel, end):
        with pytest.raises(NotPermitted):
            change(actor=stranger, subscription=subscription, origin=ORIGIN, now=START)
    with pytest.raises(NotPermitted):
        resume(actor=stranger, subscription=subscription, origin=ORIGIN)


def test_the_owner_cannot_end_it_at_once_as_staff_can(owner, staff, subscription):
    with pytest.raises(NotPermitted):
        end(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    end(actor=staff, subscription=subscription, origin=ORIGIN, now=START)
    subscription.refresh_from_db()
    assert (subscription.state, subscription.ended_why) == ("ended", "staff")


# The key, in the hands of its account -------------------------------------------------------


def test_a_secret_of_ones_own_makes_the_key_an_ordinary_one(owner, account, subscription, plan_key):
    key = ProviderKey.objects.get(account=account)
    update_key(actor=owner, key=key, secret=Secret(OWN_SECRET), origin=ORIGIN)
    key.refresh_from_db()
    assert key.managed_by == ""
    assert state_of(plan_key) == "to_revoke"
    event = AuditEvent.objects.for_account(account.pk).order_by("sequence").last()
    assert event is not None
    assert (event.event, event.changed) == ("byok.key.updated", ["managed_by", "secret"])
    # Billing goes on, and what ends it leaves the key.
    renew_due(START + 30 * DAY)
    assert balance(account) == 10 * DOLLAR
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START + 31 * DAY)
    renew_due(START + 60 * DAY)
    key.refresh_from_db()
    assert key.secret.unseal().reveal() == OWN_SECRET
    subscription.refresh_from_db()
    assert subscription.state == "ended"
    assert state_of(plan_key) == "to_revoke"


def test_a_disabled_key_is_billed_and_goes_when_it_ends(owner, account, subscription, plan_key):
    key = ProviderKey.objects.get(account=account)
    set_enabled(actor=owner, key=key, enabled=False, origin=ORIGIN)
    renew_due(START + 30 * DAY)
    key.refresh_from_db()
    assert not key.enabled
    assert balance(account) == 10 * DOLLAR
    renew_due(START + 60 * DAY)
    renew_due(START + 70 * DAY)
    assert not ProviderKey.objects.filter(account=account).exists()
    assert state_of(plan_key) == "to_revoke"


def test_a_deleted_key_is_billed_and_what_took_its_place_stays(
    owner, account, subscription, plan_key
):
    delete_key(actor=owner, key=ProviderKey.objects.get(account=account), origin=ORIGIN)
    assert state_of(plan_key) == "claimed"
    own = add_key(
        actor=owner, account=account, provider="minimax", secret=Secret(OWN_SECRET), origin=ORIGIN
    )
    renew_due(START + 30 * DAY)
    assert balance(account) == 10 * DOLLAR
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START + 31 * DAY)
    renew_due(START + 60 * DAY)
    assert ProviderKey.objects.get(account=account) == own
    assert state_of(plan_key) == "to_revoke"


def test_a_deleted_organization_subscribes_to_nothing(owner, organization, staff, plan_key):
    fund(organization, 50)
    subscription = subscribed(owner, organization)
    delete_organization(actor=owner, account=organization, origin=ORIGIN)
    subscription.refresh_from_db()
    assert (subscription.state, subscription.ended_why) == ("ended", "abandoned")
    assert state_of(plan_key) == "to_revoke"
    [event] = AuditEvent.objects.filter(event="org.deleted")
    assert event.details["subscriptions"] == 1
    assert renew_due(START + 30 * DAY) == 0
    assert balance(organization) == 30 * DOLLAR


def test_without_its_audit_event_nobody_subscribes(owner, account, plan_key):
    fund(account, 50)
    refuse_events()
    with pytest.raises(DatabaseError):
        subscribed(owner, account)
    nothing_happened(account, plan_key, 50)


def test_the_wallet_is_taken_last_so_that_calls_do_not_wait_for_the_key(owner, account, plan_key):
    fund(account, 20)
    with CaptureQueriesContext(connection) as queries:
        subscribed(owner, account)
    written = [each["sql"] for each in queries]

    def first(beginning: str) -> int:
        return next(at for at, sql in enumerate(written) if sql.startswith(beginning))

    stored = first(f'INSERT INTO "{ProviderKey._meta.db_table}"')
    wallets = f'"{Wallet._meta.db_table}"'
    assert stored < first(f"UPDATE {wallets}")
    assert not any(wallets in sql and "FOR UPDATE" in sql for sql in written[:stored])
