"""Everyone's provider keys, which staff may try and stop, and the platform's own, which are theirs.

A secret goes in and never comes out: no page shows one, nor its fingerprint.
"""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from byok.actions import (
    KeyAlreadyExists,
    KeyGone,
    TooManyTests,
    add_key,
    delete_key,
    request_test,
    set_enabled,
    update_key,
)
from byok.forms import SecretForm
from byok.models import KeyTest, ProviderKey
from byok.providers import PROVIDERS, name_of
from orgs.admin.base import (
    Row,
    StaffAdmin,
    fresh_sign_in,
    links,
    page_link,
    row_action,
    searched,
)
from orgs.models import Account
from orgs.origin import Origin
from orgs.permissions import Permission, may
from orgs.requests import SignedInRequest

STAFF_MAY = {"disable", "test"}
METHODS = ["GET", "HEAD", "POST"]


@admin.register(ProviderKey)
class ProviderKeyAdmin(StaffAdmin):
    list_display = ["name", "account", "hint", "enabled", "state", "last_used_at", "created_at"]
    list_select_related = ["account"]
    ordering = ["account_id", "provider"]
    search_fields = ["id"]
    account_field = "account_id"
    search_help_text = (
        "The account's slug, “platform”, a person's e-mail address, the account's id or the key's."
    )
    fields = [
        "id",
        "name",
        "account",
        "hint",
        "enabled",
        "state",
        "health_code",
        "health_message",
        "health_at",
        "on_failure",
        "managed_by",
        "remind_on",
        "created_by",
        "created_at",
        "secret_changed_at",
        "last_used_at",
        "places",
    ]
    addresses = [*StaffAdmin.addresses, "add"]
    actions = ["disable", "enable", "test", "delete"]
    refusals = {
        KeyGone: "{row}: was deleted meanwhile.",
        TooManyTests: "{row}: was tested too often. {why}",
    }

    @admin.display(description="Provider", ordering="provider")
    def name(self, key: ProviderKey) -> str:
        return name_of(key.provider)

    @admin.display(description="Health")
    def state(self, key: ProviderKey) -> str:
        return str(key.health_now.label)

    @admin.display(description="Look up")
    def places(self, key: ProviderKey) -> SafeString:
        return links(
            [
                (searched("byok_keytest", key.pk), "Key tests"),
                (searched("billing_usagerecord", key.pk), "Usage records"),
            ]
        )

    # Any account's ----------------------------------------------------------------------------

    def actions_on(self, request: HttpRequest, row: Row) -> list[tuple[str, str]]:
        offered = super().actions_on(request, row)
        if self._manages(request, row):
            return offered
        return [(name, label) for name, label in offered if name in STAFF_MAY]

    @row_action(
        "Disable",
        warning="No call uses the key until somebody who manages the account's keys enables it.",
        sensible=lambda key: key.enabled,
    )
    def disable(self, request: SignedInRequest, key: ProviderKey) -> str:
        return _switch(request, key, enabled=False)

    @row_action("Test")
    def test(self, request: SignedInRequest, key: ProviderKey) -> str:
        test = request_test(actor=request.user, key=key, origin=Origin.of(request))
        return test.message.rstrip(".") or "the test has begun; key tests tell what came of it"

    @row_action("Enable (the platform's own)", sensible=lambda key: not key.enabled)
    def enable(self, request: SignedInRequest, key: ProviderKey) -> str:
        return _switch(request, key, enabled=True)

    @row_action("Delete (the platform's own)", warning="The key and its secret are gone for good.")
    def delete(self, request: SignedInRequest, key: ProviderKey) -> str:
        delete_key(actor=request.user, key=key, origin=Origin.of(request))
        return "deleted"

    # The platform's own -----------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        secret = path(
            "<path:object_id>/secret/",
            self.admin_site.admin_view(self.secret_view),
            name="byok_providerkey_secret",
        )
        return [secret, *super().get_urls()]

    def tools_on(self, request: HttpRequest, row: Row) -> list[tuple[str, str]]:
        if row.provider not in PROVIDERS or not self._manages(request, row):
            return []
        return [(self.address("secret", row.pk), "Replace the secret")]

    # The choice of a provider and then its form, in place of Django's one form for all columns.
    @method_decorator(sensitive_post_parameters())
    @method_decorator(require_http_methods(METHODS))
    @fresh_sign_in
    def add_view(  # type: ignore[override]
        self, request: SignedInRequest, form_url: str = "", extra_context: object = None
    ) -> HttpResponse:
        """A key of the platform account: choose its provider, then paste the secret."""
        platform = Account.objects.platform()
        if not may(request.user, Permission.MANAGE_KEYS, platform):
            raise PermissionDenied
        provider = PROVIDERS.get(request.GET.get("provider", ""))
        # What is called directly is called with one's own key, or not at all.
        if provider is None or provider.direct:
            keys = ProviderKey.objects.for_account(platform)
            stored = set(keys.values_list("provider", flat=True))
            free = [
                known for known in PROVIDERS.values() if known.id not in stored and not known.direct
            ]
            return self._page(request, "Add a platform key", providers=free)
        data = request.POST if request.method == "POST" else None
        form = SecretForm(data, provider=provider, account=platform)
        if form.is_valid():
            try:
                key = add_key(
                    actor=request.user,
                    account=platform,
                    provider=provider.id,
                    secret=form.cleaned_data["secret"],
                    origin=Origin.of(request),
                )
            except KeyAlreadyExists:
                form.add_error(None, f"The platform has a key for {provider.name} already.")
            else:
                messages.success(request, f"The {provider.name} key is saved. Test it to be sure.")
                return HttpResponseRedirect(self.page_of(key))
        return self._page(request, f"Add the platform's {provider.name} key", form=form)

    @method_decorator(sensitive_post_parameters())
    @method_decorator(require_http_methods(METHODS))
    @fresh_sign_in
    def secret_view(self, request: SignedInRequest, object_id: str) -> HttpResponse:
        """Replace the secret of a key of the platform account."""
        key = self.get_object(request, object_id)
        if key is None or key.provider not in PROVIDERS:
            raise Http404
        if not self._manages(request, key):
            raise PermissionDenied
        provider = PROVIDERS[key.provider]
        data = request.POST if request.method == "POST" else None
        form = SecretForm(data, provider=provider, account=key.account, key=key)
        if form.is_valid():
            try:
                update_key(
                    actor=request.user,
                    key=key,
                    secret=form.cleaned_data["secret"],
                    origin=Origin.of(request),
                )
            except KeyGone:
                raise Http404 from None
            messages.success(request, f"The {provider.name} key is replaced. Test it to be sure.")
            return HttpResponseRedirect(self.page_of(key))
        return self._page(
            request, f"Replace the secret of the platform's {provider.name} key", form=form
        )

    def _page(self, request: HttpRequest, title: str, **context: object) -> HttpResponse:
        form = context.get("form")
        wrong = isinstance(form, SecretForm) and form.is_bound
        return TemplateResponse(
            request,
            "admin/byok/providerkey/secret.html",
            {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "list_url": self.address("changelist"),
                **context,
            },
            status=422 if wrong else 200,
        )

    def _manages(self, request: HttpRequest, key: ProviderKey) -> bool:
        user = request.user
        return user.is_authenticated and may(user, Permission.MANAGE_KEYS, key.account)


def _switch(request: SignedInRequest, key: ProviderKey, *, enabled: bool) -> str:
    word = "enabled" if enabled else "disabled"
    changed = set_enabled(actor=request.user, key=key, enabled=enabled, origin=Origin.of(request))
    return word if changed else f"was {word} already"


@admin.register(KeyTest)
class KeyTestAdmin(StaffAdmin):
    list_display = ["created_at", "of_key", "of_account", "state", "code", "model", "latency_ms"]
    list_select_related = ["key"]
    ordering = ["key_id", "-created_at"]
    search_fields = ["id", "key_id"]
    account_field = "key__account_id"
    search_help_text = "The key's id, the account's slug or id, or the test's id."
    fields = [
        "id",
        "of_key",
        "of_account",
        "requested_by",
        "state",
        "code",
        "message",
        "model",
        "latency_ms",
        "created_at",
        "started_at",
        "finished_at",
    ]

    @admin.display(description="Key")
    def of_key(self, test: KeyTest) -> SafeString:
        return page_link("byok_providerkey", test.key_id, name_of(test.key.provider))
