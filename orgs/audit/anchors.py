"""Anchors: the heads of all chains at a moment, to be kept where nobody who could rebuild one can.

A file of JSON lines: one for each chain, then one with the SHA-256 of all before it. Whoever keeps
no more than that digest elsewhere, from the log say, can tell that a file is the one of that day.
"""

import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from django.utils import timezone

from orgs.audit.chain import Link
from orgs.audit.log import canonical_text
from orgs.models import AuditHead

FORMAT = "megabrain-anchor-1"
BATCH = 1000


class NotAnAnchor(ValueError):
    """Its text says why the file is not an anchor as it was written."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What the last line of an anchor says."""

    chains: int
    digest: str


def lines() -> Iterator[str]:
    """The anchor of this moment. Each head is one that its chain has had, while others write."""
    digest, chains = sha256(), 0
    for head in _heads():
        line = _line({"account_id": str(head.pk), "hash": head.hash, "sequence": head.sequence})
        digest.update(line.encode())
        chains += 1
        yield line
    yield _line(
        {
            "chains": chains,
            "created_at": timezone.now().isoformat(timespec="seconds"),
            "digest": digest.hexdigest(),
            "format": FORMAT,
        }
    )


def save(path: Path) -> Anchor:
    """Write the anchor of this moment to a file that is whole or not there.

    Raises FileExistsError: an anchor is never replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        last = ""
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for last in lines():
                file.write(last)
            file.flush()
            os.fsync(descriptor)
        os.link(aside, path)
    finally:
        Path(aside).unlink()
    return _summary(last)


def save_in(folder: Path) -> tuple[Path, Anchor]:
    """Write the anchor of this moment to a file of its own there."""
    path = folder / f"anchor-{timezone.now():%Y-%m-%dT%H-%M-%SZ}.jsonl"
    return path, save(path)


def check(path: Path) -> Anchor:
    """The last line of the anchor, if all lines are as written. Raises `NotAnAnchor`, OSError."""
    digest, chains, last = sha256(), 0, ""
    with path.open(encoding="utf-8", newline="") as file:
        try:
            for line in file:
                if last:
                    digest.update(last.encode())
                    chains += 1
                last = line
        except UnicodeDecodeError:
            raise NotAnAnchor(f"{path} is not a text file.") from None
    found = _summary(last)
    if found != Anchor(chains, digest.hexdigest()):
        raise NotAnAnchor(f"{path} is not as it was written: its lines do not match its digest.")
    return found


def links(path: Path) -> Iterator[tuple[uuid.UUID, Link]]:
    """The heads of an anchor that was checked."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            noted = json.loads(line)
            if "account_id" in noted:
                yield uuid.UUID(noted["account_id"]), Link(noted["sequence"], noted["hash"])


def _line(noted: dict[str, str | int]) -> str:
    return canonical_text(noted) + "\n"


def _summary(line: str) -> Anchor:
    try:
        noted = json.loads(line)
        if noted["format"] != FORMAT:
            raise KeyError(FORMAT)
        return Anchor(noted["chains"], noted["digest"])
    except (KeyError, TypeError, ValueError):
        raise NotAnAnchor("This is no anchor, or one that was cut off at its end.") from None


def _heads() -> Iterator[AuditHead]:
    last = uuid.UUID(int=0)
    heads = AuditHead.objects.exclude(sequence=0).order_by("pk")
    while batch := list(heads.filter(pk__gt=last)[:BATCH]):
        yield from batch
        last = batch[-1].pk
