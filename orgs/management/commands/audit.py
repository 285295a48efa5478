"""`audit verify|export|anchor`: whether the audit log is as it was written, and copies of it."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date, parse_datetime

from orgs.audit import anchors
from orgs.audit.anchors import NotAnAnchor
from orgs.audit.chain import accounts, contradiction
from orgs.audit.export import Exported, Format, NotAnExport, export, verify_lines
from orgs.audit.selection import Selection
from orgs.audit.verification import verify_whole
from orgs.events import events_named
from orgs.management.accounts import account_named
from orgs.models import Account, AuditEvent
from orgs.origin import Origin

ACCOUNT = "A user's e-mail, an organization's slug, platform, or the id of an account"


class Command(BaseCommand):
    help = "Works on the audit log. See docs/audit.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        one = actions.add_parser(
            "verify",
            help="Look for edits, gaps, swaps and cut-off ends; exit with 1 if there are any.",
        )
        one.add_argument("--account", help=f"{ACCOUNT}; else all.")
        one.add_argument("--anchor", type=Path, help="An anchor that no chain may belie.")
        one.add_argument(
            "--file", type=Path, help="Verify this JSON export instead, without the database."
        )
        one.add_argument(
            "--narrowed", action="store_true", help="Filters left events out of the file."
        )
        one = actions.add_parser("export", help="Print the events of an account, oldest first.")
        one.add_argument("--account", required=True, help=f"{ACCOUNT}.")
        one.add_argument("--format", choices=[*Format], default=Format.CSV)
        one.add_argument("--event", default="", help="One event, or a kind of them such as byok.")
        one.add_argument("--actor", default="", help="Who did it, as the log calls them.")
        one.add_argument("--since", help="A date, or a time such as 2026-11-23T09:30Z.")
        one.add_argument("--until", help="The same; the first moment that is left out.")
        one = actions.add_parser("anchor", help="Print the heads of all chains, to keep elsewhere.")
        one.add_argument("--to", type=Path, metavar="FILE", help="Save them there instead.")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "verify" if options["file"]:
                if options["account"] is not None or options["anchor"]:
                    raise CommandError("--file is verified by itself: give it neither of the two.")
                self.verify_file(options["file"], narrowed=options["narrowed"])
            case "verify" if options["narrowed"]:
                raise CommandError("--narrowed tells of a --file, and there is none.")
            case "verify":
                self.verify(options["account"], options["anchor"])
            case "export":
                self.export(options)
            case "anchor":
                self.anchor(options["to"])

    def verify(self, name: str | None, anchor: Path | None) -> None:
        only = None if name is None else account_with_log(name).pk
        chains = events = 0
        broken = set()
        for chain in map(verify_whole, accounts() if only is None else [only]):
            chains += 1
            events += chain.events
            if chain.fault:
                broken.add(chain.account_id)
                self.tell(chain.account_id, chain.first_bad, chain.fault)
        if anchor is not None:
            broken |= set(self.compare(anchor, only))
        if broken:
            raise CommandError(
                f"{len(broken)} of {counted(chains, 'chain')} "
                f"{'is' if len(broken) == 1 else 'are'} not as written."
            )
        self.stdout.write(
            f"{counted(events, 'event')} in {counted(chains, 'chain')}: all as written."
        )

    def compare(self, path: Path, only: UUID | None) -> Iterator[UUID]:
        """The accounts whose chains belie the anchor."""
        try:
            anchor = anchors.check(path)
        except (NotAnAnchor, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Compared with {counted(anchor.chains, 'head')} of {anchor.digest}.")
        for account_id, noted in anchors.links(path):
            found = contradiction(account_id, noted) if only in (None, account_id) else None
            if found:
                fault, first_bad = found
                self.tell(account_id, first_bad, fault)
                yield account_id

    def tell(self, account_id: UUID, first_bad: int | None, fault: str) -> None:
        self.stdout.write(f"Account {account_id}, event {first_bad}: {fault}.")

    def verify_file(self, path: Path, *, narrowed: bool) -> None:
        try:
            with path.open(encoding="utf-8") as file:
                exported = verify_lines(file, narrowed=narrowed)
        except (NotAnExport, OSError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from None
        told = told_of(exported)
        if exported.left_out and not narrowed:
            raise CommandError(
                f"{told}. The others are as written. "
                "If filters left events out of this file, say so with --narrowed."
            )
        self.stdout.write(f"{told}: all as written.")

    def export(self, options: dict[str, Any]) -> None:  # Any: the options again.
        account = account_with_log(options["account"])
        events = events_named(options["event"])
        if options["event"] and not events:
            raise CommandError(f"There is no event {options['event']!r}. See docs/audit.md.")
        selection = Selection(
            account_id=account.pk,
            events=events,
            actor=options["actor"],
            since=moment(options["since"]),
            until=moment(options["until"]),
        )
        self.print(
            export(
                actor=None,
                account=account,
                selection=selection,
                format=Format(options["format"]),
                origin=Origin.command("audit export"),
            )
        )

    def anchor(self, path: Path | None) -> None:
        if path is None:
            self.print(anchors.lines())
            return
        try:
            saved = anchors.save(path)
        except FileExistsError:
            raise CommandError(f"{path} exists already: an anchor is never replaced.") from None
        except OSError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Saved {counted(saved.chains, 'head')}: {saved.digest}")

    def print(self, lines: Iterable[str]) -> None:
        try:
            for line in lines:
                self.stdout.write(line, ending="")
            self.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has seen enough. What is buffered has nowhere to go any more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def account_with_log(name: str) -> Account:
    """The account of that name, or, by its id, one that has only its log left."""
    return account_of_id(name) or account_named(name)


def account_of_id(text: str) -> Account | None:
    try:
        account_id = UUID(text)
    except ValueError:
        return None
    if not AuditEvent.objects.for_account(account_id).exists():
        return None
    account = Account.objects.filter(pk=account_id).first()
    return account or Account(pk=account_id, kind=Account.Kind.ORGANIZATION, name=text)


def moment(text: str | None) -> datetime | None:
    """A date's first moment, or a time; both are in UTC unless they say otherwise."""
    if text is None:
        return None
    try:
        day, at = parse_date(text), parse_datetime(text)
    except ValueError:
        day = at = None
    if day is not None:
        at = datetime.combine(day, time.min)
    if at is None:
        raise CommandError(f"{text!r} is neither a date nor a time.")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def told_of(exported: Exported) -> str:
    """Events 1–100,001, 1 left out: 402"""
    found = range(exported.first, exported.last + 1)
    told = f"{'Event' if exported.events == 1 else 'Events'} {stretch(found)}"
    if not exported.left_out:
        return told
    told += f", {exported.left_out:,} left out"
    named = [stretch(gap) for gap in exported.gaps]
    if sum(gap.stop - gap.start for gap in exported.gaps) < exported.left_out:
        named.append("…")
    return told if exported.narrowed else f"{told}: {', '.join(named)}"


def stretch(numbers: range) -> str:
    first, last = numbers[0], numbers[-1]
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
