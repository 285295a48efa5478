"""Every change to users, accounts and API tokens: each writes its audit event with it."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction
from django.utils import timezone

from orgs.audit import Event, record
from orgs.catalogue import known_models
from orgs.changes import announce
from orgs.models import Account, ApiToken, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted, Permission, may, require
from orgs.tokens import SHOWN, digest, new_token

MAX_TOKENS = 100


class EmailTaken(Exception):
    """Somebody has an account with this e-mail address."""


class TooManyTokens(Exception):
    """The person already has as many usable tokens in this account as one may have."""


class UnknownModels(Exception):
    """`ids` are not in the catalogue."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"Not in the catalogue: {', '.join(ids)}.")
        self.ids = ids


class TokenExists(Exception):
    """This form has made its token already; the token's text cannot be shown again."""

    def __init__(self, token: ApiToken) -> None:
        super().__init__(f"The API token {token} exists already.")
        self.token = token


def create_user(
    *,
    email: str,
    password: str,
    name: str = "",
    is_staff: bool = False,
    email_verified: bool = False,
    origin: Origin,
) -> User:
    """A person who can sign in, with a personal account, as an operator makes one.

    People who sign up themselves come through allauth and `open_personal_account`.
    Raises `EmailTaken`.
    """
    user = User(email=User.objects.normalize_email(email).lower(), name=name, is_staff=is_staff)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            EmailAddress.objects.create(
                user=user, email=user.email, verified=email_verified, primary=True
            )
            _open_account(user, actor=None, origin=origin)
    except IntegrityError:
        if User.objects.filter(email=user.email).exists():
            raise EmailTaken(f"{user.email} has an account already.") from None
        raise
    return user


def open_personal_account(user: User, origin: Origin) -> Account:
    """The personal account of someone who has just signed up, with them as its owner."""
    with transaction.atomic():
        return _open_account(user, actor=user, origin=origin)


def _open_account(user: User, *, actor: User | None, origin: Origin) -> Account:
    account = Account.objects.create(
        kind=Account.Kind.PERSONAL,
        name=user.get_short_name()[:100],
        # Unique by itself, tells nothing of the person, and takes no name an organization may want.
        slug=f"personal-{user.pk}",
        user=user,
    )
    Membership.objects.create(account=account, user=user, role=Membership.Role.OWNER)
    record(event=Event.ACCOUNT_OPENED, account=account, actor=actor, target=account, origin=origin)
    return account


def rename_user(*, actor: User, name: str, origin: Origin) -> None:
    """Call `actor` and their personal account `name`; without one, both go by the address."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        if user.name == name:
            return
        user.name = actor.name = name
        user.save(update_fields=["name"])
        account = user.account
        account.name = user.get_short_name()[:100]
        account.save(update_fields=["name"])
        record(
            event=Event.NAME_CHANGED,
            account=account,
            actor=user,
            target=account,
            origin=origin,
            changed=["name"],
        )
        announce("account", str(account.pk))


def create_token(
    *,
    actor: User,
    account: Account,
    name: str,
    origin: Origin,
    expires_at: datetime | None = None,
    allowed_models: Sequence[str] | None = None,
    monthly_limit: int | None = None,
    id: uuid.UUID | None = None,  # noqa: A002 -- "id" is the word for it.
) -> tuple[ApiToken, str]:
    """A token of `actor` in `account`, and its text, which nothing can show again.

    `allowed_models` are catalogue ids, None for all; `monthly_limit` bounds what it may spend of
    the balance, in micro-dollars. With an `id` chosen by the caller a repeated call makes no
    second token.

    Raises `NotPermitted`, `TooManyTokens`, `UnknownModels`, `TokenExists`.
    """
    require(actor, Permission.OWN_TOKENS, account)
    if allowed_models is not None:
        _check_models(allowed_models)
    text, chosen = new_token(), id or uuid.uuid4()
    with transaction.atomic():
        # Held so that two requests at once cannot both find the last free place.
        Account.objects.select_for_update(no_key=True).get(pk=account.pk)
        repeated = ApiToken.objects.filter(pk=chosen, user=actor).first()
        if repeated is not None:
            raise TokenExists(repeated)
        if ApiToken.objects.for_account(account).filter(user=actor).usable().count() >= MAX_TOKENS:
            raise TooManyTokens(f"{MAX_TOKENS} API tokens are in use. Revoke one first.")
        token = ApiToken.objects.create(
            id=chosen,
            user=actor,
            account=account,
            name=name,
            prefix=text[:SHOWN],
            digest=digest(text),
            allowed_models=None if allowed_models is None else sorted(set(allowed_models)),
            monthly_limit=monthly_limit,
            expires_at=expires_at,
        )
        record(
            event=Event.TOKEN_CREATED,
            account=account,
            actor=actor,
            target=token,
            origin=origin,
            details={
                "expires_at": expires_at.isoformat() if expires_at else None,
                "models": len(token.allowed_models) if token.allowed_models else None,
                "monthly_limit": monthly_limit,
            },
        )
        announce("token", str(token.pk))
    return token, text


def _check_models(ids: Sequence[str]) -> None:
    known = dict(known_models())
    unknown = [model for model in ids if model not in known]
    if unknown or not ids:
        raise UnknownModels(unknown)


def revoke_token(*, actor: User, token: ApiToken, origin: Origin) -> None:
    """Stop `token` for good, at once and everywhere. Nothing happens to one already revoked.

    Its owner may, and whoever manages the account's members. Raises `NotPermitted`.
    """
    own = token.user_id == actor.pk and may(actor, Permission.OWN_TOKENS, token.account)
    if not own and not may(actor, Permission.MANAGE_MEMBERS, token.account):
        raise NotPermitted(f"{actor} may not revoke {token}.")
    with transaction.atomic():
        now = timezone.now()
        live = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True)
        if not live.update(revoked_at=now):
            return
        token.revoked_at = now
        record(
            event=Event.TOKEN_REVOKED,
            account=token.account,
            actor=actor,
            target=token,
            origin=origin,
            changed=["revoked_at"],
        )
        announce("token", str(token.pk))
