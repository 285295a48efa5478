"""Plans, the keys in stock for them, and everyone's subscriptions.

Secrets of keys in stock go in and never come out: no page shows one, nor its fingerprint.
"""

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from billing.models import Plan, PlanKey, Subscription
from billing.subscriptions.actions import SubscriptionGone, end
from billing.subscriptions.stock import (
    KEYS_AT_ONCE,
    PLAN_FIELDS,
    InStockAlready,
    NotInThatState,
    add_plan_keys,
    change_plan,
    mark_revoked,
    withdraw_plan_key,
)
from byok.providers import PROVIDERS, name_of
from byok.providers.base import UnusableSecret
from byok.vault import Secret
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
from orgs.money import MICROS, NotDollars, dollars, micros_in
from orgs.origin import Origin
from orgs.permissions import NotPermitted
from orgs.requests import SignedInRequest

METHODS = ["GET", "HEAD", "POST"]
LONGEST_PERIOD = 366


class PriceField(forms.CharField):
    """Dollars, more than none; its value is the micro-dollars."""

    # Any: Django's own signatures.
    def prepare_value(self, value: Any) -> Any:
        return dollars(value)[1:].replace(",", "") if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        text: str = super().clean(value)
        try:
            micros = micros_in(text)
        except NotDollars as wrong:
            raise forms.ValidationError(str(wrong)) from None
        if micros < MICROS // 100:
            raise forms.ValidationError("A plan costs a cent at least.")
        return micros

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Beside what the form said when it was shown, which comes back as it was typed."""
        try:
            before = self.clean(initial) if isinstance(initial, str) else initial
            return bool(self.clean(data) != before)
        except forms.ValidationError:
            return True


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]  # It takes none at run time.
    price_micros = PriceField(
        max_length=20,
        label="Price",
        help_text="Dollars a period. It counts from the next period of each subscription on.",
    )
    period_days = forms.IntegerField(
        min_value=1,
        max_value=LONGEST_PERIOD,
        help_text="So does this. Periods that are paid for stay as they are.",
    )

    class Meta:
        model = Plan
        fields = PLAN_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What somebody else changes meanwhile stays, where this form did not change it too.
        for field in self.fields.values():
            field.show_hidden_initial = True


class OfThePlatform(StaffAdmin):
    """What is told in the platform account's trail."""

    def account_id_of(self, row: Row) -> uuid.UUID:
        return Account.objects.platform().pk


@admin.register(Plan)
class PlanAdmin(OfThePlatform):
    list_display = ["name", "of_provider", "price", "period_days", "active"]
    ordering = ["name"]
    search_fields = ["slug"]
    search_help_text = "The plan's slug."
    form = PlanForm
    fields = ["slug", "of_provider", *PLAN_FIELDS, "in_stock", "places"]
    readonly_fields = ["slug", "of_provider", "in_stock", "places"]

    def has_change_permission(self, request: HttpRequest, obj: Row = None) -> bool:
        return self.has_view_permission(request, obj)

    @admin.display(description="Provider")
    def of_provider(self, plan: Plan) -> str:
        return name_of(plan.provider)

    @admin.display(description="Price")
    def price(self, plan: Plan) -> str:
        return dollars(plan.price_micros)

    @admin.display(description="Keys available")
    def in_stock(self, plan: Plan) -> int:
        return PlanKey.objects.available().filter(plan=plan).count()

    @admin.display(description="Look up")
    def places(self, plan: Plan) -> SafeString:
        return links([(searched("billing_plankey", plan.slug), "Keys in stock")])

    @fresh_sign_in
    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, *args, **kwargs)
        except NotPermitted:
            raise PermissionDenied from None

    # Any: Django's own signatures.
    def save_model(self, request: Any, obj: Row, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in form.changed_data}
        change_plan(actor=request.user, plan=obj, values=values, origin=Origin.of(request))

    # Any: Django's own signature.
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["show_save_and_add_another"] = False
        return super().render_change_form(request, context, *args, **kwargs)


class Unseen(forms.Textarea):
    """A text that is typed and never shown again."""

    # Any: Django's own signature.
    def format_value(self, value: Any) -> str:
        return ""


class StockForm(forms.Form):
    """Keys for a plan, one a line. Valid, it holds a `Secret` for each."""

    secrets = forms.CharField(
        strip=False,
        label="Keys",
        widget=Unseen(attrs={"rows": 8, "cols": 60, "autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Paste the keys here, one a line."},
        help_text=f"One a line, {KEYS_AT_ONCE} at most. Encrypted, and never shown again.",
    )
    insist = forms.BooleanField(required=False, label="Save them anyway")

    def __init__(self, data: Any = None, *, plan: Plan) -> None:  # Any: a request's form data.
        super().__init__(data)
        self.provider = PROVIDERS[plan.provider]
        #: The line on which each key stands.
        self.lines: list[int] = []
        self.doubtful = False

    @sensitive_variables()
    def clean_secrets(self) -> list[Secret]:
        found, wrong = [], []
        for line, text in enumerate(self.cleaned_data["secrets"].splitlines(), 1):
            if not text.strip():
                continue
            try:
                found.append(Secret(self.provider.clean(text)))
            except UnusableSecret as unusable:
                # Without its cause, whose frames hold what was pasted.
                wrong.append(f"Line {line}: {unusable}")
            else:
                self.lines.append(line)
        if wrong:
            raise forms.ValidationError([*wrong[:5]], code="unusable")
        if not found:
            raise forms.ValidationError("Paste the keys here, one a line.", code="required")
        if len(found) > KEYS_AT_ONCE:
            raise forms.ValidationError(f"Add at most {KEYS_AT_ONCE} keys at once.", code="many")
        return found

    # Any: Django's signature.
    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not data.get("insist"):
            for line, secret in zip(self.lines, data.get("secrets", ()), strict=False):
                for doubt in self.provider.warnings(secret.reveal()):
                    self.doubtful = True
                    self.add_error(None, f"Line {line}: {doubt}")
        return data


@admin.register(PlanKey)
class PlanKeyAdmin(OfThePlatform):
    list_display = ["added_at", "plan", "hint", "state", "claimed_at", "released_at", "revoked_at"]
    list_select_related = ["plan"]
    list_filter = ["state"]
    ordering = ["-added_at"]
    search_fields = ["id", "plan__slug"]
    search_help_text = "The key's id, or its plan's slug."
    fields = [
        "id",
        "plan",
        "hint",
        "state",
        "added_by",
        "added_at",
        "claimed_at",
        "of_subscription",
        "released_at",
        "revoked_at",
    ]
    addresses = [*StaffAdmin.addresses, "add"]
    actions = ["withdraw", "revoked"]
    refusals = {NotInThatState: "{row}: nothing was changed. {why}"}

    def called(self, row: Row) -> str:
        return f"{row.plan.name}, {row.hint or row.pk}"

    @admin.display(description="Subscription")
    def of_subscription(self, key: PlanKey) -> SafeString | str:
        subscription = Subscription.objects.filter(plan_key=key).first()
        return page_link("billing_subscription", subscription.pk) if subscription else "–"

    @row_action(
        "Take out of stock",
        warning="Nobody gets the key any more, and its secret is forgotten. Revoke it at its "
        "provider then.",
        sensible=lambda key: key.state == PlanKey.State.AVAILABLE,
    )
    def withdraw(self, request: SignedInRequest, key: PlanKey) -> str:
        withdraw_plan_key(
            actor=request.user, key=key, origin=Origin.of(request), now=timezone.now()
        )
        return "taken out of stock; revoke it at its provider"

    @row_action("Note as revoked", sensible=lambda key: key.state == PlanKey.State.TO_REVOKE)
    def revoked(self, request: SignedInRequest, key: PlanKey) -> str:
        mark_revoked(actor=request.user, key=key, origin=Origin.of(request), now=timezone.now())
        return "noted as revoked"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    # The choice of a plan and then its form, in place of Django's one form for all columns.
    @method_decorator(sensitive_post_parameters())
    @method_decorator(require_http_methods(METHODS))
    @fresh_sign_in
    def add_view(  # type: ignore[override]
        self, request: SignedInRequest, form_url: str = "", extra_context: object = None
    ) -> HttpResponse:
        """Keys for the stock of a plan: choose it, then paste them."""
        plan = Plan.objects.filter(slug=request.GET.get("plan", "").replace("\0", "")).first()
        if plan is None:
            plans = Plan.objects.order_by("name")
            return self._page(request, "Add keys to the stock", plans=plans)
        form = StockForm(request.POST if request.method == "POST" else None, plan=plan)
        if form.is_valid():
            try:
                added = add_plan_keys(
                    actor=request.user,
                    plan=plan,
                    secrets=form.cleaned_data["secrets"],
                    origin=Origin.of(request),
                    now=timezone.now(),
                )
            except NotPermitted:
                raise PermissionDenied from None
            except InStockAlready as known:
                lines = ", ".join(str(form.lines[place - 1]) for place in known.places[:10])
                form.add_error("secrets", f"In stock already, or before, or twice here: {lines}.")
            else:
                keys = "1 key" if added == 1 else f"{added} keys"
                messages.success(request, f"{plan.name}: {keys} added to the stock.")
                return HttpResponseRedirect(self.address("changelist"))
        return self._page(request, f"Add keys for {plan.name}", form=form, plan=plan)

    def _page(self, request: HttpRequest, title: str, **context: object) -> HttpResponse:
        form = context.get("form")
        wrong = isinstance(form, StockForm) and form.is_bound
        return TemplateResponse(
            request,
            "admin/billing/plankey/add.html",
            {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "list_url": self.address("changelist"),
                **context,
            },
            status=422 if wrong else 200,
        )


@admin.register(Subscription)
class SubscriptionAdmin(StaffAdmin):
    list_display = [
        "started_at",
        "of_account",
        "plan",
        "state",
        "cancel_at_period_end",
        "renews_at",
        "ended_why",
    ]
    list_select_related = ["plan"]
    ordering = ["-started_at"]
    search_fields = ["id", "provider_key_id"]
    account_field = "account_id"
    search_help_text = (
        "The account's slug or id, a person's e-mail address, or the id of the subscription or "
        "of the provider key."
    )
    fields = [
        "id",
        "of_account",
        "plan",
        "state",
        "cancel_at_period_end",
        "terms_paid",
        "renews_at",
        "due_at",
        "past_due_since",
        "started_by",
        "started_at",
        "ended_at",
        "ended_why",
        "places",
    ]
    actions = ["end"]
    refusals = {SubscriptionGone: "{row}: has ended already."}

    def called(self, row: Row) -> str:
        return str(row.plan.name)

    @admin.display(description="Look up")
    def places(self, subscription: Subscription) -> SafeString:
        found = [(searched("billing_plankey", subscription.plan_key_id), "Key in stock")]
        if subscription.provider_key_id:
            found.append(
                (searched("byok_providerkey", subscription.provider_key_id), "Provider key")
            )
        return links(found)

    @row_action(
        "End at once",
        warning="The key is taken from the account now, and nothing of the period is paid back.",
        sensible=lambda subscription: subscription.is_live,
    )
    def end(self, request: SignedInRequest, subscription: Subscription) -> str:
        end(
            actor=request.user,
            subscription=subscription,
            origin=Origin.of(request),
            now=timezone.now(),
        )
        return "ended"
