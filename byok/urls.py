"""Addresses of the provider key pages."""

from django.urls import include, path

from byok import views

app_name = "byok"

#: The same pages for every account: under its own address, an organization's also with its slug.
pages = [
    path("", views.keys, name="keys"),
    path("add/", views.add, name="add"),
    path("models/<slug:provider>/", views.models, name="models"),
    path("route/", views.route, name="route"),
    path("<uuid:key_id>/row/", views.row, name="row"),
    path("<uuid:key_id>/details/", views.details, name="details"),
    path("<uuid:key_id>/update/", views.update, name="update"),
    path("<uuid:key_id>/enabled/", views.enabled, name="enabled"),
    path("<uuid:key_id>/disable/", views.disable, name="disable"),
    path("<uuid:key_id>/reminder/", views.reminder, name="reminder"),
    path("<uuid:key_id>/failure/", views.failure, name="failure"),
    path("<uuid:key_id>/delete/", views.delete, name="delete"),
    path("<uuid:key_id>/test/", views.try_key, name="test"),
]

urlpatterns = [
    path("account/byok/", include(pages)),
    path("orgs/<slug:slug>/byok/", include(pages)),
]
