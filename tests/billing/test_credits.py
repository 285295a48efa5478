"""Credit that staff grant, and balances that they freeze and unfreeze."""

import io

import pytest
from django.core.management import CommandError, call_command

from billing.actions import (
    KeyReused,
    NotEnough,
    TooMuch,
    UnusableKey,
    freeze,
    grant_credit,
    take_credit,
    unfreeze,
)
from billing.ledger import MOST_MICROS
from billing.models import LedgerEntry, Wallet
from byok.actions import AccountGone
from orgs.actions import delete_organization
from orgs.models import Account, AuditEvent
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.billing.wallets import Payer, credited, wallet_of
from tests.guarantees.conftest import refuse_events

pytestmark = pytest.mark.django_db

ORIGIN = Origin("192.0.2.1", "tests", "1")


def grant(actor, account: Account, micros: int = 20_000_000, key: str = "k", note: str = ""):
    return grant_credit(
        actor=actor,
        account=account,
        amount_micros=micros,
        idempotency_key=key,
        note=note,
        origin=ORIGIN,
    )


def told(account: Account) -> list[AuditEvent]:
    rows = AuditEvent.objects.for_account(account.pk).filter(event__startswith="billing.")
    return list(rows.order_by("sequence"))


def test_staff_grant_credit_and_the_account_s_log_tells(staff, organization):
    entry = grant(staff, organization, note="Welcome")
    assert (entry.kind, entry.amount_micros, entry.actor_id) == ("grant", 20_000_000, staff.pk)
    assert wallet_of(organization.pk).posted_micros == 20_000_000
    [event] = told(organization)
    assert (event.event, event.actor_label) == ("billing.credit.granted", "staff@example.com")
    assert (event.target_label, event.target_id) == ("$20.00", str(entry.pk))
    assert event.details == {
        "amount_micros": 20_000_000,
        "by_staff": True,
        "idempotency_key": "k",
        "note": "Welcome",
        "number": 1,
    }


def test_granted_twice_under_one_key_it_is_granted_and_told_once(staff, organization):
    assert grant(staff, organization) == grant(staff, organization) == grant(None, organization)
    assert LedgerEntry.objects.count() == len(told(organization)) == 1


@pytest.mark.parametrize("other", ["micros", "note", "account"])
def test_a_key_is_of_one_grant(staff, organization, account, other):
    grant(staff, organization)
    changed = {"micros": 1} if other == "micros" else {"note": "x"} if other == "note" else {}
    with pytest.raises(KeyReused):
        grant(staff, account if other == "account" else organization, **changed)
    assert LedgerEntry.objects.count() == 1
    assert told(account) == []


@pytest.mark.parametrize("who", ["owner", "billing_manager", "member", "stranger"])
def test_nobody_else_grants_freezes_or_unfreezes(organization, who, request):
    somebody = request.getfixturevalue(who)
    credited(organization.pk, 1)
    for attempt in (
        lambda: grant(somebody, organization),
        lambda: freeze(actor=somebody, account_id=organization.pk, why="x", origin=ORIGIN),
        lambda: unfreeze(actor=somebody, wallet=wallet_of(organization.pk), origin=ORIGIN),
    ):
        with pytest.raises(NotPermitted):
            attempt()
    assert LedgerEntry.objects.count() == 1
    assert wallet_of(organization.pk).frozen_at is None
    assert told(organization) == []


def test_staff_whose_post_has_ended_grant_nothing(staff, organization):
    type(staff).objects.filter(pk=staff.pk).update(is_staff=False)
    with pytest.raises(NotPermitted):
        grant(staff, organization)


@pytest.mark.parametrize("key", ["", " ", "a b", "a\n", "ä", "k" * 101, "\0"])
def test_a_key_is_a_word(staff, organization, key):
    with pytest.raises(UnusableKey):
        grant(staff, organization, key=key)


def test_no_key_of_a_grant_is_that_of_a_call(staff, organization):
    assert grant(staff, organization, key="request:1").idempotency_key == "grant:request:1"


def test_a_balance_that_is_full_takes_nothing_and_tells_nothing(staff, organization):
    credited(organization.pk, MOST_MICROS)
    with pytest.raises(TooMuch):
        grant(staff, organization)
    assert told(organization) == []


def test_an_account_that_is_gone_gets_nothing(owner, staff, organization):
    delete_organization(actor=owner, account=organization, origin=ORIGIN)
    organization.pk = organization.pk or wallet_of(organization.pk).pk
    with pytest.raises(AccountGone):
        grant(staff, organization)


def test_without_its_event_staff_grant_freeze_and_unfreeze_nothing(staff, organization):
    credited(organization.pk, 5)
    freeze(actor=staff, account_id=organization.pk, why="x", origin=ORIGIN)
    refuse_events()
    before = [list(model.objects.values()) for model in (LedgerEntry, Wallet)]
    for attempt in (
        lambda: grant(staff, organization),
        lambda: unfreeze(actor=staff, wallet=wallet_of(organization.pk), origin=ORIGIN),
        lambda: freeze(actor=staff, account_id=staff.account.pk, why="x", origin=ORIGIN),
    ):
        with pytest.raises(Exception, match=r"no room|refuse_events"):
            attempt()
    assert [list(model.objects.values()) for model in (LedgerEntry, Wallet)] == before


def test_a_balance_is_frozen_once_and_unfrozen_once(staff, organization):
    credited(organization.pk, 5)
    assert freeze(actor=None, account_id=organization.pk, why="drift " * 99, origin=ORIGIN)
    assert not freeze(actor=staff, account_id=organization.pk, why="other", origin=ORIGIN)
    wallet = wallet_of(organization.pk)
    assert wallet.frozen_why.startswith("drift ")
    assert unfreeze(actor=staff, wallet=wallet, origin=ORIGIN)
    assert not unfreeze(actor=staff, wallet=wallet, origin=ORIGIN)
    assert wallet_of(organization.pk).frozen_at is None
    assert [(event.event, event.actor_label) for event in told(organization)] == [
        ("billing.wallet.frozen", "MegaBrain"),
        ("billing.wallet.unfrozen", "staff@example.com"),
    ]


def test_staff_say_that_they_are_staff_also_where_they_are_members(staff, account):
    grant(staff, staff.account)
    freeze(actor=staff, account_id=staff.account.pk, why="x", origin=ORIGIN)
    freeze(actor=None, account_id=account.pk, why="x", origin=ORIGIN)
    assert [event.details.get("by_staff") for event in told(staff.account)] == [True, True]
    assert [event.details.get("by_staff") for event in told(account)] == [None]


# Taken back ----------------------------------------------------------------------------------


def take(actor, account: Account, micros: int, key: str = "k", note: str = ""):
    return take_credit(
        actor=actor,
        account=account,
        amount_micros=micros,
        idempotency_key=key,
        note=note,
        origin=ORIGIN,
    )


def test_what_was_given_wrongly_is_taken_back_once(staff, organization):
    grant(staff, organization, 2000)
    entry = take(staff, organization, 1980, note="Two zeros too many")
    assert take(staff, organization, 1980, note="Two zeros too many") == entry
    assert (entry.kind, entry.amount_micros, entry.balance_micros) == ("correction", -1980, 20)
    assert wallet_of(organization.pk).posted_micros == 20
    _, event = told(organization)
    assert (event.event, event.actor_label) == ("billing.credit.taken", "staff@example.com")
    assert (event.details["amount_micros"], event.details["by_staff"]) == (-1980, True)
    with pytest.raises(KeyReused):
        take(staff, organization, 1)


def test_no_more_is_taken_than_is_there_also_from_one_that_is_frozen(staff, organization, owner):
    grant(staff, organization, 100)
    Payer(organization.pk, owner.pk).reserve(30)
    freeze(actor=staff, account_id=organization.pk, why="x", origin=ORIGIN)
    with pytest.raises(NotEnough):
        take(staff, organization, 71)
    take(staff, organization, 70)
    assert wallet_of(organization.pk).available_micros == 0


@pytest.mark.parametrize("who", ["owner", "billing_manager", "member", "stranger"])
def test_nobody_else_takes_any(organization, who, request):
    credited(organization.pk, 10)
    with pytest.raises(NotPermitted):
        take(request.getfixturevalue(who), organization, 1)
    assert wallet_of(organization.pk).posted_micros == 10


def test_without_its_event_nothing_is_taken(staff, organization):
    credited(organization.pk, 5)
    refuse_events()
    with pytest.raises(Exception, match=r"no room|refuse_events"):
        take(staff, organization, 5)
    assert wallet_of(organization.pk).posted_micros == 5


def test_an_operator_takes_credit_back(organization):
    run(usd="20")
    output = io.StringIO()
    given = {"account": "acme", "idempotency_key": "k", "note": ""}
    call_command("take_credit", usd="19.5", **given, stdout=output)
    assert output.getvalue() == (
        "$19.50 were taken from the balance of Acme, by entry 2 of its ledger. It is $0.50 now.\n"
    )
    with pytest.raises(CommandError, match=r"Nothing was taken. \$0.50 is available."):
        call_command("take_credit", usd="1", **{**given, "idempotency_key": "l"})


# On the command line -------------------------------------------------------------------------


def run(**options: str) -> str:
    out = io.StringIO()
    given = {"account": "acme", "usd": "20", "idempotency_key": "k", "note": "", **options}
    call_command("grant_credit", stdout=out, **given)
    return out.getvalue()


def test_an_operator_grants_credit(organization):
    said = run(usd="$1,234.567891", note="Invoice 7")
    assert said == (
        "$1,234.567891 are in the balance of Acme, by entry 1 of its ledger. "
        "It is $1,234.567891 now.\n"
    )
    assert wallet_of(organization.pk).posted_micros == 1_234_567_891
    [event] = told(organization)
    assert (event.actor_id, event.user_agent) == (None, "manage.py grant_credit")
    assert run(usd="1234.567891", note="Invoice 7") == said
    assert len(told(organization)) == 1


@pytest.mark.parametrize(
    "usd",
    ["0", "-1", "1e3", "0.0000001", "1,00", "NaN", "inf", "", "1000001", "٣", "0x10", "1_000"],
)
def test_what_is_no_amount_is_refused(organization, usd):
    with pytest.raises(CommandError, match="--usd"):
        run(usd=usd)
    assert not LedgerEntry.objects.exists()


def test_an_amount_is_exact_where_a_float_is_not(organization):
    run(usd="0.1", idempotency_key="a")
    run(usd="0.2", idempotency_key="b")
    run(usd="999999.999999", idempotency_key="c")
    assert wallet_of(organization.pk).posted_micros == 1_000_000_299_999


def test_what_is_wrong_is_named(organization, account):
    run()
    for options, words in (
        ({"usd": "21"}, "used for another account, amount or note"),
        ({"account": "owner@example.com"}, "used for another account, amount or note"),
        ({"account": "nobody"}, "There is no account 'nobody'"),
        ({"idempotency_key": "a b"}, "--idempotency-key"),
        ({"note": "x" * 301}, "--note"),
        ({"note": "\x00"}, "--note"),
    ):
        with pytest.raises(CommandError, match=words):
            run(**options)
    assert LedgerEntry.objects.count() == 1
