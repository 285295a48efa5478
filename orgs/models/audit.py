from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, NoReturn, Self

from django.db import models
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orgs.events import SENTENCES

START = "0" * 64  # What the first event of a chain names as the hash before it.

#: Where an event stands in a list: lists are in order of time, events of one moment by number.
Place = tuple[datetime, int]


class AuditLogIsAppendOnly(Exception):
    """Raised by every attempt to change or remove an audit event."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def for_account(self, account_id: uuid.UUID) -> Self:
        return self.filter(account_id=account_id)

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-sequence")

    def oldest_first(self) -> Self:
        return self.order_by("created_at", "sequence")

    def older_than(self, place: Place) -> Self:
        at, sequence = place
        return self.filter(created_at__lte=at).exclude(created_at=at, sequence__gte=sequence)

    def newer_than(self, place: Place) -> Self:
        at, sequence = place
        return self.filter(created_at__gte=at).exclude(created_at=at, sequence__lte=sequence)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditLogIsAppendOnly("Audit events are never changed or removed.")

    update = _refuse
    delete = _refuse
    bulk_update = _refuse
    update_or_create = _refuse


class AuditEvent(models.Model):
    """One change, told so that it can be read years later and not be altered unnoticed.

    Ids and labels of actor and target are copied, not referenced: the row outlives what it names.
    `orgs.audit.record` is the only writer; database triggers refuse updates and deletes.
    """

    id = models.BigAutoField(primary_key=True)
    account_id = models.UUIDField()
    sequence = models.PositiveBigIntegerField(help_text="1, 2, 3 … within the account.")
    event = models.CharField(max_length=60)
    actor_id = models.UUIDField(null=True, blank=True)
    actor_label = models.CharField(max_length=254)
    target_kind = models.CharField(max_length=40)
    target_id = models.CharField(max_length=64)
    target_label = models.CharField(max_length=254)
    changed = models.JSONField(default=list, help_text="Names of changed fields, never values.")
    details = models.JSONField(default=dict, help_text="Further facts, free of secrets.")
    address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account_id", "sequence"], name="orgs_auditevent_gap_free"
            ),
        ]
        # Whatever a list is narrowed to, it is read from one of these in its order (Place).
        indexes = [
            models.Index(fields=["account_id", *columns, "created_at", "sequence"], name=name)
            for name, columns in {
                "orgs_auditevent_by_time": [],
                "orgs_auditevent_of_event": ["event"],
                "orgs_auditevent_of_actor": ["actor_label"],
                "orgs_auditevent_of_actor_event": ["actor_label", "event"],
                "orgs_auditevent_of_target": ["target_id"],
            }.items()
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self._sentence.replace('{target}', self.target_label)}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AuditLogIsAppendOnly("Audit events are never changed or removed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AuditLogIsAppendOnly("Audit events are never changed or removed.")

    @property
    def place(self) -> Place:
        return self.created_at, self.sequence

    @property
    def told(self) -> SafeString:
        """What the actor did, as HTML: "added the <strong>anthropic …</strong> key"."""
        before, named, after = self._sentence.partition("{target}")
        if not named:
            return format_html("{}", before)
        return format_html("{}<strong>{}</strong>{}", before, self.target_label, after)

    @property
    def _sentence(self) -> str:
        # An event of a later version has a name here, but no sentence yet.
        return SENTENCES.get(self.event, self.event)


class AuditHead(models.Model):
    """The last link of an account's chain; locked while the next one is added."""

    account_id = models.UUIDField(primary_key=True)
    sequence = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, default=START)

    def __str__(self) -> str:
        return f"{self.account_id} at {self.sequence}"


class AuditCheck(models.Model):
    """What is known of an account's chain: that it was as written up to an event, or where not.

    Kept by `orgs.audit.verification`, read by the page.
    """

    account_id = models.UUIDField(primary_key=True)
    sequence = models.PositiveBigIntegerField(
        default=0, help_text="The last event that was found good; stays when a fault is found."
    )
    hash = models.CharField(max_length=64, default=START)
    fault = models.CharField(
        max_length=20, blank=True, help_text="The name of an orgs.audit.chain.Fault."
    )
    first_bad = models.PositiveBigIntegerField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    walked_sequence = models.PositiveBigIntegerField(
        default=0, help_text="How far the chain was walked anew; 0 between two such walks."
    )
    walked_hash = models.CharField(max_length=64, default=START)
    walked_at = models.DateTimeField(help_text="When it was last walked from end to end.")

    class Meta:
        indexes = [models.Index(fields=["walked_at"], name="orgs_auditcheck_to_walk")]

    def __str__(self) -> str:
        state = f"broken at {self.first_bad}" if self.fault else f"good up to {self.sequence}"
        return f"{self.account_id}: {state}"
