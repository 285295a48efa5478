"""A manager's rights, an organization or a key end just while another manager's request is served.

Each request has been let in, and waits for the account, when the other change is made: what counts
is how things stand when it has the account.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from byok.actions import delete_key
from byok.models import KeyTest, ProviderKey
from orgs.actions import change_role, delete_organization, remove_member
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.byok.conftest import by_htmx
from tests.byok.test_views_organization import REQUESTS, add, ask, at, membership

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = Origin()
CHANGES = [request for request in REQUESTS if request[1] == "post"]


# Any: what `ask` takes.
def status_after(change: Callable[[], object], client: Client, *asked: Any) -> int:
    """What a request is answered that has been let in before `change`, and goes on after it."""
    let_in = False
    waiting = threading.Event()
    statuses: list[int] = []

    def notice(execute, sql, params, many, context):
        nonlocal let_in
        let_in = let_in or 'FROM "orgs_membership"' in sql
        # SQLite begins a transaction by waiting for all others, PostgreSQL waits for the row.
        if let_in and (sql.startswith("BEGIN") or "FOR NO KEY UPDATE" in sql):
            waiting.set()
        return execute(sql, params, many, context)

    def request() -> None:
        try:
            with connection.execute_wrapper(notice):
                headers = by_htmx(on=at("keys"))
                statuses.append(ask(client, *asked, headers=headers).status_code)
        finally:
            connection.close()

    client.raise_request_exception = False
    client.get(at("keys"))  # The first page of a session also notes that there is one.
    thread = threading.Thread(target=request)
    with transaction.atomic():
        change()
        thread.start()
        assert waiting.wait(20)
    thread.join(60)
    [status] = statuses
    return status


def left() -> list[list[object]]:
    return [
        list(ProviderKey.objects.order_by("pk").values()),
        list(KeyTest.objects.values()),
    ]


@pytest.mark.parametrize(("name", "method", "data"), CHANGES)
@pytest.mark.parametrize("ending", ["demoted", "removed"])
def test_a_right_that_ends_meanwhile_is_a_right_no_more(
    ending, name, method, data, owner, billing_manager, organization, billing_manager_client
):
    key = add(owner, organization)
    theirs = membership(billing_manager, organization)

    def end() -> None:
        if ending == "demoted":
            role = Membership.Role.MEMBER
            change_role(actor=owner, membership=theirs, role=role, origin=ORIGIN)
        else:
            remove_member(actor=owner, membership=theirs, origin=ORIGIN)

    before = left()
    assert status_after(end, billing_manager_client, name, method, data, key) == 403
    assert left() == before


@pytest.mark.parametrize(("name", "method", "data"), CHANGES)
def test_an_organization_that_ends_meanwhile_is_not_found(
    name, method, data, owner: User, organization: Account, billing_manager_client: Client
):
    key = add(owner, organization)

    def end() -> None:
        delete_organization(actor=owner, account=organization, origin=ORIGIN)

    assert status_after(end, billing_manager_client, name, method, data, key) == 404
    assert left() == [[], []]


@pytest.mark.parametrize(
    ("name", "method", "data"), [asked for asked in CHANGES if asked[0] != "add"]
)
def test_a_key_that_is_deleted_meanwhile_is_not_found(
    name, method, data, owner, organization, billing_manager_client
):
    key = add(owner, organization)

    def end() -> None:
        delete_key(actor=owner, key=key, origin=ORIGIN)

    assert status_after(end, billing_manager_client, name, method, data, key) == 404
    assert left() == [[], []]


def test_a_key_that_is_added_meanwhile_is_not_added_again(
    owner, organization, billing_manager_client
):
    other = add(owner, organization)
    asked = next(asked for asked in CHANGES if asked[0] == "add")

    def begin() -> None:
        add(owner, organization, "openai")

    assert status_after(begin, billing_manager_client, *asked, other) == 422
    assert ProviderKey.objects.get(provider="openai").created_by == owner
