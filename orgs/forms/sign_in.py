"""The forms of signing in: django-allauth's, in our words and with one password field."""

from typing import Any

from allauth.account import forms as account
from allauth.mfa.base import forms as codes
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as passkeys
from django import forms
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse

from orgs.audit import Event
from orgs.forms.fields import NameField
from orgs.models import User
from orgs.sign_in import Passkey, told

HOW_LONG = "Ten characters or more. A few random words are easy to remember."
CODE = {"inputmode": "numeric", "autocomplete": "one-time-code"}


def _plain(form: forms.Form, **labels: str) -> None:
    """Labels in our words, no placeholder that repeats them, and the first field ready to type."""
    first = next(iter(form.fields.values()))
    first.widget.attrs["autofocus"] = True
    for name, field in form.fields.items():
        field.widget.attrs.pop("placeholder", None)
        field.label = labels.get(name, field.label)
        if name in {"email", "login"}:
            field.label = "E-mail"
            field.widget.attrs.update({"autocomplete": "username", "spellcheck": "false"})
        if name == "password1":
            field.help_text = HOW_LONG


class LoginForm(account.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)
        self.fields["password"].help_text = ""


class SignupForm(account.SignupForm):
    name = NameField(
        label="Name",
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    field_order = ("email", "password1", "name")
    account_already_exists: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """The new user; or, for an address that has an account, the answer that hides it.

        Both take equally long: a password is hashed either way.
        """
        if self.account_already_exists:
            make_password(self.cleaned_data["password1"])
        try:
            with transaction.atomic():
                return self._saved(request)
        except IntegrityError:
            if not User.objects.filter(email=self.cleaned_data["email"]).exists():
                raise
            # Somebody else signed up with it between the look and the leap.
            self.account_already_exists = True
            return self._saved(request)

    def _saved(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        user, answer = super().try_save(request)
        return user, answer


class ResetPasswordForm(account.ResetPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)


class NewPasswordForm(account.ResetPasswordKeyForm):
    password2 = None  # There is an eye to check what was typed.

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self, password1="New password")


class ChangePasswordForm(account.ChangePasswordForm):
    password2 = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self, oldpassword="Current password", password1="New password")
        self.fields["oldpassword"].help_text = ""


class PasswordAgainForm(account.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)
        self.fields["password"].help_text = ""


class ConfirmEmailForm(account.ConfirmEmailVerificationCodeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)
        self.fields["code"].widget.attrs["autocapitalize"] = "characters"


class ChangeEmailForm(account.AddEmailForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)
        self.fields["email"].label = "New e-mail address"
        self.fields["email"].widget.attrs["autocomplete"] = "email"


class CodeForm(codes.AuthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)
        self.fields["code"].widget.attrs.update(CODE)


class CodeAgainForm(codes.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self)
        self.fields["code"].widget.attrs.update(CODE)


class ActivateCodesForm(totp.ActivateTOTPForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: allauth's.
        super().__init__(*args, **kwargs)
        _plain(self, code="Code from the app")
        self.fields["code"].widget.attrs.update(CODE)


class AddPasskeyForm(passkeys.AddWebAuthnForm):
    """A key that signs in by itself; one that is only a second factor is not offered."""

    name = NameField(
        label="Name",
        max_length=60,
        required=False,
        help_text="So that you recognise it later: the device or password manager it lives in.",
    )
    passwordless = forms.BooleanField(widget=forms.HiddenInput, initial=True)


class RenamePasskeyForm(passkeys.EditWebAuthnForm):
    name = NameField(label="Name", max_length=60)

    def save(self) -> Authenticator:
        passkey: Authenticator = super().save()
        told(Event.PASSKEY_RENAMED, passkey.user, target=Passkey(passkey))
        return passkey
