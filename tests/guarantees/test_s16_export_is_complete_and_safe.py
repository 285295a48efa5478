"""S16: an export of the audit log is complete, streams, and is safe to open.

The server is a process of its own, reached over TCP: only there it shows what it keeps in memory.
"""

import csv
import io
import json
import os
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from orgs.access import account_url
from orgs.actions import change_role, close_user, delete_organization, remove_member
from orgs.audit import Event, record
from orgs.audit.export import ASKED_AGAIN, COLUMNS, Format, export, verify_lines
from orgs.audit.selection import Selection
from orgs.exports import AT_ONCE, Slot, Stalled
from orgs.models import Account, AuditEvent, AuditHead, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from tests.conftest import person, signed_in
from tests.guarantees.audit_log import fill, tamper, write
from tests.guarantees.server import Server, running_server

EVENTS = int(os.environ.get("MEGABRAIN_S16_EVENTS", "20000"))
#: What an export may add to a server's memory: a good deal less than the shortest file has.
MEMORY = 8 * 1024 * 1024
PIECE = 64 * 1024
CSRF = "c" * 32
NOTHING = {"period": "dates", "until": "2000-01-01"}

DANGEROUS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "=cmd|'/c calc'!A1",
    " =1+1",
    "   @x",
    "\u00a0=1",
    "\u3000=1",
    "\ufeff=1",
    "\u200b=1",
    '"=1+1',
    "'=1+1",
    "“=1+1”",
    "＝1+1",
    "＋1",
    "－1",
    "＠x",
    "\u22121",
    "a;=1+1",
    'a"; "=1+1',
    "a;;@x",
]
FORMULA = re.compile(r"""[\s"'‘’“”`\u200b-\u200f\u2060\ufeff]*[=+\-@\u2212＝＋－＠]""")


def happen(account: Account, label: str, user_agent: str = "") -> None:
    """Something whose target has this name."""
    named = Account(pk=account.pk, name=label)
    with transaction.atomic():
        record(
            event=Event.KEY_ADDED,
            account=account,
            actor=None,
            target=named,
            origin=Origin(user_agent=user_agent),
            details={"note": label},
        )


def exported(client: Client, account: Account, **fields: str) -> str:
    url = account_url("orgs:activity_export", account)
    response = client.post(url, {"format": "csv", **fields})
    assert response.status_code == 200
    return response.getvalue().decode()


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.django_db
@pytest.mark.parametrize("text", DANGEROUS)
def test_no_cell_is_a_formula(owner_client, account, text):
    happen(account, text, user_agent=text)
    last = cells(exported(owner_client, account))[-1]
    for name, value in last.items():
        for start in re.split(r"[;\t\r\n]", value):
            assert not FORMULA.match(start) or start.startswith("'"), (name, value)
    assert last["target"].replace("'", "") == text.strip().replace("'", "")


@pytest.mark.django_db
@pytest.mark.parametrize("text", [*DANGEROUS, "plain", "a, b", 'say "x"', "ünï 🧠", "a;b", "1-1"])
def test_json_says_it_as_it_is(owner_client, account, text):
    happen(account, text)
    told = objects(exported(owner_client, account, format="json"))[-1]
    assert told["target_label"] == text.strip()
    assert verify_lines(exported(owner_client, account, format="json").splitlines(True)).events == 3


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["plain", "a, b", 'say "x"', "ünï 🧠", "a;b", "1-1", "owner@x"])
def test_harmless_text_stays_as_it_is(owner_client, account, text):
    happen(account, text)
    assert cells(exported(owner_client, account))[-1]["target"] == text


@pytest.mark.django_db
def test_every_column_of_every_event_is_there(owner_client, organization):
    happen(organization, "the key")
    text = exported(owner_client, organization)
    assert text.startswith("\ufeffsequence,time_utc,"), "Excel takes it for UTF-8"
    rows, events = cells(text), list(AuditEvent.objects.for_account(organization.pk))[:-1]
    assert tuple(rows[0]) == COLUMNS
    for row, event in zip(rows, events, strict=True):
        assert row["sequence"] == str(event.sequence)
        assert row["event"] == event.event
        assert row["actor"] == event.actor_label
        assert row["sentence"] == str(event)
        assert row["hash"] == event.hash


@pytest.mark.django_db
def test_an_export_is_in_the_log_but_not_in_itself(owner, owner_client, account):
    happen(account, "the key")
    text = exported(owner_client, account, format="json", event="byok", actor="MegaBrain")
    assert [told["event"] for told in objects(text)] == ["byok.key.added"]
    event = AuditEvent.objects.for_account(account.pk).newest_first()[0]
    assert (event.event, event.actor_id) == ("audit.exported", owner.pk)
    assert event.details["format"] == "json"
    assert event.details["events"] == 1
    assert event.details["only_actor"] == "MegaBrain"
    assert "byok.key.added" in event.details["only_events"]


@pytest.mark.django_db
def test_without_its_event_there_is_no_export(broken_audit_log, owner, owner_client):
    owner_client.raise_request_exception = False
    url = reverse("orgs:activity_export")
    assert owner_client.post(url, {"format": "csv"}).status_code == 500


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [{"format": "xml"}, {"format": ""}, {"event": "none"}, {"period": "5"}, {"since": "x"}],
)
def test_an_export_that_cannot_be_meant_is_refused(owner_client, account, fields):
    before = AuditEvent.objects.count()
    url = reverse("orgs:activity_export")
    assert owner_client.post(url, {"format": "csv", **fields}).status_code == 400
    assert AuditEvent.objects.count() == before


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "status"),
    [("owner", 200), ("billing_manager", 200), ("member", 403), ("stranger", 404), ("staff", 404)],
)
def test_an_organizations_log_is_exported_by_those_who_may_read_it(
    organization, request, who, status
):
    client = request.getfixturevalue(f"{who}_client")
    before = AuditEvent.objects.for_account(organization.pk).count()
    url = account_url("orgs:activity_export", organization)
    assert client.get(url).status_code in {404, 405}, "reading an address exports nothing"
    assert client.post(url, {"format": "csv"}).status_code == status
    told = AuditEvent.objects.for_account(organization.pk).count() - before
    assert told == (1 if status == 200 else 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("narrowed", [{}, {"events": ("security.signed_in", "account.opened")}])
def test_an_export_is_complete_and_in_order_while_events_are_written(account, narrowed):
    write(account, 1200)
    lines = export(
        actor=account.user,
        account=account,
        selection=Selection(account_id=account.pk, **narrowed),
        format=Format.JSON,
        origin=Origin(),
    )
    told = []
    for number, line in enumerate(lines):
        told.append(json.loads(line)["sequence"])
        if number % 100 == 0:
            write(account)
    assert told == list(range(1, 1202))


# Whose right to read it ends meanwhile -------------------------------------------------------


def removed(owner: User, user: User, organization: Account) -> None:
    membership = Membership.objects.get(user=user, account=organization)
    remove_member(actor=owner, membership=membership, origin=Origin())


def demoted(owner: User, user: User, organization: Account) -> None:
    membership = Membership.objects.get(user=user, account=organization)
    role = Membership.Role.MEMBER
    change_role(actor=owner, membership=membership, role=role, origin=Origin())


def shut_out(owner: User, user: User, organization: Account) -> None:
    close_user(actor=person("staff", is_staff=True), user=user, origin=Origin())


def left_behind(owner: User, user: User, organization: Account) -> None:
    delete_organization(actor=owner, account=organization, origin=Origin())


def take(pieces: Iterator[bytes], told: bytearray) -> None:
    """All that still comes of a download."""
    for piece in pieces:
        told.extend(piece)


ENDINGS: list[Callable[[User, User, Account], None]] = [removed, demoted, shut_out, left_behind]


@pytest.fixture
def no_downloads() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize(
    ("fields", "accept"),
    [({"format": "json"}, ""), ({"format": "csv", "event": "byok"}, ""), ({}, "gzip")],
    ids=["json", "narrowed csv", "gzip"],
)
def test_an_export_ends_with_the_right_to_read_it(
    no_downloads, owner, billing_manager, billing_manager_client, organization, end, fields, accept
):
    narrowed = "event" in fields
    fill(organization, ASKED_AGAIN * (12 if narrowed else 2) + 500, [owner])
    answer = billing_manager_client.post(
        account_url("orgs:activity_export", organization),
        {"format": "json", **fields},
        headers={"accept-encoding": accept},
    )
    pieces = iter(answer.streaming_content)
    told = bytearray(next(pieces))
    end(owner, billing_manager, organization)
    with pytest.raises(NotPermitted):
        take(pieces, told)
    if accept:
        opened = zlib.decompressobj(31)
        told = bytearray(opened.decompress(told))
        assert not opened.eof, "nobody takes it for the whole file"
    assert 0 < told.count(b"\n") <= ASKED_AGAIN + 1


@pytest.mark.django_db(transaction=True)
def test_the_operators_own_export_asks_for_no_right(account):
    write(account, ASKED_AGAIN + 5)
    selection = Selection(account_id=account.pk)
    whole = export(
        actor=None, account=account, selection=selection, format=Format.JSON, origin=Origin()
    )
    assert verify_lines(whole).events == ASKED_AGAIN + 6


def status_after(change: Callable[[], object], client: Client, url: str) -> int:
    """What an export is answered that has been let in before `change`, and goes on after it."""
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
                statuses.append(client.post(url, {"format": "csv"}).status_code)
        finally:
            connection.close()

    thread = threading.Thread(target=request)
    with transaction.atomic():
        change()
        thread.start()
        assert waiting.wait(20)
    thread.join(60)
    [status] = statuses
    return status


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("end", "status"),
    # Who is shut out loses the session as well, which Django answers so.
    [(removed, 403), (demoted, 403), (shut_out, 400), (left_behind, 404)],
)
def test_who_loses_the_right_between_page_and_export_gets_none_and_may_download_elsewhere(
    no_downloads, owner, billing_manager, billing_manager_client, organization, end, status
):
    url = account_url("orgs:activity_export", organization)
    # The first page of a session also notes that there is one, and in which account it was last.
    billing_manager_client.get(account_url("orgs:activity", organization))
    under_way = [
        billing_manager_client.post(reverse("orgs:activity_export"), {"format": "csv"})
        for _ in range(AT_ONCE - 1)
    ]
    answered = status_after(
        lambda: end(owner, billing_manager, organization), billing_manager_client, url
    )
    assert answered == status
    told = AuditEvent.objects.for_account(organization.pk).values_list("event", flat=True)
    assert "audit.exported" not in told
    if end is not shut_out:
        assert exported(billing_manager_client, billing_manager.account)
    assert len(under_way) == AT_ONCE - 1


def under_way(client: Client) -> Iterator[bytes]:
    """An export of which one piece was taken, and the rest waits to be."""
    # Any: what the client returns has no type for a stream.
    response: Any = client.post(reverse("orgs:activity_export"), {"format": "json"})
    assert response.status_code == 200
    pieces: Iterator[bytes] = iter(response.streaming_content)
    assert next(pieces)
    return pieces


@pytest.mark.django_db
def test_an_export_that_lost_its_slot_ends_and_takes_nobody_elses(owner_client, account):
    write(account, 400)
    stalled = under_way(owner_client)
    cache.clear()  # So does time, a minute after the last piece was taken.
    others = [under_way(owner_client) for _ in range(AT_ONCE)]
    with pytest.raises(Stalled):
        list(stalled)
    refused = owner_client.post(reverse("orgs:activity_export"), {"format": "json"})
    assert refused.status_code == 302, "the others have their slots still"
    assert all(list(other) for other in others)
    assert list(under_way(owner_client))


@pytest.mark.django_db
def test_an_export_that_the_cache_forgot_goes_on(owner_client, account):
    write(account, 400)
    exports = [under_way(owner_client) for _ in range(AT_ONCE)]
    cache.clear()
    assert all(list(each) for each in exports)


@pytest.mark.django_db
def test_a_download_of_which_nobody_takes_the_next_piece_ends(owner):
    pieces = Slot(owner.pk, seconds=1).keep(iter([b"one", b"two"]))
    assert next(pieces) == b"one"
    time.sleep(1.1)
    with pytest.raises(Stalled):
        next(pieces)
    assert [Slot(owner.pk) for _ in range(AT_ONCE)]


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["changed", "details"])
@pytest.mark.parametrize("value", ["null", "7", "[]", "[7]", '"text"', '{"a":1}'])
def test_an_altered_event_is_exported_as_it_is(owner_client, account, column, value):
    write(account)
    tamper(account, f"UPDATE orgs_auditevent SET {column} = '{value}' WHERE {{mine}}")
    [first, _] = objects(exported(owner_client, account, format="json"))
    assert first[column] == json.loads(value)
    row = cells(exported(owner_client, account))[0]
    assert row[column].lstrip("'") == ("" if (column, value) == ("changed", "[]") else value)


# Over TCP ----------------------------------------------------------------------------------


@pytest.fixture
def server(transactional_db, organization, owner, member, tmp_path: Path) -> Iterator[Server]:
    """One whose database holds a long log of Acme's."""
    fill(organization, EVENTS, [owner, member])
    with running_server(tmp_path, "http://127.0.0.1:9") as running:
        yield running


class Browser:
    """Somebody signed in there."""

    def __init__(self, server: Server, user: User) -> None:
        self.server = server
        self.client = signed_in(user)
        self.session = requests.Session()
        cookie = self.client.cookies[settings.SESSION_COOKIE_NAME].value
        self.session.cookies.set(settings.SESSION_COOKIE_NAME, cookie)
        self.session.cookies.set(settings.CSRF_COOKIE_NAME, CSRF)

    def export(self, accept: str = "identity", **fields: str) -> requests.Response:
        """The answer, of which no more than its head has been read."""
        return self.session.post(
            f"{self.server.address}/orgs/acme/audit/export/",
            {"csrfmiddlewaretoken": CSRF, "format": "json", **fields},
            headers={"accept-encoding": accept},
            stream=True,
            allow_redirects=False,
            timeout=60,
        )


def memory(server: Server) -> int:
    """The most that the server has had in memory so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def test_a_large_export_takes_little_memory_and_holds_up_nobody(server, owner, organization):
    browser = Browser(server, owner)
    assert browser.export(**NOTHING).text == ""  # All code has been loaded then.
    before = memory(server)

    last = AuditHead.objects.get(pk=organization.pk).sequence
    with browser.export() as answer:
        pieces = answer.iter_content(PIECE)
        head = next(pieces)
        # It waits for us now, and for nobody else.
        assert server.ready(10)
        assert browser.export(**NOTHING).text == ""
        whole = head + b"".join(pieces)
    assert len(whole) > 1.5 * MEMORY or EVENTS < 20_000
    assert memory(server) - before < MEMORY
    assert verify_lines(whole.decode().splitlines(keepends=True)).events == last

    last = AuditHead.objects.get(pk=organization.pk).sequence
    rows = cells(browser.export(format="csv").content.decode())
    assert memory(server) - before < MEMORY
    assert [int(row["sequence"]) for row in rows] == list(range(1, last + 1))

    events = objects(browser.export(event="byok").text)
    assert memory(server) - before < MEMORY
    assert {event["event"].partition(".")[0] for event in events} == {"byok"}
    assert len(events) == sum(row["event"].startswith("byok.") for row in rows)
    assert [event["created_at"] for event in events] == sorted(
        event["created_at"] for event in events
    )

    # Compressed, it is one file: a browser ends at the end of the first that it finds.
    with browser.export("gzip") as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        assert "no-store" in answer.headers["cache-control"]
        opened = zlib.decompressobj(31)
        whole = opened.decompress(answer.raw.read(decode_content=False))
    assert opened.eof
    assert opened.unused_data == b""
    assert verify_lines(whole.decode().splitlines(keepends=True)).events == last + 2
    assert memory(server) - before < MEMORY


def test_a_person_has_few_exports_under_way_and_one_given_up_makes_room(server, owner, member):
    browser = Browser(server, owner)
    answers = [browser.export() for _ in range(AT_ONCE)]
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    refused = browser.export(event="token")
    assert refused.status_code == 302
    assert refused.headers["location"] == "/orgs/acme/audit/?event=token"
    assert b"Nothing was exported" in browser.client.get("/orgs/acme/audit/").content

    answers[0].close()
    until = time.monotonic() + 30
    while (again := browser.export()).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.2)
    for answer in (again, *answers):
        answer.close()


def test_an_export_that_ends_early_is_not_taken_for_the_whole(
    server, owner, billing_manager, organization
):
    browser = Browser(server, billing_manager)
    with browser.export() as answer:
        assert answer.status_code == 200
        pieces = answer.iter_content(PIECE)
        told = bytearray(next(pieces))
        removed(owner, billing_manager, organization)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            take(pieces, told)
    assert 0 < told.count(b"\n") < AuditHead.objects.get(pk=organization.pk).sequence
    assert server.ready(10)
    assert Browser(server, owner).export(**NOTHING).status_code == 200
