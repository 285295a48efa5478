"""Addresses of an account's own pages, of members, settings and invitations.

Every account has the same pages: one's own under `account/`, an organization's under
`orgs/<slug>/`.
"""

from django.urls import include, path

from orgs.views import (
    activity,
    invitations,
    members,
    organizations,
    profile,
    spending,
    tokens,
)

app_name = "orgs"

token_pages = [
    path("", tokens.tokens, name="tokens"),
    path("create/", tokens.token_create, name="token_create"),
    path("<uuid:id>/spending/", spending.of_token, name="token_spending"),
    path("<uuid:id>/revoke/", tokens.token_revoke, name="token_revoke"),
]
activity_pages = [
    path("", activity.activity, name="activity"),
    path("export/", activity.activity_export, name="activity_export"),
    path("<int:sequence>/", activity.activity_event, name="activity_event"),
]
profile_pages = [
    path("", profile.profile, name="profile"),
    path("name/", profile.rename, name="rename"),
    path("sessions/end/", profile.end_other_sessions, name="end_other_sessions"),
    path("sessions/<int:id>/end/", profile.end_session, name="end_session"),
]
member_pages = [
    path("", members.members, name="members"),
    path("spending/", spending.of_members, name="members_spending"),
    path("invite/", invitations.invite, name="invite"),
    path("<uuid:id>/", members.member, name="member"),
    path("<uuid:id>/role/", members.role, name="member_role"),
    path("<uuid:id>/limit/", members.limit, name="member_limit"),
    path("<uuid:id>/spending/", spending.of_member, name="member_spending"),
    path("<uuid:id>/remove/", members.remove, name="member_remove"),
    path(
        "<uuid:id>/tokens/<uuid:token>/revoke/",
        members.revoke_members_token,
        name="member_token_revoke",
    ),
    path("invitations/<uuid:id>/resend/", invitations.resend, name="invitation_resend"),
    path("invitations/<uuid:id>/revoke/", invitations.revoke, name="invitation_revoke"),
]
settings_pages = [
    path("", organizations.settings, name="settings"),
    path("limits/", organizations.limits, name="limits"),
    path("delete/", organizations.delete, name="organization_delete"),
]

urlpatterns = [
    path("account/tokens/", include(token_pages)),
    path("account/activity/", include(activity_pages)),
    path("account/profile/", include(profile_pages)),
    path("orgs/new/", organizations.create, name="organization_create"),
    path("orgs/<slug:slug>/tokens/", include(token_pages)),
    path("orgs/<slug:slug>/audit/", include(activity_pages)),
    path("orgs/<slug:slug>/members/", include(member_pages)),
    path("orgs/<slug:slug>/leave/", members.leave, name="leave"),
    path("orgs/<slug:slug>/settings/", include(settings_pages)),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
]
