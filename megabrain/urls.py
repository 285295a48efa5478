"""Every page of the site. The gateway under /v1 is dispatched before these, in asgi.py."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.urls")),
]
