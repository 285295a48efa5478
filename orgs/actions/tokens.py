"""API tokens: made and revoked."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from orgs.audit import Event, record
from orgs.catalogue import known_models
from orgs.changes import announce
from orgs.models import Account, ApiToken, User
from orgs.origin import Origin
from orgs.permissions import Permission, require, require_any
from orgs.tokens import SHOWN, digest, new_token

MAX_TOKENS = 100


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


def create_token(
    *,
    actor: User,
    account: Account,
    name: str,
    origin: Origin,
    expires_at: datetime | None = None,
    allowed_models: Sequence[str] | None = None,
    monthly_limit: int | None = None,
    requests_per_minute: int | None = None,
    id: uuid.UUID | None = None,  # noqa: A002 -- "id" is the word for it.
) -> tuple[ApiToken, str]:
    """A token of `actor` in `account`, and its text, which nothing can show again.

    `allowed_models` are catalogue ids, None for all; `monthly_limit` bounds what it may spend of
    the balance, in micro-dollars; `requests_per_minute` is a limit of its own beside those of the
    account. With an `id` chosen by the caller a repeated call makes no second token.

    Raises `NotPermitted`, `TooManyTokens`, `UnknownModels`, `TokenExists`.
    """
    if allowed_models is not None:
        check_models(allowed_models)
    text, chosen = new_token(), id or uuid.uuid4()
    with transaction.atomic():
        # Held so that two requests at once cannot both find the last free place, and so that
        # nobody makes a token while their membership ends.
        account = Account.objects.locked(account)
        require(actor, Permission.OWN_TOKENS, account)
        repeated = ApiToken.objects.filter(pk=chosen).first()
        if repeated is not None:
            if repeated.user_id == actor.pk:
                raise TokenExists(repeated)
            # No form of ours makes up the id of what belongs to others.
            chosen = uuid.uuid4()
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
            requests_per_minute=requests_per_minute,
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
                "requests_per_minute": requests_per_minute,
            },
        )
        announce("token", str(token.pk))
    return token, text


def check_models(ids: Sequence[str], except_for: Collection[str] = ()) -> None:
    """Raises `UnknownModels` for ids that are not in the catalogue, and for none at all."""
    known = {*dict(known_models()), *except_for}
    unknown = [model for model in ids if model not in known]
    if unknown or not ids:
        raise UnknownModels(unknown)


def revoke_token(*, actor: User, token: ApiToken, origin: Origin) -> None:
    """Stop `token` for good, at once and everywhere. Nothing happens to one already revoked.

    Its owner may, whoever manages the account's members, and staff. Raises `NotPermitted`.
    """
    with transaction.atomic():
        account = Account.objects.locked(token.account)
        allowed = {Permission.MANAGE_MEMBERS, Permission.ASSIST}
        if token.user_id == actor.pk:
            allowed |= {Permission.OWN_TOKENS}
        require_any(actor, allowed, account)
        now = timezone.now()
        live = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True)
        if not live.update(revoked_at=now):
            return
        token.revoked_at = now
        record(
            event=Event.TOKEN_REVOKED,
            account=account,
            actor=actor,
            target=token,
            origin=origin,
            changed=["revoked_at"],
        )
        announce("token", str(token.pk))
