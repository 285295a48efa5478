"""Plans and the keys in stock for them, as staff keep them.

Secrets go in and never come out: nothing here shows one, and the audit log has no part of one.
Whoever changes something acts in the platform's account, and its audit log tells of it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import IntegrityError, transaction

from billing.models import Plan, PlanKey
from byok.providers import PROVIDERS
from byok.vault import Secret, fingerprint, hint
from orgs.audit import Event, Fact, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission, require

State = PlanKey.State

#: What of a plan can be changed. What it is called by keys, and whose keys they are, cannot.
PLAN_FIELDS = ("name", "summary", "price_micros", "period_days", "active")
#: How many keys are added at once.
KEYS_AT_ONCE = 200


class InStockAlready(Exception):
    """`places` are those of the keys, from 1, that were added before, or stand there twice."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__(f"{len(places)} of the keys are in stock already.")
        self.places = places


class NotInThatState(Exception):
    """Somebody else was quicker: the key is not in the state that this is for."""


def change_plan(*, actor: User, plan: Plan, values: Mapping[str, Fact], origin: Origin) -> bool:
    """Give the plan these of its `PLAN_FIELDS`. Says whether that changed anything.

    Periods that were paid for stay as they are: price and length count from the next one on.
    Raises `NotPermitted`.
    """
    with transaction.atomic():
        platform = _platform(actor)
        plan = Plan.objects.select_for_update().get(pk=plan.pk)
        before = {field: getattr(plan, field) for field in PLAN_FIELDS if field in values}
        changed = [field for field in before if before[field] != values[field]]
        if not changed:
            return False
        for field in changed:
            setattr(plan, field, values[field])
        plan.save(update_fields=changed)
        record(
            event=Event.PLAN_CHANGED,
            account=platform,
            actor=actor,
            target=plan,
            origin=origin,
            changed=changed,
            details={
                name: value
                for field in changed
                for name, value in [
                    (field, getattr(plan, field)),
                    (f"previous_{field}", before[field]),
                ]
            },
        )
    return True


def add_plan_keys(
    *, actor: User, plan: Plan, secrets: Sequence[Secret], origin: Origin, now: datetime
) -> int:
    """Seal the keys into the plan's stock, all of them or none; how many they were.

    Raises `NotPermitted`, and `InStockAlready` for a secret that any plan of its provider has or
    had in stock.
    """
    if not 0 < len(secrets) <= KEYS_AT_ONCE:
        raise ValueError(f"Add 1 to {KEYS_AT_ONCE} keys at once.")
    prints = [fingerprint(secret, plan.provider) for secret in secrets]
    try:
        with transaction.atomic():
            platform = _platform(actor)
            _check_new(plan, prints)
            PlanKey.objects.bulk_create(
                PlanKey(
                    plan=plan,
                    provider=plan.provider,
                    secret=secret,
                    hint=_hint(plan, secret),
                    fingerprint=print_,
                    added_by=actor.pk,
                    added_at=now,
                )
                for secret, print_ in zip(secrets, prints, strict=True)
            )
            record(
                event=Event.PLAN_KEYS_ADDED,
                account=platform,
                actor=actor,
                target=plan,
                origin=origin,
                details={"keys": len(secrets)},
            )
    except IntegrityError:
        # Without its cause: a database's complaint may quote the row.
        _check_new(plan, prints)
        raise
    return len(secrets)


def withdraw_plan_key(*, actor: User, key: PlanKey, origin: Origin, now: datetime) -> None:
    """Hand this key out to nobody: it is to be revoked at its provider.

    Raises `NotPermitted`, and `NotInThatState` unless it is available.
    """
    with transaction.atomic():
        platform = _platform(actor)
        key = _locked(key, State.AVAILABLE)
        release(key, now)
        record(
            event=Event.PLAN_KEY_WITHDRAWN, account=platform, actor=actor, target=key, origin=origin
        )


def mark_revoked(*, actor: User, key: PlanKey, origin: Origin, now: datetime) -> None:
    """Note that the key is revoked at its provider.

    Raises `NotPermitted`, and `NotInThatState` unless it was to be.
    """
    with transaction.atomic():
        platform = _platform(actor)
        key = _locked(key, State.TO_REVOKE)
        key.state, key.revoked_at = State.REVOKED, now
        key.save(update_fields=["state", "revoked_at"])
        record(
            event=Event.PLAN_KEY_REVOKED, account=platform, actor=actor, target=key, origin=origin
        )


def release(key: PlanKey, now: datetime) -> None:
    """Of a key that is locked, or whose subscription is: nobody is to have it any more."""
    key.state, key.secret, key.released_at = State.TO_REVOKE, None, now
    key.save(update_fields=["state", "secret", "released_at"])


def _platform(actor: User) -> Account:
    platform = Account.objects.platform()
    require(actor, Permission.MANAGE_BILLING, platform)
    return platform


def _locked(key: PlanKey, state: PlanKey.State) -> PlanKey:
    found = PlanKey.objects.select_for_update(of=("self",)).select_related("plan").get(pk=key.pk)
    if found.state != state:
        raise NotInThatState(f"It is {found.get_state_display().lower()} by now.")
    return found


def _check_new(plan: Plan, prints: Sequence[str]) -> None:
    known = PlanKey.objects.filter(provider=plan.provider, fingerprint__in=prints)
    seen = set(known.values_list("fingerprint", flat=True))
    places = []
    for place, print_ in enumerate(prints, 1):
        if print_ in seen:
            places.append(place)
        seen.add(print_)
    if places:
        raise InStockAlready(places)


def _hint(plan: Plan, secret: Secret) -> str:
    provider = PROVIDERS[plan.provider]
    return hint(provider.hinted(secret.reveal()), provider.key_prefixes)
