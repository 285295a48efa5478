"""Plans, the keys in stock for them, and subscriptions, which are staff's to look after."""

import pytest
from django.urls import reverse

from billing.models import PlanKey, Subscription
from byok.models import ProviderKey
from orgs.models import AuditEvent
from tests.admin.conftest import Desk, Found, events, page_url, text_of
from tests.billing.subscribing import DOLLAR, plan_plus, plan_secret, stock

pytestmark = pytest.mark.django_db


def add_url() -> str:
    plan_plus()
    return reverse("admin:billing_plankey_add") + "?plan=token-plan-plus"


def told(before: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return events()[len(before) :]


def test_a_plan_is_chosen_before_keys_are_pasted(staff_client):
    plan_plus()
    page = text_of(staff_client.get(reverse("admin:billing_plankey_add")))
    assert 'href="?plan=token-plan-plus"' in page


def test_many_keys_are_added_at_once_and_told_without_any_part_of_them(desk: Desk, platform):
    before = events()
    pasted = "\n".join(["", plan_secret(1), f"  {plan_secret(2)} ", "", plan_secret(3)])
    page = desk.send(add_url(), secrets=pasted)
    assert "Token Plan Plus: 3 keys added to the stock." in page
    secrets = {key.secret.unseal().reveal() for key in PlanKey.objects.available()}
    assert secrets == {plan_secret(1), plan_secret(2), plan_secret(3)}
    assert told(before) == [("plan.keys_added", "staff@example.com", str(platform.pk))]
    event = AuditEvent.objects.latest("pk")
    assert event.details == {"keys": 3}
    assert "sk-cp" not in repr(AuditEvent.objects.values_list())


def test_a_key_that_was_in_stock_before_is_refused_by_its_line(desk: Desk, staff):
    stock(staff, 2)
    page = desk.send(add_url(), secrets=f"{plan_secret(1)}\n{plan_secret(2)}\n{plan_secret(1)}")
    assert "In stock already, or before, or twice here: 2, 3." in page
    assert PlanKey.objects.count() == 1
    assert plan_secret(1) not in page


def test_what_is_no_such_key_is_named_by_its_line_and_saved_if_staff_insist(desk: Desk):
    pasted = f"{plan_secret(1)}\nsk-ant-api03-sim-ok-0123456789abcdefghij"
    page = desk.send(add_url(), secrets=pasted)
    assert "Line 2: This looks like an Anthropic key, not a MiniMax one." in page
    assert not PlanKey.objects.exists()
    page = desk.send(add_url(), secrets="sk cp broken inside")
    assert "Line 1: " in page
    desk.send(add_url(), secrets=pasted, insist="on")
    assert PlanKey.objects.count() == 2


def test_a_key_is_taken_out_of_stock_and_then_noted_as_revoked(desk: Desk, staff):
    [key] = stock(staff, 1)
    before = events()
    assert "cannot" not in desk.do("withdraw", key)
    key.refresh_from_db()
    assert (key.state, key.secret) == ("to_revoke", None)
    desk.do("revoked", key)
    key.refresh_from_db()
    assert key.state == "revoked"
    assert [event for event, *_ in told(before)] == ["plan.key_withdrawn", "plan.key_revoked"]
    # It cannot come back.
    assert "In stock already" in desk.send(add_url(), secrets=plan_secret(1))


def test_a_key_that_somebody_has_is_not_taken_out_of_stock(desk: Desk, acme: Found):
    key = acme.subscription.plan_key
    before = events()
    page = desk.do("withdraw", key)
    assert "nothing was changed. It is handed out by now." in page
    desk.do("revoked", key)
    key.refresh_from_db()
    assert key.state == "claimed"
    assert told(before) == []


def test_a_plan_changes_for_the_next_period_and_tells_what_it_was(desk: Desk, platform):
    plan = plan_plus()
    before = events()
    desk.fill(page_url(plan), price_micros="25.50", period_days="31")
    plan.refresh_from_db()
    assert (plan.price_micros, plan.period_days) == (25_500_000, 31)
    assert told(before) == [("plan.changed", "staff@example.com", str(platform.pk))]
    event = AuditEvent.objects.latest("pk")
    assert event.changed == ["period_days", "price_micros"]
    assert event.details["previous_price_micros"] == 20 * DOLLAR


@pytest.mark.parametrize("price", ["", "0", "-1", "free", "1.2345678"])
def test_a_plan_costs_something(desk: Desk, price):
    plan = plan_plus()
    before = events()
    desk.fill(page_url(plan), price_micros=price)
    plan.refresh_from_db()
    assert plan.price_micros == 20 * DOLLAR
    assert told(before) == []


def test_two_who_change_different_things_of_a_plan_both_do(desk: Desk):
    plan = plan_plus()
    shown = desk.shown(page_url(plan))
    desk.fill(page_url(plan), price_micros="25")
    desk.fill(page_url(plan), shown, summary="MiniMax at a flat price.")
    plan.refresh_from_db()
    assert (plan.price_micros, plan.summary) == (25 * DOLLAR, "MiniMax at a flat price.")


def test_staff_end_a_subscription_and_its_account_is_told(desk: Desk, acme: Found):
    before = events()
    page = desk.do("end", acme.subscription)
    assert "Token Plan Plus: ended." in page
    subscription = Subscription.objects.get(pk=acme.subscription.pk)
    assert (subscription.state, subscription.ended_why) == ("ended", "staff")
    assert not ProviderKey.objects.filter(account_id=subscription.account_id).exists()
    assert told(before) == [
        ("subscription.ended", "staff@example.com", str(subscription.account_id))
    ]
    assert "has ended already" in desk.do("end", acme.subscription)
