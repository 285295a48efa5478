"""Every page of the site. The gateway under /v1 is dispatched before these, in asgi.py."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("orgs.urls")),
    path("", include("byok.urls")),
    path("", include("billing.urls")),
    path("", include("megabrain.site.urls")),
    path("accounts/", include("orgs.sign_in_urls")),
    path("admin/", admin.site.urls),
]

handler400 = "megabrain.site.errors.bad_request"
handler403 = "megabrain.site.errors.forbidden"
handler404 = "megabrain.site.errors.not_found"
handler429 = "megabrain.site.errors.too_many_requests"
handler500 = "megabrain.site.errors.server_error"
