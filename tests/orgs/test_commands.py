"""What operators do with people, tokens and the audit log on the command line."""

import io
import sys
from contextlib import redirect_stdout

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.db import connection

from orgs.actions import create_token
from orgs.models import Account, ApiToken, AuditEvent, Membership, User
from orgs.origin import Origin
from orgs.tokens import digest, looks_like_token
from tests.database.management.commands.flush import unprotected

pytestmark = pytest.mark.django_db

PASSWORD = "tulip-lantern-42"


def run(*arguments: str, stdin: str = "") -> str:
    """What the command prints, given this on standard input."""
    output, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with redirect_stdout(output):
            call_command(*arguments, stdout=output)
    finally:
        sys.stdin = before
    return output.getvalue()


def create(*arguments: str, stdin: str = f"{PASSWORD}\n") -> str:
    return run(
        "create_user", "--email", "Ann@Example.com", "--password-stdin", *arguments, stdin=stdin
    )


def test_a_user_made_by_the_operator_can_sign_in(client):
    assert create("--name", "Ann") == "Created ann@example.com.\n"
    user = User.objects.get()
    assert user.name == "Ann"
    assert not user.is_staff
    assert EmailAddress.objects.get(user=user).verified
    assert client.login(email="ann@example.com", password=PASSWORD)
    assert AuditEvent.objects.get(event="account.opened").user_agent == "manage.py create_user"


def test_staff_is_said_and_made():
    assert "staff" in create("--staff")
    assert User.objects.get().is_staff


def test_a_password_keeps_its_spaces():
    create(stdin="  inner and outer spaces  \r\n")
    assert User.objects.get().check_password("  inner and outer spaces  ")


@pytest.mark.parametrize("password", ["", "short", "password123", "ann@example.com"])
def test_a_weak_password_is_refused(password):
    with pytest.raises(CommandError):
        create(stdin=password)
    assert not User.objects.exists()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(CommandError):
        run("create_user", "--email", "ann", "--password-stdin", stdin=PASSWORD)


def test_an_address_that_is_taken_is_refused():
    create()
    with pytest.raises(CommandError, match="has an account already"):
        create()


def test_a_password_is_not_read_from_a_pipe_unasked():
    with pytest.raises(CommandError, match="--password-stdin"):
        run("create_user", "--email", "ann@example.com", stdin=PASSWORD)


def test_the_token_stands_alone_on_the_last_line(owner):
    lines = run("create_token", "--email", "Owner@example.com", "--name", " ci ").splitlines()
    assert looks_like_token(lines[-1])
    token = ApiToken.objects.get()
    assert token.digest == digest(lines[-1])
    assert (token.user, token.account, token.name) == (owner, owner.account, "ci")
    assert AuditEvent.objects.get(event="token.created").user_agent == "manage.py create_token"


def test_a_token_for_an_organization_is_for_its_members(owner, stranger):
    team = Account.objects.create(kind=Account.Kind.ORGANIZATION, name="Acme", slug="acme")
    Membership.objects.create(account=team, user=owner, role=Membership.Role.MEMBER)
    run("create_token", "--email", owner.email, "--org", "acme", "--name", "ci")
    assert ApiToken.objects.get().account == team
    with pytest.raises(CommandError, match="may not"):
        run("create_token", "--email", stranger.email, "--org", "acme", "--name", "ci")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--email", "nobody@example.com", "--name", "ci"],
        ["--email", "owner@example.com", "--name", " "],
        ["--email", "owner@example.com", "--name", "x" * 61],
        ["--email", "owner@example.com", "--name", "ci", "--org", "none"],
    ],
)
def test_a_token_for_nobody_is_refused(owner, wrong):
    with pytest.raises(CommandError):
        run("create_token", *wrong)
    assert not ApiToken.objects.exists()


def test_an_untouched_log_is_verified(owner, stranger):
    create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    assert run("audit", "verify") == "3 events in 2 chains: all as written.\n"
    assert run("audit", "verify", "--account", owner.email) == (
        "2 events in 1 chain: all as written.\n"
    )


def test_a_touched_log_is_a_failure_that_says_where(owner, stranger):
    create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    with unprotected(connection), connection.cursor() as cursor:
        cursor.execute("UPDATE orgs_auditevent SET actor_label = 'x' WHERE sequence = 2")
    output = io.StringIO()
    with pytest.raises(CommandError, match="1 of 2 chains is not as written") as error:
        call_command("audit", "verify", stdout=output)
    assert error.value.returncode == 1
    assert f"Account {owner.account.pk}, event 2: the event does not match" in output.getvalue()
    assert run("audit", "verify", "--account", stranger.email)


def test_an_unknown_account_is_refused(db):
    with pytest.raises(CommandError, match="There is no account"):
        run("audit", "verify", "--account", "nobody@example.com")
