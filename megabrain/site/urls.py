"""Addresses of the landing page, dashboard, usage, models, documentation and health."""

from django.urls import include, path

from megabrain.site.catalogue.views import model, models
from megabrain.site.dashboard import dashboard
from megabrain.site.docs import docs, docs_page
from megabrain.site.health import healthz, readyz, status
from megabrain.site.landing import home
from megabrain.site.theme import theme
from megabrain.site.usage.views import usage, usage_export, usage_request

#: The same pages for every account.
usage_pages = [
    path("", usage, name="usage"),
    path("export/", usage_export, name="usage_export"),
    path("<uuid:request_id>/", usage_request, name="usage_request"),
]

urlpatterns = [
    path("", home, name="home"),
    path("dashboard/", dashboard, name="dashboard"),
    path("orgs/<slug:slug>/", dashboard, name="dashboard"),
    path("account/usage/", include(usage_pages)),
    path("orgs/<slug:slug>/usage/", include(usage_pages)),
    path("models/", models, name="models"),
    path("models/<path:id>", model, name="model"),
    path("docs/", docs, name="docs"),
    path("docs/<slug:slug>/", docs_page, name="docs_page"),
    path("status/", status, name="status"),
    path("theme/", theme, name="theme"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
