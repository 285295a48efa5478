"""Addresses of the pages about money."""

from django.urls import include, path

from billing.views import balance, payments, subscriptions

app_name = "billing"

#: The same pages for every account: under its own address, an organization's also with its slug.
subscription_pages = [
    path("", subscriptions.subscriptions, name="subscriptions"),
    path("<slug:plan>/subscribe/", subscriptions.subscribe, name="subscribe"),
    path("<uuid:id>/cancel/", subscriptions.cancel, name="subscription_cancel"),
    path("<uuid:id>/resume/", subscriptions.resume, name="subscription_resume"),
    path("<uuid:id>/pay/", subscriptions.pay, name="subscription_pay"),
]
balance_pages = [
    path("", balance.balance, name="balance"),
    path("alert/", balance.alert, name="alert"),
    path("export/", balance.export, name="ledger_export"),
]
payment_pages = [
    path("credits/", payments.add_credits, name="credits"),
    path("payments/", payments.payments, name="payments"),
    path("payments/<uuid:id>/", payments.payment, name="payment"),
    path("payments/<uuid:id>/checkout/", payments.payment_checkout, name="payment_checkout"),
    path("auto-top-up/", payments.auto_top_up, name="auto_top_up"),
    path("auto-top-up/off/", payments.auto_top_up_off, name="auto_top_up_off"),
    path("auto-top-up/card/remove/", payments.card_remove, name="card_remove"),
]

urlpatterns = [
    path("webhooks/stripe/", payments.stripe_webhook, name="stripe_webhook"),
    path("account/billing/", include(balance_pages)),
    path("orgs/<slug:slug>/billing/", include(balance_pages)),
    path("account/billing/", include(payment_pages)),
    path("orgs/<slug:slug>/billing/", include(payment_pages)),
    path("account/subscriptions/", include(subscription_pages)),
    path("orgs/<slug:slug>/subscriptions/", include(subscription_pages)),
]
