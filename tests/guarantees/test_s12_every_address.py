"""S12, walked: each address that changes something writes one event with it, or nothing.

An address that is new fails here until it is listed: as one that changes what belongs to an
account, or as one that does not. So does a new thing that staff can do to a row.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client
from django.urls import reverse

from orgs.models import Account, AuditEvent, User
from tests.conftest import PASSWORD, signed_in
from tests.fake_stripe import FakeStripe
from tests.guarantees.addresses import (
    SECRET,
    World,
    addresses,
    everything,
    registered,
)
from tests.guarantees.conftest import refuse_events

pytestmark = pytest.mark.django_db

ADDRESSES = {address.route: address for address in addresses()}
Data = dict[str, Any]  # Any: what a form sends.


def nothing(world: World) -> None:
    """There is nothing to prepare."""


def by_owner(world: World) -> Client:
    return signed_in(world.owner)


@dataclass(frozen=True)
class Change:
    """What is sent, by whom, and after what."""

    data: Data = field(default_factory=dict)
    by: Callable[[World], Client] = by_owner
    after: Callable[[World], Any] = nothing


def another_session(world: World) -> None:
    world.session()


def second_factor(world: World) -> None:
    TOTP.activate(world.owner, generate_totp_secret())
    RecoveryCodes.activate(world.owner)


def by_staff(world: World) -> Client:
    return signed_in(world.staff)


NEW_PASSWORD = "tulip-lantern-42"
NO_LIMITS = {"allowed_models": [], "token_requests_per_minute": ""}

#: Pages that every account has.
OF_EACH_ACCOUNT = {
    "tokens/create/": Change({"name": "ci"}),
    "tokens/<uuid:id>/spending/": Change({"monthly_limit": "5"}),
    "tokens/<uuid:id>/revoke/": Change(),
    "billing/alert/": Change({"below": "5"}),
    "byok/add/": Change({"provider": "anthropic", "secret": SECRET}),
    "byok/<uuid:key_id>/update/": Change({"secret": SECRET + "2"}),
    "byok/<uuid:key_id>/enabled/": Change({"enabled": "false"}),
    "byok/<uuid:key_id>/disable/": Change(),
    "byok/<uuid:key_id>/reminder/": Change({"remind_on": "2099-01-01"}),
    "byok/<uuid:key_id>/failure/": Change({"on_failure": "balance"}),
    "byok/<uuid:key_id>/delete/": Change(),
    "byok/<uuid:key_id>/test/": Change(),
    "billing/credits/": Change({"amount": "25"}),
    "billing/auto-top-up/": Change(
        {
            "card": "pm_good",
            "below": "5",
            "amount": "20",
            "monthly_cap": "100",
            "agreed": "on",
        },
        after=World.keep_cards,
    ),
    "billing/auto-top-up/off/": Change(after=World.top_up_by_itself),
    "billing/auto-top-up/card/remove/": Change(after=World.keep_cards),
    "subscriptions/<slug:plan>/subscribe/": Change(
        {"price_micros": "20000000", "period_days": "30"}
    ),
    "subscriptions/<uuid:id>/cancel/": Change(),
    "subscriptions/<uuid:id>/resume/": Change(after=World.cancelled),
    "subscriptions/<uuid:id>/pay/": Change(after=World.past_due),
}

CHANGES: dict[str, Change] = {
    **{f"account/{route}": change for route, change in OF_EACH_ACCOUNT.items()},
    **{f"orgs/<slug:slug>/{route}": change for route, change in OF_EACH_ACCOUNT.items()},
    "account/activity/export/": Change({"format": "csv"}),
    "orgs/<slug:slug>/audit/export/": Change({"format": "json"}),
    "account/profile/name/": Change({"name": "Another"}),
    "account/profile/sessions/<int:id>/end/": Change(),
    "account/profile/sessions/end/": Change(after=another_session),
    "orgs/new/": Change({"name": "Another", "slug": "another"}),
    "orgs/<slug:slug>/leave/": Change(by=lambda world: signed_in(world.member)),
    "orgs/<slug:slug>/members/invite/": Change({"emails": "new@example.com", "role": "member"}),
    "orgs/<slug:slug>/members/<uuid:id>/role/": Change({"role": "owner"}),
    "orgs/<slug:slug>/members/<uuid:id>/limit/": Change({"requests_per_minute": "7"}),
    "orgs/<slug:slug>/members/spending/": Change({"daily_limit": "5"}),
    "orgs/<slug:slug>/members/<uuid:id>/spending/": Change({"daily_limit": "5"}),
    "orgs/<slug:slug>/members/<uuid:id>/remove/": Change(),
    "orgs/<slug:slug>/members/<uuid:id>/tokens/<uuid:token>/revoke/": Change(),
    "orgs/<slug:slug>/members/invitations/<uuid:id>/resend/": Change(),
    "orgs/<slug:slug>/members/invitations/<uuid:id>/revoke/": Change(),
    "orgs/<slug:slug>/settings/": Change({"name": "Another", "slug": "acme"}),
    "orgs/<slug:slug>/settings/limits/": Change({**NO_LIMITS, "member_requests_per_minute": "60"}),
    "orgs/<slug:slug>/settings/delete/": Change({"confirmation": "acme"}),
    "invitations/<str:token>/": Change(by=lambda world: signed_in(world.invited)),
    "accounts/login/": Change(
        {"login": "owner@example.com", "password": PASSWORD}, by=lambda world: Client()
    ),
    "accounts/logout/": Change(),
    "accounts/signup/": Change(
        {"email": "new@example.com", "password1": NEW_PASSWORD}, by=lambda world: Client()
    ),
    "accounts/password/change/": Change({"oldpassword": PASSWORD, "password1": NEW_PASSWORD}),
    "accounts/2fa/app/deactivate/": Change(after=second_factor),
    "accounts/2fa/recovery-codes/generate/": Change(after=second_factor),
    "accounts/passkeys/<int:pk>/rename/": Change({"name": "Phone"}),
    "accounts/passkeys/<int:pk>/remove/": Change(),
}

#: Their change is the last step of several; tests/orgs/test_sign_in* look for its event.
LAST_STEPS = {
    f"accounts/{route}"
    for route in (
        "email/",
        "confirm-email/",
        "password/reset/",
        "^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        "2fa/app/activate/",
        "2fa/authenticate/",
        "passkeys/add/",
        "passkeys/login/",
    )
}

#: They change nothing that belongs to an account.
READS = {
    "",
    "account/activity/",
    "account/activity/<int:sequence>/",
    "account/billing/",
    "account/billing/export/",
    "account/byok/",
    "account/byok/<uuid:key_id>/details/",
    "account/byok/<uuid:key_id>/row/",
    "account/byok/models/<slug:provider>/",
    "account/byok/route/",
    "account/billing/payments/",
    "account/billing/payments/<uuid:id>/",
    "account/billing/payments/<uuid:id>/checkout/",
    "account/profile/",
    "account/subscriptions/",
    "account/tokens/",
    "account/usage/",
    "account/usage/<uuid:request_id>/",
    "account/usage/export/",
    "accounts/2fa/",
    "accounts/2fa/reauthenticate/",
    "accounts/2fa/recovery-codes/",
    "accounts/2fa/recovery-codes/download/",
    "accounts/inactive/",
    "accounts/passkeys/",
    "accounts/passkeys/reauthenticate/",
    "accounts/password/reset/done/",
    "accounts/password/reset/sent/",
    "accounts/reauthenticate/",
    "accounts/sessions/",
    "dashboard/",
    "models/",
    "models/<path:id>",
    "docs/",
    "docs/<slug:slug>/",
    "healthz",
    "orgs/<slug:slug>/",
    "orgs/<slug:slug>/audit/",
    "orgs/<slug:slug>/audit/<int:sequence>/",
    "orgs/<slug:slug>/billing/",
    "orgs/<slug:slug>/billing/export/",
    "orgs/<slug:slug>/byok/",
    "orgs/<slug:slug>/byok/<uuid:key_id>/details/",
    "orgs/<slug:slug>/byok/<uuid:key_id>/row/",
    "orgs/<slug:slug>/byok/models/<slug:provider>/",
    "orgs/<slug:slug>/byok/route/",
    "orgs/<slug:slug>/billing/payments/",
    "orgs/<slug:slug>/billing/payments/<uuid:id>/",
    "orgs/<slug:slug>/billing/payments/<uuid:id>/checkout/",
    "orgs/<slug:slug>/members/",
    "orgs/<slug:slug>/members/<uuid:id>/",
    "orgs/<slug:slug>/subscriptions/",
    "orgs/<slug:slug>/tokens/",
    "orgs/<slug:slug>/usage/",
    "orgs/<slug:slug>/usage/<uuid:request_id>/",
    "orgs/<slug:slug>/usage/export/",
    "readyz",
    "status/",
    "theme/",
    # What it changes is in test_s24.
    "webhooks/stripe/",
}

#: What staff can do to rows of a list. tests/admin/ has its effects, and the platform's own keys
#: and the catalogue.
OF_STAFF = {
    ("user", "close"): nothing,
    ("user", "reopen"): World.close_member,
    ("membership", "make_owner"): nothing,
    ("membership", "make_billing_manager"): nothing,
    ("membership", "make_member"): World.promote_member,
    ("membership", "remove"): nothing,
    ("invitation", "revoke"): nothing,
    ("apitoken", "revoke"): nothing,
    ("providerkey", "disable"): nothing,
    ("providerkey", "test"): nothing,
    ("plankey", "withdraw"): nothing,
    ("plankey", "revoked"): World.withdrawn,
    ("subscription", "end"): nothing,
    ("wallet", "freeze"): nothing,
    ("wallet", "unfreeze"): World.frozen,
    ("autotopup", "turn_off"): World.topping_up,
}
#: For the platform's keys alone, what changes nothing, and what tests/admin/ walks.
OF_STAFF_ELSEWHERE = {
    ("providerkey", "enable"),
    ("providerkey", "delete"),
    ("account", "verify"),
    ("audithead", "verify"),
    ("catalogmodel", "restore"),
    ("catalogmodel", "remove"),
    ("offering", "enable"),
    ("offering", "disable"),
    ("offering", "retire"),
    ("offering", "bring_back"),
    ("offering", "restore"),
    ("offering", "remove"),
    ("price", "remove"),
    ("changeset", "apply"),
    ("changeset", "dismiss"),
    ("cataloguesource", "ask"),
}
ADMIN_CHANGES = {
    "admin/billing/wallet/add/",
    "admin/billing/plan/<path:object_id>/change/",
    "admin/billing/plankey/add/",
    "admin/byok/cataloguesource/refresh/",
    "admin/byok/catalogmodel/add/",
    "admin/byok/catalogmodel/reload/",
    "admin/byok/catalogmodel/<path:object_id>/change/",
    "admin/byok/offering/add/",
    "admin/byok/offering/<path:object_id>/change/",
    "admin/byok/price/add/",
    "admin/byok/price/<path:object_id>/change/",
    "admin/byok/providerkey/add/",
    "admin/byok/providerkey/<path:object_id>/secret/",
}
ADMIN_READS = {
    "admin/",
    "admin/login/",
    "admin/logout/",
    "admin/password_change/",
    "admin/jsi18n/",
    "admin/<slug:app_label>/",
}


def test_every_address_is_listed_once():
    of_rows = {
        f"admin/{model._meta.app_label}/{model._meta.model_name}/{rest}"
        for model in registered()
        for rest in ("", "<path:object_id>/change/")
    }
    listed = [*CHANGES, *LAST_STEPS, *READS, *ADMIN_CHANGES, *ADMIN_READS]
    assert sorted(ADDRESSES) == sorted({*listed, *of_rows})
    assert len(set(listed)) == len(listed)


def test_everything_that_staff_can_do_to_a_row_is_listed_once():
    found = {
        (str(model._meta.model_name), action)
        for model, listed in registered().items()
        for action in listed.actions or ()
    }
    assert found == {*OF_STAFF, *OF_STAFF_ELSEWHERE}
    assert not OF_STAFF_ELSEWHERE & set(OF_STAFF)


@pytest.fixture
def world(
    owner: User, organization: Account, member: User, staff: User, stripe: FakeStripe
) -> World:
    return World(owner, organization, member, staff)


Sent = tuple[Client, str, Data]


def prepared(world: World, route: str) -> Sent:
    """The change as it is sent: by whom, where to, and what."""
    change = CHANGES[route]
    change.after(world)
    return change.by(world), world.url(ADDRESSES[route]), change.data


def prepared_by_staff(world: World, model: str, action: str) -> Sent:
    OF_STAFF[model, action](world)
    [listed] = [each for each in registered() if each._meta.model_name == model]
    chosen = {"action": action, "index": "0", "confirmed": "1"}
    url = reverse(f"admin:{listed._meta.app_label}_{model}_changelist")
    return by_staff(world), url, {**chosen, "_selected_action": [str(world.row(model))]}


def writes_one_event(sent: Sent, *, alone: bool) -> None:
    client, url, data = sent
    client.get(url)  # The first page of a session also notes that there is one.
    before = everything()
    last = AuditEvent.objects.latest("pk").pk
    response = client.post(url, data)
    assert response.status_code < 400, getattr(response, "content", b"").decode()
    # One in each account that it concerns, which is one but where a person is in several.
    written = list(AuditEvent.objects.filter(pk__gt=last).values_list("account_id", flat=True))
    assert written
    assert len(set(written)) == len(written)
    changed = {table for table, rows in everything().items() if rows != before[table]}
    assert changed >= {"AuditEvent", "AuditHead"}
    assert alone or changed > {"AuditEvent", "AuditHead"}, "an event without a change"


def changes_nothing_without_it(sent: Sent) -> None:
    client, url, data = sent
    client.get(url)
    client.raise_request_exception = False
    refuse_events()
    before = everything()
    response = client.post(url, data)
    assert response.status_code == 500
    assert everything() == before


@pytest.mark.parametrize("route", CHANGES)
def test_a_change_writes_one_event(world, route):
    # Of an export, and of a sign-in or sign-out, the event is all that there is to keep.
    alone = "export" in route or route in {"accounts/login/", "accounts/logout/"}
    writes_one_event(prepared(world, route), alone=alone)


@pytest.mark.parametrize("route", CHANGES)
def test_without_its_event_there_is_no_change(world, route):
    changes_nothing_without_it(prepared(world, route))


@pytest.mark.parametrize(("model", "action"), OF_STAFF)
def test_a_change_by_staff_writes_one_event(world, model, action):
    writes_one_event(prepared_by_staff(world, model, action), alone=False)


@pytest.mark.parametrize(("model", "action"), OF_STAFF)
def test_without_its_event_there_is_no_change_by_staff(world, model, action):
    changes_nothing_without_it(prepared_by_staff(world, model, action))
