"""Addresses of the landing page, the dashboard, the documentation and health."""

from django.urls import path

from megabrain.site.dashboard import dashboard
from megabrain.site.docs import docs, docs_page
from megabrain.site.health import healthz, readyz, status
from megabrain.site.landing import home
from megabrain.site.theme import theme

urlpatterns = [
    path("", home, name="home"),
    path("dashboard/", dashboard, name="dashboard"),
    path("orgs/<slug:slug>/", dashboard, name="dashboard"),
    path("docs/", docs, name="docs"),
    path("docs/<slug:slug>/", docs_page, name="docs_page"),
    path("status/", status, name="status"),
    path("theme/", theme, name="theme"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
