"""S15: a chain that was rebuilt whole agrees with itself, but not with an anchor kept elsewhere."""

import io
import json
import logging
import threading
import uuid
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from orgs.actions import create_user
from orgs.audit import anchors, verification
from orgs.audit.chain import Fault, walk
from orgs.models import Account, AuditCheck, AuditEvent
from orgs.origin import Origin
from orgs.tasks import anchor_audit
from tests.guarantees.audit_log import rebuild, tamper, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def anchor(account, tmp_path: Path) -> Path:
    """The heads of all chains as they were when the account had eleven events."""
    create_user(email="b@example.com", password="tulip-lantern", origin=Origin())
    write(account, 10)
    path = tmp_path / "anchor.jsonl"
    anchors.save(path)
    return path


def found(path: Path) -> str:
    """What `audit verify --anchor` says; "" if all is as written."""
    output = io.StringIO()
    try:
        call_command("audit", "verify", "--anchor", str(path), stdout=output)
    except CommandError:
        return output.getvalue()
    return ""


def another_actor(event: AuditEvent) -> None:
    if event.sequence == 5:
        event.actor_label = "somebody else"


def test_a_log_that_has_only_grown_agrees_with_its_anchor(account, anchor):
    write(account, 5)
    assert found(anchor) == ""


def test_a_rebuilt_chain_agrees_with_itself_but_not_with_the_anchor(account, anchor):
    rebuild(account, another_actor)
    write(account, 3)
    assert walk(account.pk).fault is None
    assert f"Account {account.pk}, event 11: {Fault.REPLACED}." in found(anchor)


@pytest.mark.parametrize(
    ("statements", "first_gone"),
    [
        (
            [
                "DELETE FROM orgs_auditevent WHERE {mine} AND sequence > 8",
                """UPDATE orgs_audithead SET sequence = 8, hash = (
                    SELECT hash FROM orgs_auditevent WHERE {mine} AND sequence = 8
                ) WHERE {mine}""",
            ],
            9,
        ),
        (
            [
                "DELETE FROM orgs_auditevent WHERE {mine}",
                "DELETE FROM orgs_audithead WHERE {mine}",
            ],
            1,
        ),
    ],
    ids=["its end", "all of it"],
)
def test_what_was_cut_off_along_with_the_head_is_missed(account, anchor, statements, first_gone):
    tamper(account, *statements)
    assert walk(account.pk).fault is None
    assert f"Account {account.pk}, event {first_gone}: {Fault.GONE}." in found(anchor)


def test_only_the_account_in_question_can_be_compared(account, stranger, anchor):
    rebuild(account, another_actor)
    call_command("audit", "verify", "--account", stranger.email, "--anchor", str(anchor))
    with pytest.raises(CommandError, match="not as written"):
        call_command("audit", "verify", "--account", account.user.email, "--anchor", str(anchor))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"sequence":11', '"sequence":10'),
        lambda text: "".join(text.splitlines(keepends=True)[1:]),
        lambda text: "".join(text.splitlines(keepends=True)[:-1]),
        lambda text: text[:-20],
        lambda text: text.splitlines(keepends=True)[0] + text,
        lambda text: "",
        lambda text: "[]\n",
        lambda text: "\x00",
    ],
    ids=[
        "edited",
        "a line less",
        "no last line",
        "cut off",
        "a line more",
        "empty",
        "other",
        "nul",
    ],
)
def test_an_anchor_that_is_not_as_written_is_refused(anchor, change):
    anchor.write_text(change(anchor.read_text()))
    with pytest.raises(CommandError, match=r"anchor|digest"):
        call_command("audit", "verify", "--anchor", str(anchor), stdout=io.StringIO())


def test_an_anchor_is_never_replaced(anchor):
    before = anchor.read_bytes()
    with pytest.raises(CommandError, match="never replaced"):
        call_command("audit", "anchor", "--to", str(anchor))
    assert anchor.read_bytes() == before
    assert [path.name for path in anchor.parent.iterdir()] == [anchor.name]


def test_an_anchor_can_be_printed(account, anchor):
    output = io.StringIO()
    call_command("audit", "anchor", stdout=output)
    *heads, last = output.getvalue().splitlines(keepends=True)
    assert {"account_id", "hash", "sequence"} == set(json.loads(heads[0]))
    assert json.loads(last)["digest"] == sha256("".join(heads).encode()).hexdigest()
    assert heads == anchor.read_text().splitlines(keepends=True)[:-1]


def test_every_day_an_anchor_is_saved_and_its_digest_logged(account, settings, tmp_path, caplog):
    """So that it lies wherever the log does, out of reach of whoever rules the database."""
    settings.MEGABRAIN_AUDIT_ANCHORS = tmp_path / "not" / "there" / "yet"
    with caplog.at_level(logging.INFO):
        anchor_audit()
    [path] = settings.MEGABRAIN_AUDIT_ANCHORS.iterdir()
    digest = json.loads(path.read_text().splitlines()[-1])["digest"]
    assert digest in caplog.text
    assert path.name in caplog.text
    assert found(path) == ""


@pytest.mark.django_db(transaction=True)
def test_an_anchor_taken_while_others_write_is_one_that_was(account, tmp_path):
    done = threading.Event()

    def go_on():
        while not done.is_set():
            write(account)
        connection.close()

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for number in range(5):
            anchors.save(tmp_path / f"{number}.jsonl")
    finally:
        done.set()
        writer.join()
    assert [found(path) for path in tmp_path.iterdir()] == [""] * 5


def test_what_was_verified_once_is_an_anchor_itself(account):
    """The page finds a chain that was rebuilt since it was verified, and one made good again."""
    write(account, 10)
    verification.verify_new_events(seconds=60)
    before = list(AuditEvent.objects.for_account(account.pk).order_by("sequence"))
    rebuild(account, another_actor)
    write(account)
    verification.verify_new_events(seconds=60)
    check = AuditCheck.objects.get(pk=account.pk)
    assert (check.fault, check.first_bad) == ("REPLACED", 11)

    assert verification.verify_whole(account.pk).fault == Fault.REPLACED
    assert AuditCheck.objects.get(pk=account.pk).fault == "REPLACED"

    originals = {event.sequence: event.actor_label for event in before}
    tamper(account, "DELETE FROM orgs_auditevent WHERE {mine} AND sequence > 11")
    rebuild(account, lambda event: setattr(event, "actor_label", originals[event.sequence]))
    assert verification.verify_whole(account.pk).fault is None
    assert AuditCheck.objects.get(pk=account.pk).fault == ""


def test_accounts_without_events_are_in_no_anchor(tmp_path):
    Account.objects.create(kind=Account.Kind.ORGANIZATION, name="Acme", slug=uuid.uuid4().hex)
    with transaction.atomic():
        assert anchors.save(tmp_path / "anchor.jsonl").chains == 0
