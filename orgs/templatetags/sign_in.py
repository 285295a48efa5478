"""What the pages of signing in ask beyond what django-allauth tells them."""

from allauth.mfa.models import Authenticator
from django import template
from django.conf import settings

from orgs.models import User

register = template.Library()


@register.simple_tag
def mail_in_terminal() -> bool:
    """Whether letters are printed where MegaBrain was started instead of being sent."""
    return bool(settings.MEGABRAIN_MAIL_IN_TERMINAL)


@register.simple_tag
def factors(user: User) -> set[str]:
    """The kinds of second factor `user` has: "totp", "webauthn", "recovery_codes"."""
    return set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
