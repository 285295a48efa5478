"""The pages of signing in: those of django-allauth that we use, and no other.

Every POST is one transaction, so that a change and its audit event are kept together or not at
all. What allauth spreads over index pages is on *Profile & security*; their names lead there.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from allauth.account import views as account
from allauth.mfa.base import views as two_factor
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.views.generic.base import RedirectView

P = ParamSpec("P")


def whole(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """What `view` changes, it changes as a whole."""

    @wraps(view)
    def in_one_transaction(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if request.method == "GET":
            return view(request, *args, **kwargs)
        with transaction.atomic():
            return view(request, *args, **kwargs)

    return in_one_transaction


profile = RedirectView.as_view(pattern_name="orgs:profile", query_string=False)

urlpatterns = [
    path("login/", whole(account.login), name="account_login"),
    path("logout/", whole(account.logout), name="account_logout"),
    path("signup/", whole(account.signup), name="account_signup"),
    path("inactive/", whole(account.account_inactive), name="account_inactive"),
    path(
        "confirm-email/",
        whole(account.email_verification_sent),
        name="account_email_verification_sent",
    ),
    path("reauthenticate/", whole(account.reauthenticate), name="account_reauthenticate"),
    path("email/", whole(account.email), name="account_email"),
    path("password/change/", whole(account.password_change), name="account_change_password"),
    path("password/reset/", whole(account.password_reset), name="account_reset_password"),
    path(
        "password/reset/sent/",
        whole(account.password_reset_done),
        name="account_reset_password_done",
    ),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        whole(account.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/done/",
        whole(account.password_reset_from_key_done),
        name="account_reset_password_from_key_done",
    ),
    path("2fa/authenticate/", whole(two_factor.authenticate), name="mfa_authenticate"),
    path("2fa/reauthenticate/", whole(two_factor.reauthenticate), name="mfa_reauthenticate"),
    path("2fa/app/activate/", whole(totp.activate_totp), name="mfa_activate_totp"),
    path("2fa/app/deactivate/", whole(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path(
        "2fa/recovery-codes/",
        whole(recovery_codes.view_recovery_codes),
        name="mfa_view_recovery_codes",
    ),
    path(
        "2fa/recovery-codes/generate/",
        whole(recovery_codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "2fa/recovery-codes/download/",
        whole(recovery_codes.download_recovery_codes),
        name="mfa_download_recovery_codes",
    ),
    path("passkeys/login/", whole(passkeys.login_webauthn), name="mfa_login_webauthn"),
    path(
        "passkeys/reauthenticate/",
        whole(passkeys.reauthenticate_webauthn),
        name="mfa_reauthenticate_webauthn",
    ),
    path("passkeys/add/", whole(passkeys.add_webauthn), name="mfa_add_webauthn"),
    path("passkeys/<int:pk>/rename/", whole(passkeys.edit_webauthn), name="mfa_edit_webauthn"),
    path("passkeys/<int:pk>/remove/", whole(passkeys.remove_webauthn), name="mfa_remove_webauthn"),
    path("2fa/", profile, name="mfa_index"),
    path("passkeys/", profile, name="mfa_list_webauthn"),
    path("sessions/", profile, name="usersessions_list"),
]
