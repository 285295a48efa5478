"""What people type on the provider key pages. A form here never shows a secret again."""

import datetime
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from byok.models import ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Provider, UnusableSecret
from byok.vault import Secret, fingerprint
from orgs.models import Account

DOUBT = "doubt"


class SecretForm(forms.Form):
    """A provider key's secret. Valid, it holds a `Secret`.

    What cannot be a key is refused. What merely looks wrong is a doubt: the form is invalid until
    its owner insists.
    """

    secret = forms.CharField(
        strip=False, widget=forms.PasswordInput(render_value=False), label="API key"
    )
    insist = forms.BooleanField(required=False, label="Save it anyway")

    def __init__(
        self,
        # Any: what a request's form data is.
        data: Any = None,
        *,
        provider: Provider,
        account: Account,
        key: ProviderKey | None = None,
    ) -> None:
        super().__init__(data)
        self.provider = provider
        self.account = account
        self.key = key
        self.fields["secret"].label = f"{provider.name} API key"
        self.fields["secret"].error_messages["required"] = "Paste the key here."

    @property
    def doubtful(self) -> bool:
        """Whether nothing but doubts stands in the way."""
        return self.has_error(NON_FIELD_ERRORS, DOUBT)

    @sensitive_variables()
    def clean_secret(self) -> Secret:
        try:
            return Secret(self.provider.clean(self.cleaned_data["secret"]))
        except UnusableSecret as unusable:
            # Without its cause, whose frames hold what was pasted.
            reason = str(unusable)
        raise forms.ValidationError(reason, code="unusable")

    # Any: Django's signature.
    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        secret = data.get("secret")
        if secret is not None and not data.get("insist"):
            for doubt in self._doubts(secret):
                self.add_error(None, forms.ValidationError(doubt, code=DOUBT))
        return data

    def _doubts(self, secret: Secret) -> list[str]:
        return self._saved_before(secret) or self.provider.warnings(secret.reveal())

    def _saved_before(self, secret: Secret) -> list[str]:
        """Where in this account the same secret is stored. Other accounts are never looked at."""
        same = ProviderKey.objects.for_account(self.account).filter(
            fingerprint=fingerprint(secret, self.account.pk)
        )
        found = list(same.values_list("pk", "provider"))
        if self.key is not None and any(pk == self.key.pk for pk, _ in found):
            return [f"This is the very key that is stored for {self.provider.name} already."]
        names = sorted(PROVIDERS[other].name for _, other in found if other in PROVIDERS)
        return [f"This key is saved already in {' and '.join(names)}."] if names else []


class ReminderForm(forms.Form):
    """From which day on a key should be marked for replacement."""

    remind_on = forms.DateField(
        required=False,
        label="Remind me to replace it on",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="From that day on the key is marked in the list. Leave it empty for no reminder.",
    )

    def clean_remind_on(self) -> datetime.date | None:
        day: datetime.date | None = self.cleaned_data["remind_on"]
        if day is not None and day <= timezone.now().date():
            raise forms.ValidationError("Choose a day in the future.")
        return day
