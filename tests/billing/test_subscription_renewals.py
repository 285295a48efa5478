"""Subscriptions over time: renewed once a period, past due, given days of grace, ended."""

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.urls import reverse

from billing.ledger import NotEnough
from billing.models import LedgerEntry, PlanKey, Subscription, SubscriptionTerm, Wallet
from billing.subscriptions.actions import GRACE, cancel, pay_now
from billing.subscriptions.letters import tell_of_subscriptions
from billing.subscriptions.renewing import renew_due
from billing.subscriptions.stock import change_plan
from billing.tasks import renew_subscriptions
from byok.actions import add_key, delete_key, update_key
from byok.models import ProviderKey
from byok.vault import Secret
from orgs.actions import close_user
from orgs.models import Account, AuditEvent, User
from tests.billing.subscribing import (
    DAY,
    DOLLAR,
    ORIGIN,
    START,
    balance,
    fund,
    plan_plus,
    stock,
    subscribed,
)

pytestmark = pytest.mark.django_db

END = START + 30 * DAY


@pytest.fixture
def plan_key(staff) -> PlanKey:
    [key] = stock(staff, 1)
    return key


@pytest.fixture
def subscription(owner, account, plan_key) -> Subscription:
    """Of the owner, who has nothing left after paying for the first period."""
    fund(account, 20)
    return subscribed(owner, account)


def now_of(subscription: Subscription) -> tuple[str, int]:
    subscription.refresh_from_db()
    return subscription.state, subscription.terms_paid


def reprice(staff: User, **values: str | int | bool | None) -> None:
    change_plan(actor=staff, plan=plan_plus(), values=values, origin=ORIGIN)


def test_it_is_renewed_when_its_period_ends_and_not_before(account, subscription):
    fund(account, 60)
    assert renew_due(END - DAY / 24) == 0
    assert renew_due(END) == 1
    assert now_of(subscription) == ("active", 2)
    assert subscription.renews_at == END + 30 * DAY
    assert balance(account) == 40 * DOLLAR


def test_a_renewal_run_again_charges_nothing(account, subscription):
    fund(account, 60)
    for _ in range(3):
        renew_due(END + DAY)
    assert now_of(subscription) == ("active", 2)
    assert LedgerEntry.objects.filter(kind="subscription").count() == 2


def test_a_run_that_has_no_time_left_leaves_the_rest_to_the_next(account, subscription):
    fund(account, 60)
    assert renew_due(END, seconds=-1) == 0
    assert now_of(subscription) == ("active", 1)
    assert renew_due(END) == 1
    assert now_of(subscription) == ("active", 2)


def test_periods_follow_each_other_although_the_clock_is_late(account, subscription):
    fund(account, 60)
    renew_due(END + 3 * DAY)
    term = SubscriptionTerm.objects.latest("pk")
    assert (term.starts_at, term.ends_at) == (END, END + 30 * DAY)


def test_for_the_days_that_no_clock_ran_nobody_pays(account, subscription):
    fund(account, 60)
    late = END + 40 * DAY
    renew_due(late)
    renew_due(late)
    term = SubscriptionTerm.objects.latest("pk")
    assert (term.number, term.starts_at, term.ends_at) == (2, late, late + 30 * DAY)
    assert balance(account) == 40 * DOLLAR


def test_another_price_and_length_count_from_the_next_period_on(account, staff, subscription):
    fund(account, 60)
    reprice(staff, price_micros=25 * DOLLAR, period_days=10)
    subscription.refresh_from_db()
    assert subscription.renews_at == END
    assert balance(account) == 60 * DOLLAR
    renew_due(END)
    assert [(term.price_micros, (term.ends_at - term.starts_at).days) for term in _terms()] == [
        (20 * DOLLAR, 30),
        (25 * DOLLAR, 10),
    ]
    assert balance(account) == 35 * DOLLAR
    # And one that nobody can subscribe to any more goes on for those who have.
    reprice(staff, active=False)
    renew_due(END + 10 * DAY)
    assert now_of(subscription) == ("active", 3)


def _terms() -> list[SubscriptionTerm]:
    return list(SubscriptionTerm.objects.order_by("number"))


def test_past_due_it_is_tried_every_day_and_ends_after_the_days_of_grace(
    account, subscription, plan_key
):
    tries = [day for day in range(12) if renew_due(END + day * DAY)]
    assert tries == list(range(GRACE.days + 1))
    assert now_of(subscription) == ("ended", 1)
    assert subscription.ended_why == "unpaid"
    assert subscription.ended_at == END + GRACE
    assert balance(account) == 0
    assert not ProviderKey.objects.filter(account=account).exists()
    plan_key.refresh_from_db()
    assert plan_key.state == "to_revoke"
    told = AuditEvent.objects.for_account(account.pk).filter(event__startswith="subscription.")
    assert [(each.event, each.actor_label) for each in told.order_by("sequence")] == [
        ("subscription.started", "owner@example.com"),
        ("subscription.past_due", "MegaBrain"),
        ("subscription.ended", "MegaBrain"),
    ]


def test_within_the_days_of_grace_the_key_works_and_money_mends_it(account, subscription):
    renew_due(END)
    assert now_of(subscription) == ("past_due", 1)
    assert ProviderKey.objects.filter(account=account, enabled=True).exists()
    fund(account, 20)
    renew_due(END + DAY / 2)
    assert now_of(subscription) == ("past_due", 1)
    renew_due(END + DAY)
    assert now_of(subscription) == ("active", 2)
    # The days of grace were not for free.
    assert subscription.renews_at == END + 30 * DAY
    assert subscription.past_due_since is None


@pytest.mark.parametrize("late", [GRACE - DAY / 24, GRACE])
@pytest.mark.parametrize("began", [END, END + GRACE])
def test_paid_on_the_last_day_of_grace_the_period_still_follows_the_last_one(
    owner, account, subscription, began, late
):
    """Also where the clock was late, and the days of grace began after the period's end."""
    renew_due(began)
    fund(account, 20)
    assert pay_now(actor=owner, subscription=subscription, origin=ORIGIN, now=began + late)
    term = SubscriptionTerm.objects.latest("pk")
    assert (term.starts_at, term.ends_at) == (END, END + 30 * DAY)


def test_for_days_that_no_clock_ran_nobody_pays_who_was_short_when_it_did(
    owner, account, subscription
):
    late = END + 40 * DAY
    renew_due(late)
    fund(account, 40)
    pay_now(actor=owner, subscription=subscription, origin=ORIGIN, now=late + 2 * DAY)
    renew_due(late + 2 * DAY)
    term = SubscriptionTerm.objects.latest("pk")
    assert (term.number, term.starts_at) == (2, late)


def test_whoever_has_paid_in_need_not_wait_for_the_next_try(owner, account, subscription):
    renew_due(END)
    later = END + DAY / 4
    with pytest.raises(NotEnough):
        pay_now(actor=owner, subscription=subscription, origin=ORIGIN, now=later)
    fund(account, 20)
    assert pay_now(actor=owner, subscription=subscription, origin=ORIGIN, now=later)
    assert not pay_now(actor=owner, subscription=subscription, origin=ORIGIN, now=later)
    assert now_of(subscription) == ("active", 2)
    renew_due(END + DAY)
    assert balance(account) == 0
    assert now_of(subscription) == ("active", 2)


def test_cancelled_while_past_due_it_ends_at_once(owner, account, subscription):
    renew_due(END)
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=END + DAY)
    assert now_of(subscription) == ("ended", 1)
    assert subscription.ended_why == "cancelled"
    assert not ProviderKey.objects.filter(account=account).exists()


def freeze(account: Account) -> None:
    Wallet.objects.filter(pk=account.pk).update(frozen_at=END, frozen_why="Looked at.")


def thaw(account: Account) -> None:
    Wallet.objects.filter(pk=account.pk).update(frozen_at=None, frozen_why="")


def test_a_frozen_balance_is_waited_for_and_charged_when_it_thaws(account, subscription):
    """It may be that it could pay: nobody loses a subscription because staff look at it."""
    fund(account, 20)
    freeze(account)
    assert [day for day in range(10) if renew_due(END + day * DAY)] == list(range(10))
    assert now_of(subscription) == ("active", 1)
    assert subscription.past_due_since is None
    assert tell_of_subscriptions() == 0
    assert balance(account) == 20 * DOLLAR
    thaw(account)
    renew_due(END + 10 * DAY)
    assert now_of(subscription) == ("active", 2)
    assert balance(account) == 0


def test_what_is_past_due_does_not_end_while_the_balance_is_frozen(account, subscription):
    renew_due(END)
    fund(account, 20)
    freeze(account)
    for day in range(1, 10):
        renew_due(END + day * DAY)
    assert now_of(subscription) == ("past_due", 1)
    assert subscription.past_due_since == END
    thaw(account)
    renew_due(END + 10 * DAY)
    assert now_of(subscription) == ("active", 2)


def test_that_a_renewal_waits_is_on_the_page(owner_client, account, subscription):
    freeze(account)
    renew_due(END)
    page = owner_client.get(reverse("billing:subscriptions")).content.decode()
    assert "Waits until MegaBrain has looked at the balance" in page


def test_it_ends_where_nobody_is_left_to_pay_for_it(owner, account, staff, subscription):
    fund(account, 20)
    close_user(actor=staff, user=owner, origin=ORIGIN)
    renew_due(END)
    assert now_of(subscription) == ("ended", 1)
    assert subscription.ended_why == "abandoned"
    assert balance(account) == 20 * DOLLAR


def test_one_that_cannot_be_renewed_keeps_no_other_waiting(
    owner, account, stranger, staff, plan_key
):
    stock(staff, 2)
    fund(account, 40)
    fund(stranger.account, 40)
    first = subscribed(owner, account)
    second = subscribed(stranger, stranger.account)
    # Somebody has used the very key under which the first is going to pay.
    LedgerEntry.objects.create(
        account_id=staff.account.pk,
        number=1,
        kind="grant",
        amount_micros=1,
        balance_micros=1,
        idempotency_key=f"subscription:{first.pk}:2",
    )
    assert renew_due(END) == 1
    assert now_of(first) == ("active", 1)
    assert now_of(second) == ("active", 2)


def test_the_clock_itself_renews_what_is_due(account, subscription):
    fund(account, 20)
    # It began in the past, so its period is over by now.
    renew_subscriptions()
    assert now_of(subscription) == ("active", 2)


# Letters ------------------------------------------------------------------------------------


def test_who_pays_is_told_that_it_is_past_due_and_that_it_ended(
    account, subscription, mailoutbox, settings
):
    assert tell_of_subscriptions() == 0
    renew_due(END)
    assert tell_of_subscriptions() == 1
    assert tell_of_subscriptions() == 0
    [letter] = mailoutbox
    assert letter.to == ["owner@example.com"]
    assert letter.subject == "Token Plan Plus could not be renewed"
    assert "renewed for $20.00, and the balance has $0.00" in letter.body
    assert "7 April 2026" in letter.body
    assert f"{settings.MEGABRAIN_BASE_URL}/account/subscriptions/" in letter.body
    renew_due(END + DAY)
    assert tell_of_subscriptions() == 0
    renew_due(END + GRACE)
    assert tell_of_subscriptions() == 1
    assert mailoutbox[-1].subject == "Token Plan Plus has ended"
    assert "the balance did not pay for its renewal" in mailoutbox[-1].body
    assert "The MiniMax key that came with it is gone." in mailoutbox[-1].body


def test_the_letter_speaks_of_a_key_that_went_alone(owner, account, subscription, mailoutbox):
    """Whoever deleted it knows, and may have put one of their own in its place."""
    cancel(actor=owner, subscription=subscription, origin=ORIGIN, now=START)
    own = Secret("sk-api-sim-ok-0123456789abcdefghijklmnop")
    delete_key(actor=owner, key=ProviderKey.objects.get(account=account), origin=ORIGIN)
    renew_due(END)
    tell_of_subscriptions()
    assert "key" not in mailoutbox[-1].body
    add_key(actor=owner, account=account, provider="minimax", secret=own, origin=ORIGIN)
    Subscription.objects.filter(pk=subscription.pk).update(untold=True)
    tell_of_subscriptions()
    assert "Your own MiniMax key stays." in mailoutbox[-1].body
    assert "is gone" not in mailoutbox[-1].body


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_past_due_the_letter_speaks_of_no_key_that_the_plan_does_not_manage(
    owner, account, subscription, mailoutbox, replaced
):
    key = ProviderKey.objects.get(account=account)
    own = Secret("sk-api-sim-ok-0123456789abcdefghijklmnop")
    if replaced:
        update_key(actor=owner, key=key, secret=own, origin=ORIGIN)
    else:
        delete_key(actor=owner, key=key, origin=ORIGIN)
    renew_due(END)
    tell_of_subscriptions()
    [letter] = mailoutbox
    for body in (letter.body, letter.alternatives[0][0]):
        assert "MegaBrain tries again every day until 7 April 2026" in body
        assert "works on" not in body
        assert "is gone" not in body
        assert ("own MiniMax key stays." in body) is replaced


def test_past_due_and_frozen_the_letter_names_no_day_on_which_it_ends(
    account, subscription, mailoutbox
):
    renew_due(END)
    freeze(account)
    tell_of_subscriptions()
    [letter] = mailoutbox
    for body in (letter.body, letter.alternatives[0][0]):
        assert "Until then the subscription does not end, and its MiniMax key works on." in body
        assert "7 April" not in body


def test_what_was_mended_before_anybody_was_told_is_not_told(account, subscription, mailoutbox):
    renew_due(END)
    fund(account, 20)
    renew_due(END + DAY)
    assert tell_of_subscriptions() == 0
    assert mailoutbox == []


def test_all_who_manage_billing_of_an_organization_are_told(
    owner, billing_manager, organization, plan_key, mailoutbox
):
    fund(organization, 20)
    subscribed(owner, organization)
    renew_due(END)
    tell_of_subscriptions()
    assert sorted(letter.to[0] for letter in mailoutbox) == [
        "billing_manager@example.com",
        "owner@example.com",
    ]
    assert all("of Acme" in letter.subject for letter in mailoutbox)


class NoMail(BaseEmailBackend):
    """A mail server that is away."""

    def send_messages(self, email_messages: object) -> int:
        raise ConnectionRefusedError


def test_a_letter_that_could_not_be_sent_is_sent_by_the_next_run(
    subscription, mailoutbox, settings
):
    renew_due(END)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = f"{__name__}.NoMail"
    assert tell_of_subscriptions() == 0
    settings.EMAIL_BACKEND = working
    assert tell_of_subscriptions() == 1
    assert len(mailoutbox) == 1
