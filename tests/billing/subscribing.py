"""What the tests of subscriptions begin with: a plan, keys in stock, a balance."""

import html
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from django.test import Client

from billing.ledger import Kind, credit
from billing.models import Plan, PlanKey, Subscription, Wallet
from billing.subscriptions.actions import subscribe
from billing.subscriptions.stock import add_plan_keys
from byok.vault import Secret, fingerprint
from orgs.models import Account, User
from orgs.origin import Origin

ORIGIN = Origin()
DOLLAR = 1_000_000
DAY = timedelta(days=1)
#: When what is tested begins; each test moves its clock from there.
START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
#: What somebody agrees to who subscribes to Token Plan Plus.
AGREED = {"price_micros": "20000000", "period_days": "30"}


def plan_plus() -> Plan:
    """Token Plan Plus, as migrating makes it, also where a test before has emptied the database."""
    plan, _ = Plan.objects.get_or_create(
        slug="token-plan-plus",
        defaults={
            "name": "Token Plan Plus",
            "provider": "minimax",
            "price_micros": 20 * DOLLAR,
            "period_days": 30,
        },
    )
    return plan


def plan_secret(number: int = 1) -> str:
    return f"sk-cp-sim-ok-0123456789abcdef{number:06d}"


def stock(staff: User, *numbers: int) -> list[PlanKey]:
    """Keys in stock with these secrets."""
    plan = plan_plus()
    secrets = [Secret(plan_secret(number)) for number in numbers]
    add_plan_keys(actor=staff, plan=plan, secrets=secrets, origin=ORIGIN, now=START)
    return list(PlanKey.objects.filter(plan=plan).order_by("added_at", "pk"))


def stocked(staff: User, secret: Secret) -> PlanKey:
    """A key in stock with this very secret."""
    plan = plan_plus()
    add_plan_keys(actor=staff, plan=plan, secrets=[secret], origin=ORIGIN, now=START)
    return PlanKey.objects.get(fingerprint=fingerprint(secret, plan.provider))


def fund(account: Account, dollars: int) -> None:
    credit(
        account_id=account.pk,
        kind=Kind.GRANT,
        amount_micros=dollars * DOLLAR,
        idempotency_key=f"test:{uuid4()}",
    )


def balance(account: Account) -> int:
    return Wallet.objects.get(pk=account.pk).posted_micros


def subscribed(actor: User, account: Account, now: datetime = START) -> Subscription:
    plan = plan_plus()
    return subscribe(
        actor=actor,
        account=account,
        plan=plan,
        price_micros=plan.price_micros,
        period_days=plan.period_days,
        origin=ORIGIN,
        now=now,
    )


def shown(client: Client, url: str) -> str:
    """The words of the page there."""
    answer = client.get(url)
    assert answer.status_code == 200
    return words(answer.content.decode())


def words(page: str) -> str:
    main = page[page.index("<main") : page.index("</main>")]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split()).replace(" .", ".")


def sent(client: Client, url: str, data: dict[str, str] = AGREED, status: int = 200) -> str:
    """What the page says after this was sent, which agrees to the plan if it is nothing else."""
    answer = client.post(url, data, follow=True)
    assert answer.status_code == status
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())
