"""S12, walked: each address that changes something writes one event with it, or nothing.

An address that is new fails here until it is listed: as one that changes what belongs to an
account, or as one that does not.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.usersessions.models import UserSession
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from byok.actions import add_key
from byok.models import KeyTest, ProviderKey
from byok.vault import Secret
from orgs.actions import create_token
from orgs.models import Account, ApiToken, AuditEvent, AuditHead, Membership, User
from orgs.origin import Origin
from tests.conftest import PASSWORD, signed_in

pytestmark = pytest.mark.django_db

KEPT: tuple[type[Model], ...] = (
    Account,
    ApiToken,
    AuditEvent,
    AuditHead,
    Authenticator,
    EmailAddress,
    KeyTest,
    Membership,
)
SECRET = "sk-ant-api03-sim-ok-0123456789abcdefghij"

# Any: what a form sends, as text.
Change = tuple[Client, str, dict[str, Any]]


def token_of(owner: User) -> ApiToken:
    return create_token(actor=owner, account=owner.account, name="ci", origin=Origin())[0]


def key_of(owner: User) -> ProviderKey:
    return add_key(
        actor=owner,
        account=owner.account,
        provider="anthropic",
        secret=Secret(SECRET),
        origin=Origin(),
    )


def on_key(name: str, /, **data: str) -> Callable[[User], Change]:
    return lambda owner: (
        signed_in(owner),
        reverse(f"byok:{name}", kwargs={"key_id": key_of(owner).pk}),
        data,
    )


def of_owner(name: str, /, **data: str) -> Callable[[User], Change]:
    return lambda owner: (signed_in(owner), reverse(name), data)


def revoking(owner: User) -> Change:
    return signed_in(owner), reverse("orgs:token_revoke", args=[token_of(owner).pk]), {}


def elsewhere(owner: User) -> UserSession:
    """Another browser in which the owner is signed in."""
    signed_in(owner).get(reverse("dashboard"))
    return UserSession.objects.latest("pk")


def ending_a_session(owner: User) -> Change:
    session = elsewhere(owner)
    return signed_in(owner), reverse("orgs:end_session", args=[session.pk]), {}


def ending_all_others(owner: User) -> Change:
    elsewhere(owner)
    return signed_in(owner), reverse("orgs:end_other_sessions"), {}


def with_second_factor(name: str) -> Callable[[User], Change]:
    def change(owner: User) -> Change:
        TOTP.activate(owner, generate_totp_secret())
        RecoveryCodes.activate(owner)
        return signed_in(owner), reverse(name), {}

    return change


def on_passkey(name: str, /, **data: str) -> Callable[[User], Change]:
    def change(owner: User) -> Change:
        passkey = Authenticator.objects.create(
            user=owner, type=Authenticator.Type.WEBAUTHN, data={"name": "Laptop", "credential": {}}
        )
        return signed_in(owner), reverse(name, args=[passkey.pk]), data

    return change


def signing_in(owner: User) -> Change:
    return Client(), reverse("account_login"), {"login": owner.email, "password": PASSWORD}


def signing_up(owner: User) -> Change:
    return (
        Client(),
        reverse("account_signup"),
        {"email": "new@example.com", "password1": "tulip-lantern-42"},
    )


CHANGES: dict[str, Callable[[User], Change]] = {
    "orgs:token_create": of_owner("orgs:token_create", name="ci"),
    "orgs:token_revoke": revoking,
    "orgs:rename": of_owner("orgs:rename", name="Another"),
    "orgs:end_session": ending_a_session,
    "orgs:end_other_sessions": ending_all_others,
    "byok:add": of_owner("byok:add", provider="anthropic", secret=SECRET),
    "byok:update": on_key("update", secret=SECRET + "2"),
    "byok:enabled": on_key("enabled", enabled="false"),
    "byok:reminder": on_key("reminder", remind_on="2099-01-01"),
    "byok:delete": on_key("delete"),
    "byok:test": on_key("test"),
    "account_login": signing_in,
    "account_logout": of_owner("account_logout"),
    "account_signup": signing_up,
    "account_change_password": of_owner(
        "account_change_password", oldpassword=PASSWORD, password1="tulip-lantern-42"
    ),
    "mfa_deactivate_totp": with_second_factor("mfa_deactivate_totp"),
    "mfa_generate_recovery_codes": with_second_factor("mfa_generate_recovery_codes"),
    "mfa_edit_webauthn": on_passkey("mfa_edit_webauthn", name="Phone"),
    "mfa_remove_webauthn": on_passkey("mfa_remove_webauthn"),
}

# Their change is the last step of several; tests/orgs/test_sign_in* look for its event.
LAST_STEPS = {
    "account_email",
    "account_email_verification_sent",
    "account_reset_password",
    "account_reset_password_from_key",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "mfa_authenticate",
    "mfa_login_webauthn",
}

# They change nothing that belongs to an account.
READS = {
    "account_inactive",
    "account_reauthenticate",
    "account_reset_password_done",
    "account_reset_password_from_key_done",
    "byok:details",
    "byok:keys",
    "byok:models",
    "byok:row",
    "dashboard",
    "docs",
    "docs_page",
    "healthz",
    "home",
    "mfa_download_recovery_codes",
    "mfa_index",
    "mfa_list_webauthn",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "mfa_view_recovery_codes",
    "orgs:activity",
    "orgs:activity_event",
    "orgs:profile",
    "orgs:tokens",
    "readyz",
    "status",
    "theme",
    "usersessions_list",
}


def addresses(resolver: URLResolver, namespace: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            assert pattern.name, f"{pattern} has no name"
            yield f"{namespace}{pattern.name}"
        else:
            inner = f"{pattern.namespace}:" if pattern.namespace else ""
            yield from addresses(pattern, f"{namespace}{inner}")


def test_every_address_is_listed_once():
    found = list(addresses(get_resolver()))
    listed = [*CHANGES, *LAST_STEPS, *READS]
    assert sorted(set(found)) == sorted(listed)


def everything() -> dict[str, list[object]]:
    """All that belongs to an account, and who is signed in where."""
    rows: dict[str, list[object]] = {
        model.__name__: list(model._default_manager.order_by("pk").values()) for model in KEPT
    }
    # Raw, as a sealed secret differs from itself; without what a mere visit changes.
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM byok_providerkey ORDER BY id")
        rows["ProviderKey"] = list(cursor.fetchall())
    rows["User"] = list(User.objects.order_by("pk").values("pk", "email", "name", "password"))
    rows["UserSession"] = list(UserSession.objects.order_by("pk").values_list("pk", flat=True))
    return rows


def refuse_events() -> None:
    """Have the database refuse every audit event, as a full disk or a bad migration would."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "CREATE TRIGGER refuse_events BEFORE INSERT ON orgs_auditevent"
                " BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        else:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(
                "ALTER TABLE orgs_auditevent ADD CONSTRAINT refuse_events CHECK (id < 0) NOT VALID"
            )


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_writes_one_event(owner, name):
    client, url, data = CHANGES[name](owner)
    client.get(url)  # The first page of a session also notes that there is one.
    before, events = everything(), AuditEvent.objects.count()
    response = client.post(url, data)
    assert response.status_code < 400
    assert AuditEvent.objects.count() == events + 1
    changed = {table for table, rows in everything().items() if rows != before[table]}
    assert changed >= {"AuditEvent", "AuditHead"}


@pytest.mark.parametrize("name", CHANGES)
def test_without_its_event_there_is_no_change(owner, name):
    client, url, data = CHANGES[name](owner)
    client.get(url)
    client.raise_request_exception = False
    refuse_events()
    before = everything()
    response = client.post(url, data)
    assert response.status_code == 500
    assert everything() == before
