"""How django-allauth meets MegaBrain: people, their mail, their second factor."""

from typing import Any

import qrcode
import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.forms import BaseForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orgs.access import signed_in_recently
from orgs.actions import open_personal_account
from orgs.models import User
from orgs.origin import Origin, client_address
from orgs.second_factor import Unreadable, seal, unseal, unusable_secret

log = structlog.get_logger(__name__)
# What a server on a Unix socket sees of its clients: they share one rate limit.
NO_ADDRESS = "::"


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "account_inactive": "This account is closed.",
        "email_password_mismatch": "That e-mail address and password do not belong together.",
        "duplicate_email": "This is your e-mail address already.",
        "same_as_current": "This is your e-mail address already.",
        "email_taken": "Another account has this e-mail address.",
        "enter_current_password": "This is not your current password.",
        "incorrect_password": "This is not your password.",
        "incorrect_code": "This code is not right. Check it, or wait for a new one.",
        "too_many_login_attempts": (
            "There were too many failed attempts. Wait five minutes, or reset your password."
        ),
        "rate_limited": "That was too often in a short time. Wait a minute and try again.",
    }

    def save_user(
        self, request: HttpRequest, user: AbstractBaseUser, form: BaseForm, commit: bool = True
    ) -> AbstractBaseUser:
        """The new user and their personal account, in the caller's transaction."""
        assert isinstance(user, User)
        user.name = form.cleaned_data.get("name", "")
        super().save_user(request, user, form, commit=commit)
        open_personal_account(user, Origin.of(request))
        return user

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Of all the person's columns this one: another may have changed since they were loaded."""
        user.set_password(password)
        user.save(update_fields=["password"])

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request) or NO_ADDRESS

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:  # Any: allauth's
        """Whoever has just signed in need not say so again."""
        return not signed_in_recently(context.request)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send the letter once the change it tells of is kept. A mail server that is away is
        logged, not shown: every page that announces a letter also offers another one.
        """
        letter = self.render_mail(
            template_prefix,
            email,
            {"email": email, "base_url": settings.MEGABRAIN_BASE_URL, **context},
        )
        transaction.on_commit(letter.send, robust=True)

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Built on our own address, not on the one the request claims to be for."""
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "0", "key": "KEY"})
        return f"{settings.MEGABRAIN_BASE_URL}{path.replace('0-KEY', key)}"

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("orgs:profile")

    def get_email_verification_redirect_url(self, email_address: EmailAddress) -> str:
        return reverse("orgs:profile")

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:  # Any: allauth's
        words = {
            "reauthenticate": "Use your password",
            "mfa_reauthenticate": "Use a code",
            "mfa_reauthenticate:webauthn": "Use a passkey",
        }
        ways = super().get_reauthentication_methods(user)
        return [{**way, "description": words[way["id"]]} for way in ways]


class TwoFactorAdapter(DefaultMFAAdapter):
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "This code is not right. They change every 30 seconds: try the next.",
        "unverified_email": "Confirm your e-mail address first.",
        "cannot_generate_recovery_codes": (
            "Recovery codes belong to two-factor authentication. Turn it on first."
        ),
    }

    def encrypt(self, text: str) -> str:
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return unseal(encrypted_text)
        except Unreadable:
            # Nobody passes with this one, but the page that asks for a code still works.
            log.error("two_factor.unreadable", hint="Was SECRET_KEY changed without a fallback?")
            return unusable_secret()

    def build_totp_svg(self, url: str) -> SafeString:
        """The QR code as one path, for inline use: the content policy has no room for data URLs."""
        code = qrcode.QRCode(border=2)
        code.add_data(url)
        rows = code.get_matrix()
        path = "".join(
            f"M{x} {y}h1v1h-1z" for y, row in enumerate(rows) for x, dark in enumerate(row) if dark
        )
        return format_html(
            '<svg class="qr" role="img" aria-label="QR code for your authenticator app"'
            ' viewBox="0 0 {} {}" shape-rendering="crispEdges"><path d="{}"></path></svg>',
            len(rows),
            len(rows),
            path,
        )

    def generate_authenticator_name(
        self,
        user: AbstractBaseUser,
        type: Authenticator.Type,  # noqa: A002 -- allauth's word.
    ) -> str:
        return "Passkey"
