"""Addresses of an account's own pages: API tokens, Activity, Profile & security."""

from django.urls import path

from orgs.views import activity, profile, tokens

app_name = "orgs"

urlpatterns = [
    path("account/tokens/", tokens.tokens, name="tokens"),
    path("account/tokens/create/", tokens.token_create, name="token_create"),
    path("account/tokens/<uuid:id>/revoke/", tokens.token_revoke, name="token_revoke"),
    path("account/activity/", activity.activity, name="activity"),
    path("account/activity/<int:sequence>/", activity.activity_event, name="activity_event"),
    path("account/profile/", profile.profile, name="profile"),
    path("account/profile/name/", profile.rename, name="rename"),
    path("account/profile/sessions/end/", profile.end_other_sessions, name="end_other_sessions"),
    path("account/profile/sessions/<int:id>/end/", profile.end_session, name="end_session"),
]
