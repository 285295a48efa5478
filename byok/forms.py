"""What people type on the provider key pages. A form here never shows a secret again."""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from byok.models import ProviderKey
from byok.providers import PROVIDERS, custom
from byok.providers.base import Endpoint, Provider, UnusableSecret
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

    @property
    def direct_note(self) -> str:
        """Which names lead to the key of a direct provider, and no other does."""
        return (
            f"Only calls for a model whose name begins with {self.provider.id}/ use this key. "
            "Choose such a name in your agent."
        )

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


class EndpointForm(SecretForm):
    """An endpoint of the customer's own: address, key and perhaps models, sealed together."""

    base_url = forms.CharField(
        label="Base URL",
        widget=forms.TextInput(
            attrs={"placeholder": "https://llm.example.com/v1", "inputmode": "url"}
        ),
        error_messages={"required": "Enter the address at which the API begins."},
        help_text="The API of OpenAI's kind below it is called: /chat/completions and others.",
    )
    models = forms.CharField(
        required=False,
        label="Models",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "my-model"}),
        help_text=(
            "Ids, one a line, for the test to try. Without any it asks the endpoint for its list."
        ),
    )
    field_order = ["base_url", "secret", "models", "insist"]

    def clean_secret(self) -> Secret:
        """As it was typed: it is looked at together with the rest."""
        return Secret(self.cleaned_data["secret"])

    # Any: Django's signature.
    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        typed = self.cleaned_data
        if self.errors:
            return typed
        try:
            place = custom.Place.of(
                typed["base_url"], typed["secret"].reveal(), typed["models"].splitlines()
            )
        except custom.Unusable as unusable:
            # Without its cause, whose frames hold what was pasted.
            field, reason = unusable.field, str(unusable)
        else:
            typed["secret"] = Secret(place.sealed())
            return super().clean()
        self.add_error(field, forms.ValidationError(reason, code="unusable"))
        return typed


class CredentialForm(SecretForm):
    """A credential of several parts, pasted as one JSON object."""

    secret = forms.CharField(strip=False, widget=forms.Textarea())

    # Any: what SecretForm takes.
    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.fields["secret"].label = f"{self.provider.name} credentials (JSON)"
        self.fields["secret"].error_messages["required"] = "Paste the JSON here."

    @property
    def shapes(self) -> str:
        """What the browser goes by while it is typed: the fields of each form, and their shapes."""
        return json.dumps([dict(fields) for fields in self.provider.key_fields])

    @property
    def sample(self) -> str:
        """The provider's example, a field a line."""
        return json.dumps(json.loads(self.provider.placeholder), indent=2, ensure_ascii=False)

    @property
    def policy(self) -> str:
        """What its permissions are called in a policy of AWS."""
        return iam_policy(self.provider.permissions)


def iam_policy(permissions: Sequence[str]) -> str:
    """A policy of AWS that allows what a key must be allowed to do, and nothing else."""
    allowed = {"Effect": "Allow", "Action": permissions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]}, indent=2)


def form_for(provider: Provider) -> type[SecretForm]:
    """The form for this provider's kind of credential."""
    return FORMS.get(provider.kind, SecretForm)


#: By kind of credential, where it is not a single string.
FORMS: Mapping[str, type[SecretForm]] = {"endpoint": EndpointForm, "aws": CredentialForm}


class RouteForm(forms.Form):
    """A call whose route is asked for."""

    model = forms.CharField(
        max_length=200,
        label="Model",
        widget=forms.TextInput(
            attrs={
                "list": "route-models",
                "placeholder": "anthropic/claude-sonnet-5.5",
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
            }
        ),
    )
    endpoint = forms.ChoiceField(
        label="Your agent speaks",
        choices=[
            (endpoint, endpoint.label)
            for endpoint in (
                Endpoint.CHAT,
                Endpoint.RESPONSES,
                Endpoint.MESSAGES,
                Endpoint.COMPLETIONS,
                Endpoint.FIM,
                Endpoint.EMBEDDINGS,
            )
        ],
        initial=Endpoint.CHAT,
    )
    tools = forms.BooleanField(required=False, label="It calls tools")

    def __init__(
        self,
        # Any: what a request's query is.
        data: Any = None,
        *,
        models: Iterable[str],
    ) -> None:
        super().__init__(data)
        self.models = models


class FailureForm(forms.Form):
    """What a call does when every key that could serve it has failed."""

    on_failure = forms.ChoiceField(
        label="When this key fails",
        choices=ProviderKey.OnFailure,
        widget=forms.RadioSelect,
    )


class ReminderForm(forms.Form):
    """From which day on a key should be marked for replacement."""

    remind_on = forms.DateField(
        required=False,
        label="Remind me to replace it on",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=(
            "From that day on the key is marked in the list, and those who manage it are told once "
            "by e-mail. Leave it empty for no reminder."
        ),
    )

    def clean_remind_on(self) -> datetime.date | None:
        day: datetime.date | None = self.cleaned_data["remind_on"]
        if day is not None and day <= timezone.now().date():
            raise forms.ValidationError("Choose a day in the future.")
        return day
