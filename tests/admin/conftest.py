"""What staff find in the admin: at least one row of every model, and its secrets."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client, TestCase
from django.urls import reverse
from django.utils import timezone

from billing.models import AutoTopUp, Payment, PlanKey, Subscription, UsageRecord
from byok.actions import add_key
from byok.models import ChangeSet, KeyTest, ProviderKey
from byok.vault import Secret
from orgs.actions import create_token, invite
from orgs.admin.base import StaffAdmin
from orgs.models import Account, ApiToken, AuditEvent, Invitation, Membership, User
from orgs.origin import Origin
from tests.admin.forms import Form
from tests.billing.subscribing import fund, stock, stocked, subscribed
from tests.billing.wallets import Payer, credited
from tests.conftest import person
from tests.guarantees.canary import Canary
from tests.guarantees.conftest import broken_audit_log

__all__ = ["broken_audit_log"]

ORIGIN = Origin()


def registered() -> list[StaffAdmin]:
    return [listed for listed in admin.site._registry.values() if isinstance(listed, StaffAdmin)]


def name_of(listed: StaffAdmin) -> str:
    return f"{listed.opts.app_label}_{listed.opts.model_name}"


NAMES = sorted(name_of(listed) for listed in registered())
ADMINS = {name_of(listed): listed for listed in registered()}


def list_url(name: str) -> str:
    return reverse(f"admin:{name}_changelist")


def page_url(row: Model) -> str:
    return ADMINS[f"{row._meta.app_label}_{row._meta.model_name}"].page_of(row)


def text_of(answer: Any) -> str:  # Any: the test client's answers have a type of their own.
    return str(answer.content.decode())


def usage_of(account: Account, **values: object) -> UsageRecord:
    return UsageRecord(
        **{
            "account_id": account.pk,
            "endpoint": "messages",
            "status": 200,
            "outcome": "ok",
            "latency_ms": 1,
            "created_at": timezone.now(),
            **values,
        }
    )


def money_of(account: Account, user: User) -> UUID:
    """A balance, from which a call was paid and another is being; the id of that one."""
    credited(account.pk, 5_000_000)
    payer = Payer(account.pk, user.pk)
    payer.call(1_000, 700)
    return payer.reserve(2_000)


def paid_in(account: Account) -> None:
    """A payment that is on its way, and a card that is kept."""
    Payment.objects.create(
        account_id=account.pk, kind=Payment.Kind.CHECKOUT, amount_micros=25_000_000
    )
    AutoTopUp.objects.create(account_id=account.pk, card_label="Visa ···· 4242")


@dataclass(frozen=True)
class Found:
    """What there is of Acme, beside a change set of the catalogue."""

    canary: Canary
    key: ProviderKey
    test: KeyTest
    token: ApiToken
    token_text: str
    invitation: Invitation
    usage: UsageRecord
    plan_key: PlanKey
    subscription: Subscription
    request_id: UUID


@pytest.fixture
def acme(owner: User, organization: Account, staff: User) -> Found:
    canary = Canary()
    key = add_key(
        actor=owner,
        account=organization,
        provider="anthropic",
        secret=Secret(canary.text),
        origin=ORIGIN,
    )
    test = KeyTest.objects.create(key=key, requested_by=owner)
    token, text = create_token(actor=owner, account=organization, name="ci", origin=ORIGIN)
    invitation = invite(
        actor=owner, account=organization, email="new@example.com", role="member", origin=ORIGIN
    )
    usage = usage_of(organization, provider_key_id=key.pk)
    usage.save()
    ChangeSet.objects.create(source="novita", state="waiting", changes=[])
    stock(staff, 1)
    # Somebody's who has nothing to do with Acme.
    subscriber = person("subscriber")
    fund(subscriber.account, 20)
    subscription = subscribed(subscriber, subscriber.account)
    plan_key = stocked(staff, Secret(canary.text))
    paid = money_of(organization, owner)
    paid_in(organization)
    return Found(canary, key, test, token, text, invitation, usage, plan_key, subscription, paid)


@pytest.fixture
def platform(db: None) -> Account:
    return Account.objects.platform()


def member_of(account: Account, user: User) -> Membership:
    return Membership.objects.get(account=account, user=user)


@dataclass(frozen=True)
class Desk:
    """A member of staff in front of the admin; what they send is committed."""

    client: Client

    def do(self, action: str, *rows: Model, **data: str) -> str:
        """Choose `action` for the rows, confirm it, and read what came of it."""
        name = f"{rows[0]._meta.app_label}_{rows[0]._meta.model_name}"
        sent = {
            "action": action,
            "index": "0",
            "confirmed": "1",
            "_selected_action": [str(row.pk) for row in rows],
            **data,
        }
        return self.send(list_url(name), **sent)

    def shown(self, url: str) -> dict[str, list[str]]:
        """The fields of the form there, as they are."""
        return Form(text_of(self.client.get(url))).fields

    def fill(
        self, url: str, shown: dict[str, list[str]] | None = None, **typed: str | list[str]
    ) -> str:
        """Type these into the form, which was `shown` just now or before, and save it."""
        fields = self.shown(url) if shown is None else shown
        return self.send(url, **{**fields, **typed})

    def send(self, url: str, **data: object) -> str:
        with TestCase.captureOnCommitCallbacks(execute=True):
            answer = self.client.post(url, data, follow=True)
        assert answer.status_code in (200, 422), answer.status_code
        return text_of(answer)


@pytest.fixture
def desk(staff_client: Client) -> Desk:
    return Desk(staff_client)


def events() -> list[tuple[str, str, str]]:
    """Event, actor and account of all that was written so far."""
    return [
        (event.event, event.actor_label, str(event.account_id))
        for event in AuditEvent.objects.order_by("pk")
    ]
