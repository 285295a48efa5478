"""What happens around signing in, told to the audit log of the person's own account.

django-allauth does the changes; these receivers write the events, in the transaction that
`orgs.sign_in_urls` puts around its views. Connected by `OrgsConfig.ready`.
"""

from typing import Any

from allauth.account import signals as account
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa import signals as two_factor
from allauth.mfa.models import Authenticator
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_save, pre_delete
from django.dispatch import receiver
from django.http import HttpRequest

from orgs.audit import Event, record
from orgs.models import User
from orgs.origin import Origin
from orgs.sessions import end_sessions

Type = Authenticator.Type
Rest = Any  # What else a signal is sent with.

ADDED = {
    Type.TOTP: Event.TWO_FACTOR_ENABLED,
    Type.RECOVERY_CODES: Event.RECOVERY_CODES_GENERATED,
    Type.WEBAUTHN: Event.PASSKEY_ADDED,
}
REMOVED = {Type.TOTP: Event.TWO_FACTOR_DISABLED, Type.WEBAUTHN: Event.PASSKEY_REMOVED}
METHODS = {"password": "password", "password_reset": "e-mail", "sign_up": "e-mail"}


class Passkey:
    """A passkey as the target of an event, called what its owner called it."""

    _meta = Authenticator._meta

    def __init__(self, authenticator: Authenticator) -> None:
        self.pk = authenticator.pk
        self.audit_label = str(authenticator)


def told(event: Event, user: User, *, target: Any = None, **details: str) -> None:
    """Record what `user` did to their own security; `target` is the person unless given."""
    record(
        event=event,
        account=user.account,
        actor=user,
        target=target or user,
        origin=_origin(),
        details=details,
    )


def _origin() -> Origin:
    request: HttpRequest | None = context.request
    return Origin.of(request) if request is not None else Origin()


@receiver(account.user_logged_in)
def signed_in(request: HttpRequest, user: User, **rest: Rest) -> None:
    if not get_authentication_records(request, user):
        # They have just signed up, and chose the password in this session.
        record_authentication(request, user, method="sign_up")
    told(Event.SIGNED_IN, user, method=_method(request, user))


def _method(request: HttpRequest, user: User) -> str:
    """How they proved who they are: "password", "passkey", "password and code" …"""
    words = []
    for proof in get_authentication_records(request, user):
        if proof["method"] == "mfa":
            words.append("passkey" if proof["type"] == Type.WEBAUTHN else "code")
        elif not proof.get("reauthenticated"):
            words.append(METHODS.get(proof["method"], proof["method"]))
    return " and ".join(words)


@receiver(user_logged_out)
def signed_out(user: User | None, **rest: Rest) -> None:
    if user is not None:
        told(Event.SIGNED_OUT, user)


@receiver(account.password_changed)
def password_changed(request: HttpRequest, user: User, **rest: Rest) -> None:
    told(Event.PASSWORD_CHANGED, user)
    end_sessions(actor=user, keep=request.session.session_key, origin=Origin.of(request))


@receiver(account.password_reset)
def password_reset(request: HttpRequest, user: User, **rest: Rest) -> None:
    """Whoever knew the old password is out everywhere; who reset it is about to be signed in."""
    told(Event.PASSWORD_RESET, user)
    end_sessions(actor=user, origin=Origin.of(request))


@receiver(account.email_confirmed)
def email_confirmed(email_address: EmailAddress, **rest: Rest) -> None:
    """The first address; a later one is told as the change that it makes."""
    others = EmailAddress.objects.filter(user=email_address.user).exclude(pk=email_address.pk)
    if not others.exists():
        told(Event.EMAIL_VERIFIED, email_address.user)


@receiver(account.email_changed)
def email_changed(
    user: User,
    from_email_address: EmailAddress | None,
    to_email_address: EmailAddress,
    **rest: Rest,
) -> None:
    if from_email_address is not None:
        told(Event.EMAIL_CHANGED, user, previous=from_email_address.email)


@receiver(two_factor.authenticator_used)
def authenticator_used(user: User, authenticator: Authenticator, **rest: Rest) -> None:
    if authenticator.type == Type.RECOVERY_CODES:
        told(Event.RECOVERY_CODE_USED, user)


@receiver(two_factor.authentication_failed)
def wrong_code(user: User, **rest: Rest) -> None:
    """Somebody has the password but not the second factor: worth knowing."""
    told(Event.TWO_FACTOR_FAILED, user)


@receiver(post_save, sender=Authenticator)
def authenticator_added(instance: Authenticator, created: bool, **rest: Rest) -> None:
    """Heard from the row itself: allauth tells of some only after the commit."""
    if created:
        told(ADDED[Type(instance.type)], instance.user, target=_target(instance))


@receiver(pre_delete, sender=Authenticator)
def authenticator_removed(instance: Authenticator, origin: Any, **rest: Rest) -> None:
    event = REMOVED.get(Type(instance.type))
    # With the whole person gone there is nobody to tell.
    if event and not isinstance(origin, User):
        told(event, instance.user, target=_target(instance))


def _target(authenticator: Authenticator) -> User | Passkey:
    return Passkey(authenticator) if authenticator.type == Type.WEBAUTHN else authenticator.user
