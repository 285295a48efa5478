"""S33: whatever its owners do to each other at the same moment, one of them is left."""

import os
import threading
from collections.abc import Callable

import pytest
from django.db import connection

from orgs.actions import (
    LastOwner,
    MemberGone,
    TooManyTokens,
    change_role,
    close_user,
    create_organization,
    create_token,
    leave_organization,
    remove_member,
)
from orgs.models import Account, ApiToken, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted

ROUNDS = int(os.environ.get("MEGABRAIN_RACES", "8"))
REFUSALS = (LastOwner, MemberGone, NotPermitted, TooManyTokens)
ORIGIN = Origin()

pytestmark = pytest.mark.django_db(transaction=True)

Change = Callable[[], object]


def at_once(*changes: Change) -> list[object]:
    """Run the changes in threads that start together: what each returned, or how it was refused."""
    results: list[object] = [None] * len(changes)
    start = threading.Barrier(len(changes))

    def run(number: int) -> None:
        start.wait(10)
        try:
            results[number] = changes[number]()
        except Exception as error:  # noqa: BLE001 -- handed to the test below.
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(changes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    unexpected = [
        result
        for result in results
        if isinstance(result, Exception) and not isinstance(result, REFUSALS)
    ]
    assert not unexpected
    return results


def demote(actor: User, membership: Membership) -> Change:
    return lambda: change_role(
        actor=actor, membership=membership, role=Membership.Role.MEMBER, origin=ORIGIN
    )


def remove(actor: User, membership: Membership) -> Change:
    return lambda: remove_member(actor=actor, membership=membership, origin=ORIGIN)


def leave(user: User, account: Account) -> Change:
    return lambda: leave_organization(actor=user, account=account, origin=ORIGIN)


def close(actor: User, user: User) -> Change:
    return lambda: close_user(actor=actor, user=user, origin=ORIGIN)


PAIRS: dict[str, Callable[[User, Membership, Membership], tuple[Change, ...]]] = {
    "demote each other": lambda staff, a, b: (demote(a.user, b), demote(b.user, a)),
    "remove each other": lambda staff, a, b: (remove(a.user, b), remove(b.user, a)),
    "demote themselves": lambda staff, a, b: (demote(a.user, a), demote(b.user, b)),
    "leave": lambda staff, a, b: (leave(a.user, a.account), leave(b.user, b.account)),
    "demote and leave": lambda staff, a, b: (demote(a.user, b), leave(a.user, a.account)),
    "are closed by staff": lambda staff, a, b: (close(staff, a.user), close(staff, b.user)),
    "closed, removed": lambda staff, a, b: (close(staff, a.user), remove(a.user, b)),
    "all at once": lambda staff, a, b: (
        demote(a.user, b),
        remove(b.user, a),
        leave(b.user, b.account),
        close(staff, a.user),
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_two_owners_at_the_same_moment_leave_one(owner, stranger, staff, pair):
    for number in range(ROUNDS):
        User.objects.update(is_active=True)
        account = create_organization(
            actor=owner, owner=owner, name=f"Acme {number}", origin=ORIGIN
        )
        first = Membership.objects.select_related("user", "account").get(account=account)
        second = Membership.objects.create(
            account=account, user=stranger, role=Membership.Role.OWNER
        )
        results = at_once(*PAIRS[pair](staff, first, second))
        owners = Membership.objects.for_account(account).owners()
        assert owners.count() >= 1, results


def test_nobody_makes_a_token_while_their_membership_ends(owner, member, organization):
    """Neither is there a token afterwards that a new membership would bring to life."""
    for _ in range(ROUNDS):
        membership, _ = Membership.objects.get_or_create(
            account=organization, user=member, defaults={"role": Membership.Role.MEMBER}
        )

        def make() -> object:
            return create_token(actor=member, account=organization, name="ci", origin=ORIGIN)

        at_once(make, remove(owner, membership), make, make)
        assert not ApiToken.objects.filter(
            user=member, account=organization, revoked_at__isnull=True
        ).exists()
