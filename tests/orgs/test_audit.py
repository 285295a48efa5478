"""What an audit event says, and that nothing a client sends keeps it from being written."""

import json
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from orgs.audit import Event, NotRecordable, link, record
from orgs.audit.chain import Fault
from orgs.audit.log import FORMAT, canonical_text, content
from orgs.events import SENTENCES
from orgs.models import Account, AuditEvent, AuditHead
from orgs.origin import Origin

pytestmark = pytest.mark.django_db


def written(
    account: Account,
    *,
    event: Event = Event.SIGNED_IN,
    # Any: also what no caller should pass.
    target: Any = None,
    details: Any = None,
    origin: Origin = Origin(),  # noqa: B008 -- it is frozen.
    by_nobody: bool = False,
) -> AuditEvent:
    """The event as it reads back from the database."""
    added = record(
        event=event,
        account=account,
        actor=None if by_nobody else account.user,
        target=target or account,
        origin=origin,
        changed=["secret", "enabled", "secret"],
        details=details,
    )
    return AuditEvent.objects.get(pk=added.pk)


@dataclass
class Named:
    """A target with any label."""

    audit_label: str
    pk: object = 7
    _meta = Account._meta


def test_who_what_and_where_from_are_kept(account, owner):
    origin = Origin("192.0.2.7", "Firefox", "the-request")
    event = written(account, event=Event.KEY_ADDED, origin=origin)
    assert event.actor_id == owner.pk
    assert event.actor_label == "owner@example.com"
    assert (event.target_kind, event.target_id) == ("account", str(account.pk))
    assert event.target_label == account.name
    assert event.changed == ["enabled", "secret"]
    assert (event.address, event.user_agent, event.request_id) == (
        "192.0.2.7",
        "Firefox",
        "the-request",
    )


def test_what_nobody_did_megabrain_did(account):
    event = written(account, by_nobody=True)
    assert event.actor_id is None
    assert event.actor_label == "MegaBrain"


def test_an_event_outlives_all_it_names(account, owner):
    event = written(account)
    owner.delete()
    assert not Account.objects.filter(pk=account.pk).exists()
    kept = AuditEvent.objects.get(pk=event.pk)
    assert kept.actor_label == "owner@example.com"
    assert link(kept) == kept.hash


def test_the_head_is_the_last_event(account):
    event = written(account)
    head = AuditHead.objects.get(pk=account.pk)
    assert (head.sequence, head.hash) == (event.sequence, event.hash)


@pytest.mark.parametrize(
    "label",
    [
        "x" * 10_000,
        "line\nbreak\ttab\rreturn",
        "nul\x00",
        "\ud800 half a surrogate",
        "\u2028 separator",
        "emoji 🧠 and ünïcödé",
        "<script>alert(1)</script>",
        '{"json": "\\"}',
        "",
    ],
)
def test_any_label_can_be_kept_and_hashed(account, label):
    event = written(account, target=Named(label), origin=Origin("::1", label, label))
    assert len(event.target_label) <= 254
    assert "\n" not in event.target_label
    assert link(event) == event.hash


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.7:1234", None),
        ("unknown", None),
        ("'; DROP TABLE x; --", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_is_kept_in_one_spelling_or_not_at_all(account, sent, kept):
    event = written(account, origin=Origin(address=sent))
    assert event.address == kept
    assert link(event) == event.hash


def test_plain_facts_read_back_as_they_were(account):
    facts = {"n": 2**53 - 1, "yes": True, "none": None, "text": "ü", "list": ["a", 1, False]}
    event = written(account, details=facts)
    assert event.details == facts
    assert link(event) == event.hash


@pytest.mark.parametrize(
    "facts",
    [
        {"rate": 0.1},
        {"big": 2**53},
        {"nested": {"a": 1}},
        {"list": [[1]]},
        {"bytes": b"x"},
        {"Not snake": 1},
        {"id": uuid.uuid4()},
        {f"n{i}": "x" * 400 for i in range(20)},
    ],
)
def test_anything_but_plain_facts_is_refused(account, facts):
    with pytest.raises(NotRecordable):
        written(account, details=facts)


def test_a_target_that_is_gone_already_is_refused(account):
    with pytest.raises(NotRecordable):
        written(account, target=Named("key", pk=None))


def test_each_account_has_a_chain_of_its_own(account, stranger):
    written(account)
    event = written(stranger.account)
    before = AuditEvent.objects.for_account(stranger.account.pk).get(sequence=event.sequence - 1)
    assert event.previous_hash == before.hash


def test_a_failed_event_takes_its_transaction_with_it(account):
    before = AuditEvent.objects.count()

    @transaction.atomic
    def change() -> None:
        written(account)
        written(account, details={"rate": 0.5})

    with pytest.raises(NotRecordable):
        change()
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("event", Event)
def test_every_event_reads_as_a_sentence(account, event):
    told = str(written(account, event=event, target=Named("the target")))
    assert told.startswith("owner@example.com ")
    assert "{" not in told
    assert event.label[0].isupper()
    assert event.count(".") in {1, 2}
    assert event == event.lower()


def test_event_names_and_sentences_are_unique():
    assert len(SENTENCES) == len(Event) == len(set(SENTENCES.values()))


def test_a_sentence_marks_its_target_and_escapes_it(account):
    event = written(account, event=Event.TOKEN_REVOKED, target=Named("<b>{target}</b>"))
    assert event.told == ("revoked the API token <strong>&lt;b&gt;{target}&lt;/b&gt;</strong>")


def test_an_event_of_a_later_version_is_told_by_its_name(account):
    event = AuditEvent(event="org.merged", actor_label="ann@example.com")
    assert str(event) == "ann@example.com org.merged"
    assert event.told == "org.merged"


DOCUMENT = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()


def test_the_documents_example_has_the_documents_hash():
    text = DOCUMENT.partition("```json\n")[2].partition("\n```")[0]
    hash_ = re.search(r"has the hash `([0-9a-f]{64})`", DOCUMENT)
    assert hash_
    assert sha256(text.encode()).hexdigest() == hash_[1]
    told = json.loads(text)
    assert told.pop("format") == FORMAT
    moment = datetime.fromisoformat(told.pop("created_at"))
    account_id, actor_id = uuid.UUID(told.pop("account_id")), uuid.UUID(told.pop("actor_id"))
    event = AuditEvent(account_id=account_id, actor_id=actor_id, created_at=moment, **told)
    assert canonical_text(content(event)) == text


def test_the_document_lists_every_event_and_no_other():
    rows = set(re.findall(r"^\| `([a-z_.]+\.[a-z_]+)` \| (.+) \|$", DOCUMENT, re.MULTILINE))
    assert rows == {(event.value, event.sentence.replace("{target}", "…")) for event in Event}


@pytest.mark.parametrize("fault", Fault)
def test_the_document_explains_every_finding(fault):
    assert f"| {fault} |" in DOCUMENT
