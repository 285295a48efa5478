"""The first steps of a new account, as far as the visitor's role may take them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, Exists, ExpressionWrapper, Q
from django.urls import reverse

from billing.models import Wallet
from byok.models import KeyTest, ProviderKey
from megabrain.site.overview import visible_calls
from orgs.access import account_url
from orgs.models import Account, ApiToken, Invitation, Membership
from orgs.permissions import Permission
from orgs.requests import SignedInRequest


@dataclass(frozen=True, slots=True)
class Step:
    """One of the first steps: `url` is where to take it, or to see who does where it `waits`."""

    title: str
    text: str
    done: bool
    label: str
    url: str
    dialog: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What there is in an account so far: keys, one that works, a balance, others, a token, an
    answer. `sold` says whether there is anything to be had for a balance."""

    key: bool
    works: bool
    credit: bool
    sold: bool
    company: bool
    token: bool
    call: bool

    @property
    def balance(self) -> bool:
        """Whether calls can draw on it, so that it takes no key."""
        return self.credit and self.sold

    @classmethod
    def of(cls, request: SignedInRequest) -> "Done":
        """All of it in one query. The token is the visitor's own."""
        account, user = request.account, request.user
        keys = ProviderKey.objects.for_account(account)
        works = Q(health=ProviderKey.Health.WORKS) | Q(tests__state=KeyTest.State.PASSED)
        credit = Wallet.objects.filter(pk=account.pk, posted_micros__gt=0)
        others = Membership.objects.for_account(account).exclude(user=user)
        invited = Invitation.objects.for_account(account).open()
        tokens = ApiToken.objects.for_account(account).usable().filter(user=user)
        calls = visible_calls(request).filter(outcome="ok")
        found = Account.objects.filter(pk=account.pk).values_list(
            Exists(keys),
            Exists(keys.filter(works)),
            Exists(credit),
            Exists(ProviderKey.objects.of_megabrain().enabled()),
            ExpressionWrapper(Exists(others) | Exists(invited), BooleanField()),
            Exists(tokens),
            Exists(calls),
        )
        return cls(*found[0])


def first_steps(request: SignedInRequest) -> dict[str, Any]:  # Any: a template's context
    """The steps, and a mark of which are done."""
    done = Done.of(request)
    steps = list(_steps(request, done))
    taken = [step.done for step in steps]
    return {
        "account": request.account,
        "on_balance": done.sold,
        "steps": steps,
        "next": next((step for step in steps if not step.done and not step.waits), None),
        "count": sum(taken),
        "complete": all(taken),
        "progress": f"{sum(taken)} of {len(steps)} done",
        "mark": "".join("1" if step else "0" for step in taken),
    }


def _steps(request: SignedInRequest, done: Done) -> Iterator[Step]:
    account = request.account
    whom = "you" if account.is_personal else "the organization"
    if Permission.MANAGE_KEYS in request.permissions:
        instead = " Or add credits under Billing, which takes no key." if done.sold else ""
        yield Step(
            "Add a provider key",
            f"Paste a key from Anthropic, OpenAI or another provider. They bill {whom} directly."
            f"{instead}",
            done.key or done.balance,
            "Add a key",
            account_url("byok:add", account),
            dialog=True,
        )
        # With a balance and no key there is nothing to test.
        if done.key or not done.balance:
            yield Step(
                "Test it",
                "One tiny request shows that the key is accepted and has credit.",
                done.works,
                "Test the key",
                account_url("byok:keys", account),
            )
    else:
        yield Step(
            "A provider key",
            f"An owner or a billing manager of {account} adds it.",
            done.key or done.balance,
            "See who they are",
            account_url("orgs:members", account),
            waits=True,
        )
    if account.is_organization and Permission.MANAGE_MEMBERS in request.permissions:
        yield Step(
            "Invite people",
            "Whoever accepts makes API tokens of their own, which use the same keys and balance.",
            done.company,
            "Invite people",
            account_url("orgs:invite", account),
            dialog=True,
        )
    yield Step(
        "Create an API token",
        "Your agents sign in to MegaBrain with it. You see it once.",
        done.token,
        "Create a token",
        account_url("orgs:token_create", account),
        dialog=True,
    )
    yield Step(
        "Make the first call",
        "Set the base URL and the token in your agent and ask it something.",
        done.call,
        "Connect an agent",
        reverse("docs_page", args=["agents"]),
    )
