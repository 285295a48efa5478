"""What operators do with people, tokens and the audit log on the command line."""

import csv
import io
import json
import sys
import uuid
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import timedelta
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.db import connection

from orgs.actions import close_user, create_token, create_user, delete_organization
from orgs.audit import link
from orgs.audit.log import hash_of
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


def test_a_token_for_an_organization_is_for_its_members(organization, member, stranger):
    lines = run("create_token", "--email", member.email, "--org", "acme", "--name", "ci")
    token = ApiToken.objects.get()
    assert (token.account, token.user) == (organization, member)
    assert token.digest == digest(lines.splitlines()[-1])
    with pytest.raises(CommandError, match="may not use Acme"):
        run("create_token", "--email", stranger.email, "--org", "acme", "--name", "ci")
    assert ApiToken.objects.count() == 1


def test_who_is_shut_out_gets_no_token(member, staff, organization):
    close_user(actor=staff, user=member, origin=Origin())
    with pytest.raises(CommandError, match="may not use"):
        run("create_token", "--email", member.email, "--org", "acme", "--name", "ci")


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


def test_an_organization_made_by_the_operator_has_an_owner(owner):
    lines = run("create_org", "--name", " Acme  Ltd ", "--owner", "Owner@example.com").splitlines()
    assert lines[-1] == "acme-ltd"
    acme = Account.objects.get(slug="acme-ltd")
    assert acme.name == "Acme Ltd"
    assert Membership.objects.get(account=acme).user == owner
    event = AuditEvent.objects.get(event="org.created")
    assert event.actor_id is None
    assert event.user_agent == "manage.py create_org"


def test_the_operator_may_choose_the_slug(owner):
    assert run("create_org", "--name", "Acme", "--owner", owner.email, "--slug", "a1").endswith(
        "\na1\n"
    )


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"--owner": "nobody@example.com"}, "Nobody who can sign in"),
        ({"--owner": "shut@example.com"}, "Nobody who can sign in"),
        ({"--name": " "}, "--name"),
        ({"--name": "x" * 101}, "--name"),
        ({"--name": "a\u202eb"}, "--name"),
        ({"--slug": "A b"}, "--slug: Use 2 to 40"),
        ({"--slug": "platform"}, "--slug: This one is reserved"),
        ({"--slug": "acme"}, "--slug: Another organization has it"),
    ],
)
def test_an_organization_that_cannot_be_is_refused(organization, owner, wrong, reason):
    shut = create_user(email="shut@example.com", password=PASSWORD, origin=Origin())
    User.objects.filter(pk=shut.pk).update(is_active=False)
    options = {"--name": "Acme", "--owner": owner.email} | wrong
    with pytest.raises(CommandError, match=reason):
        run("create_org", *(part for option in options.items() for part in option))
    assert Account.objects.filter(kind="organization").count() == 1


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


def test_an_export_is_printed_and_recorded(owner):
    create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    printed = run("audit", "export", "--account", owner.email, "--format", "json")
    assert [json.loads(line)["event"] for line in printed.splitlines()] == [
        "account.opened",
        "token.created",
    ]
    event = AuditEvent.objects.get(event="audit.exported")
    assert (event.actor_id, event.user_agent) == (None, "manage.py audit export")
    assert event.details == {"format": "json", "events": 2, "up_to_event": 2}


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        (["--event", "token"], ["token.created"]),
        (["--event", "account.opened"], ["account.opened"]),
        (["--actor", "MegaBrain"], ["account.opened"]),
        (["--since", "2020-01-01"], ["account.opened", "token.created"]),
        (["--until", "2020-01-01T09:30Z"], []),
        (["--since", "2020-01-01T00:00", "--event", "byok"], []),
    ],
)
def test_an_export_can_be_narrowed(owner, narrowed, expected):
    create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    printed = run("audit", "export", "--account", owner.email, *narrowed)
    rows = csv.DictReader(io.StringIO(printed.removeprefix("\ufeff")))
    assert [row["event"] for row in rows] == expected


@pytest.mark.parametrize(
    "wrong",
    [
        ["--account", "nobody@example.com"],
        ["--account", "00000000-0000-0000-0000-000000000001"],
        ["--account", "owner@example.com", "--event", "tokens"],
        ["--account", "owner@example.com", "--since", "yesterday"],
        ["--account", "owner@example.com", "--since", "2026-02-30"],
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(owner, wrong):
    with pytest.raises(CommandError):
        run("audit", "export", *wrong)
    assert not AuditEvent.objects.filter(event="audit.exported").exists()


def test_the_log_of_an_account_that_is_gone_is_exported_by_its_id(owner, organization):
    delete_organization(actor=owner, account=organization, origin=Origin())
    gone = str(organization.pk or AuditEvent.objects.get(event="org.deleted").account_id)
    assert "org.deleted" in run("audit", "export", "--account", gone)
    assert "1 chain: all as written" in run("audit", "verify", "--account", gone)


def json_export(
    owner: User, tmp_path: Path, change: Callable[[list[str]], list[str]] = list
) -> Path:
    """The export of an account with five events, changed so."""
    for name in "abcd":
        create_token(actor=owner, account=owner.account, name=name, origin=Origin())
    printed = run("audit", "export", "--account", owner.email, "--format", "json")
    path = tmp_path / "export.jsonl"
    path.write_text("".join(change(printed.splitlines(keepends=True))))
    return path


def without(*numbers: int):
    return lambda lines: [line for n, line in enumerate(lines, 1) if n not in numbers]


def signed_anew(**change: object):
    """The second event is another one, with a hash that fits."""

    def changed(lines: list[str]) -> list[str]:
        event = {**json.loads(lines[1]), **change}
        del event["hash"]
        return [lines[0], json.dumps({**event, "hash": hash_of(event)}) + "\n", *lines[2:]]

    return changed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without(2), "Events 1–5, 1 left out: 2."),
        (without(1, 2, 4), "Events 3–5, 3 left out: 1–2, 4."),
        (without(1, 2, 3, 4), "Event 5, 4 left out: 1–4."),
        (lambda lines: [lines[0].replace("account.opened", "account.closed")], "hash"),
        (lambda lines: [*lines, "{}\n"], "Line 6, no event"),
        (lambda lines: ["nothing\n"], "no event"),
        (lambda lines: ["[]\n"], "no event"),
        (lambda lines: [], "There is no event in this file"),
        (
            lambda lines: [*lines[:2], lines[1], *lines[2:]],
            "Line 3, event 2: the event is repeated",
        ),
        (lambda lines: lines + lines, "Line 6, event 1: the event is repeated"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "Line 2, event 1: .* does not come after"),
        (signed_anew(account_id=str(uuid.uuid4())), "Line 2, event 2: .* of another account"),
        (signed_anew(sequence="2"), "does not continue|no event"),
        (signed_anew(sequence=[2]), "no event"),
        (signed_anew(sequence=10**18), "Line 3, event 3: the event is repeated, or"),
    ],
)
def test_a_json_export_that_is_not_whole_and_as_written_is_a_failure(owner, tmp_path, change, told):
    path = json_export(owner, tmp_path, change)
    with pytest.raises(CommandError, match=told) as error:
        run("audit", "verify", "--file", str(path))
    assert error.value.returncode == 1


def test_a_json_export_is_verified_without_the_database(owner, tmp_path):
    path = json_export(owner, tmp_path)
    assert run("audit", "verify", "--file", str(path)) == "Events 1–5: all as written.\n"


def test_the_range_of_an_export_tells_that_its_end_is_cut_off(owner, tmp_path):
    path = json_export(owner, tmp_path, without(4, 5))
    assert run("audit", "verify", "--file", str(path)) == "Events 1–3: all as written.\n"


def test_a_narrowed_export_may_leave_events_out(owner, tmp_path):
    path = json_export(owner, tmp_path, without(1, 3))
    told = run("audit", "verify", "--file", str(path), "--narrowed")
    assert told == "Events 2–5, 2 left out: all as written.\n"


def test_a_narrowed_export_is_in_order_of_time_if_a_clock_was_set_back(owner, tmp_path):
    """Then its numbers go backwards, and rightly so."""
    with unprotected(connection), connection.cursor() as cursor:
        json_export(owner, tmp_path)
        events = list(AuditEvent.objects.for_account(owner.account.pk).order_by("sequence"))
        events[2].created_at -= timedelta(days=1)
        cursor.execute(
            "UPDATE orgs_auditevent SET created_at = %s, hash = %s WHERE id = %s",
            [events[2].created_at, link(events[2]), events[2].pk],
        )
    path = tmp_path / "narrowed.jsonl"
    path.write_text(
        run("audit", "export", "--account", owner.email, "--format", "json", "--event", "token")
    )
    with pytest.raises(CommandError, match=r"Line 2, event 2: .* does not come after"):
        run("audit", "verify", "--file", str(path))
    told = run("audit", "verify", "--file", str(path), "--narrowed")
    assert told == "Events 2–5, 1 left out: all as written.\n"
    path.write_text(path.read_text() * 2)
    with pytest.raises(CommandError, match="is repeated"):
        run("audit", "verify", "--file", str(path), "--narrowed")


@pytest.mark.parametrize(
    "also",
    [
        ["--file", "{path}", "--account", "owner@example.com"],
        ["--file", "{path}", "--anchor", "{path}"],
        ["--narrowed"],
    ],
)
def test_options_that_do_not_go_together_are_refused(owner, tmp_path, also):
    path = str(json_export(owner, tmp_path))
    with pytest.raises(CommandError, match=r"--file"):
        run("audit", "verify", *(option.format(path=path) for option in also))


def test_a_rewritten_event_in_an_export_does_not_continue_the_chain(owner, tmp_path):
    create_token(actor=owner, account=owner.account, name="ci", origin=Origin())
    printed = run("audit", "export", "--account", owner.email, "--format", "json")
    first, second = map(json.loads, printed.splitlines())
    first["actor_label"] = "somebody else"
    del first["hash"]
    first["hash"] = hash_of(first)
    path = tmp_path / "export.jsonl"
    path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    with pytest.raises(CommandError, match="Line 2, event 2: the event does not continue"):
        run("audit", "verify", "--file", str(path))
