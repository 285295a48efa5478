"""Addresses of an account's own pages: API tokens and Activity."""

from django.urls import path

from orgs.views import activity, tokens

app_name = "orgs"

urlpatterns = [
    path("account/tokens/", tokens.tokens, name="tokens"),
    path("account/tokens/create/", tokens.token_create, name="token_create"),
    path("account/tokens/<uuid:id>/revoke/", tokens.token_revoke, name="token_revoke"),
    path("account/activity/", activity.activity, name="activity"),
    path("account/activity/<int:sequence>/", activity.activity_event, name="activity_event"),
]
