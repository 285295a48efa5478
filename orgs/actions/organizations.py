"""Organizations: opened, renamed, limited and deleted."""

import json
import re
import secrets
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from orgs.actions.tokens import check_models
from orgs.audit import Event, Fact, record
from orgs.changes import announce
from orgs.closing import end_all_of
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted, Permission, require

SLUG_LENGTH = 40
#: How many organizations one person may own.
MAX_OWNED = 50
#: How many models an audit event names that were added, or removed, and in how many characters.
NAMED = 50
NAMED_LENGTH = 1500
_SLUG = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{SLUG_LENGTH - 2}}}[a-z0-9]", re.ASCII)
#: Words that an address or an operator's command has a use for.
RESERVED = {"account", "admin", "api", "megabrain", "new", "personal", "platform", "settings"}


class UnusableSlug(Exception):
    """Its text says what is wrong with the slug."""


class SlugTaken(Exception):
    """Another organization has this slug."""


class TooManyOrganizations(Exception):
    """The person owns as many organizations as one may."""


def create_organization(
    *,
    actor: User | None,
    owner: User,
    name: str,
    slug: str = "",
    origin: Origin,
    id: uuid.UUID | None = None,  # noqa: A002 -- "id" is the word for it.
) -> Account:
    """An organization with `owner` in it. Without a slug it gets one from its name.

    With an `id` chosen by the caller a repeated call makes no second one. `actor` is None for the
    operator at the command line.

    Raises `NotPermitted`, `UnusableSlug`, `SlugTaken`, `TooManyOrganizations`.
    """
    if slug:
        check_slug(slug)
    chosen = id or uuid.uuid4()
    with transaction.atomic():
        # Held so that two requests at once count the same organizations, and so that nobody opens
        # one while they are shut out.
        owner = User.objects.locked(owner)
        if not owner.is_active:
            raise NotPermitted(f"{owner} may not open organizations.")
        existing = Account.objects.filter(pk=chosen).first()
        if existing is not None:
            if existing.is_organization and existing.memberships.filter(user=owner).exists():
                return existing
            # No form of ours makes up the id of what belongs to others.
            chosen = uuid.uuid4()
        owned = Membership.objects.filter(
            user=owner, role=Membership.Role.OWNER, account__kind=Account.Kind.ORGANIZATION
        )
        if owned.count() >= MAX_OWNED:
            raise TooManyOrganizations(f"{owner} owns {MAX_OWNED} organizations.")
        account = _opened(chosen, name, slug)
        Membership.objects.create(account=account, user=owner, role=Membership.Role.OWNER)
        record(
            event=Event.ORG_CREATED,
            account=account,
            actor=actor,
            target=account,
            origin=origin,
            details={"owner": owner.email, "slug": account.slug},
        )
        # Personal API tokens open the organizations of their person.
        announce("account", str(owner.account.pk))
    return account


def change_organization(
    *, actor: User, account: Account, name: str, slug: str, origin: Origin
) -> bool:
    """Give the organization another name or slug. Says whether that changed anything.

    Its old addresses stop working. Raises `NotPermitted`, `UnusableSlug`, `SlugTaken`.
    """
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_ORGANIZATION, account)
        before = {"name": account.name, "slug": account.slug}
        after = {"name": name, "slug": slug}
        changed = [field for field in after if before[field] != after[field]]
        if not changed:
            return False
        if "slug" in changed:
            check_slug(slug)
        account.name, account.slug = name, slug
        _save(account, update_fields=changed)
        record(
            event=Event.ORG_RENAMED,
            account=account,
            actor=actor,
            target=account,
            origin=origin,
            changed=changed,
            details={
                name: value
                for field in changed
                for name, value in [(field, after[field]), (f"previous_{field}", before[field])]
            },
        )
        announce("account", str(account.pk))
    return True


def change_limits(
    *,
    actor: User,
    account: Account,
    allowed_models: Sequence[str] | None,
    member_requests_per_minute: int | None,
    token_requests_per_minute: int | None,
    origin: Origin,
) -> bool:
    """What the organization's members may call, and how often; None lifts a limit.

    Says whether that changed anything. Raises `NotPermitted`, and `UnknownModels` for models that
    were not allowed before and are not in the catalogue.
    """
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_ORGANIZATION, account)
        if allowed_models is not None:
            check_models(allowed_models, except_for=account.allowed_models or ())
        wanted: dict[str, Any] = {  # Any: of several types.
            "allowed_models": None if allowed_models is None else sorted(set(allowed_models)),
            "member_requests_per_minute": member_requests_per_minute,
            "token_requests_per_minute": token_requests_per_minute,
        }
        changed = [field for field, value in wanted.items() if getattr(account, field) != value]
        if not changed:
            return False
        before = account.allowed_models
        for field in changed:
            setattr(account, field, wanted[field])
        account.save(update_fields=changed)
        models = account.allowed_models
        record(
            event=Event.ORG_LIMITS_CHANGED,
            account=account,
            actor=actor,
            target=account,
            origin=origin,
            changed=changed,
            details={
                "models": None if models is None else len(models),
                "member_requests_per_minute": account.member_requests_per_minute,
                "token_requests_per_minute": account.token_requests_per_minute,
                **_change_of_models(before, models),
            },
        )
        announce("account", str(account.pk))
    return True


def _change_of_models(
    before: Sequence[str] | None, after: Sequence[str] | None
) -> dict[str, Fact | list[Fact]]:
    """Which models members may call that they could not before, and the other way round.

    Without a list of them they may call every one.
    """
    if before is None or after is None:
        named = {"models_from_now_on": after or (), "models_until_now": before or ()}
    else:
        named = {
            "models_added": sorted(set(after) - set(before)),
            "models_removed": sorted(set(before) - set(after)),
        }
    facts: dict[str, Fact | list[Fact]] = {
        name: _first_of(models) for name, models in named.items() if models
    }
    return facts


def _first_of(models: Sequence[str]) -> list[Fact]:
    """As many of them as an audit event has room for, and how many there are besides."""
    shown = list(models[:NAMED])
    while len(json.dumps(shown)) > NAMED_LENGTH:
        shown.pop()
    more = len(models) - len(shown)
    return [*shown, *([f"… and {more:,} more"] if more else [])]


def delete_organization(*, actor: User, account: Account, origin: Origin) -> None:
    """Delete the organization with its keys, tokens, members and invitations, for good.

    What it subscribes to ends, its card is forgotten, and its balance lost. Its audit log, ledger
    and usage stay. Raises `NotPermitted`.
    """
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_ORGANIZATION, account)
        _hold_belongings(account)
        ended = end_all_of(account)
        record(
            event=Event.ORG_DELETED,
            account=account,
            actor=actor,
            target=account,
            origin=origin,
            details={
                "members": account.memberships.count(),
                "tokens": account.api_tokens.filter(revoked_at__isnull=True).count(),
                **ended,
            },
        )
        announce("account", str(account.pk))
        account.delete()


def _hold_belongings(account: Account) -> None:
    """Whoever changes one of them holds it before the audit log's head; so does who deletes all."""
    for relation in Account._meta.related_objects:
        rows = relation.related_model._base_manager.filter(**{relation.field.name: account})
        list(rows.order_by("pk").select_for_update().values_list("pk"))


def check_slug(slug: str) -> None:
    """Raises `UnusableSlug`."""
    if not _SLUG.fullmatch(slug) or "--" in slug:
        raise UnusableSlug(
            f"Use 2 to {SLUG_LENGTH} lower-case letters, digits and single hyphens, with a letter "
            "or digit at both ends."
        )
    if slug in RESERVED or slug.startswith("personal-") or _is_uuid(slug):
        # Agents name an organization by slug or id, and operators with the same word.
        raise UnusableSlug("This one is reserved. Choose another.")


def free_slug(name: str) -> str:
    """A slug from the name that no organization has so far."""
    stem = re.sub("[-_]+", "-", slugify(name))[: SLUG_LENGTH - 6].strip("-")
    for candidate in (stem, f"{stem}-{secrets.token_hex(2)}"):
        if _usable(candidate) and not Account.objects.filter(slug=candidate).exists():
            return candidate
    return f"org-{secrets.token_hex(6)}"


def _usable(slug: str) -> bool:
    try:
        check_slug(slug)
    except UnusableSlug:
        return False
    return True


def _opened(id: uuid.UUID, name: str, slug: str) -> Account:  # noqa: A002 -- as above.
    account = Account(
        id=id, kind=Account.Kind.ORGANIZATION, name=name, slug=slug or free_slug(name)
    )
    try:
        return _save(account, force_insert=True)
    except SlugTaken:
        if slug:
            raise
        # Somebody else was quicker, and nobody asked for this very one.
        account.slug = free_slug(name)
        return _save(account, force_insert=True)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _save(account: Account, **options: Any) -> Account:  # Any: what `save` takes.
    try:
        with transaction.atomic():
            account.save(**options)
    except IntegrityError:
        if Account.objects.filter(slug=account.slug).exclude(pk=account.pk).exists():
            raise SlugTaken(account.slug) from None
        raise
    return account
