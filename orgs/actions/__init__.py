"""Every change to people, organizations, members and API tokens, each with its audit event.

Permission comes first, asked under the lock of the account, so that nobody acts with a right that
is being taken away; then validation, the change and its event in one transaction. Letters and what
other processes have to forget follow on commit.
"""

from orgs.actions.invitations import (
    AlreadyInvited,
    AlreadyMember,
    InvitationGone,
    NotTheInvited,
    TooManyInvitations,
    TooSoon,
    accept_invitation,
    find_invitation,
    invite,
    resend_invitation,
    revoke_invitation,
)
from orgs.actions.members import (
    LastOwner,
    MemberGone,
    change_role,
    leave_organization,
    limit_member,
    remove_member,
)
from orgs.actions.organizations import (
    SlugTaken,
    TooManyOrganizations,
    UnusableSlug,
    change_limits,
    change_organization,
    create_organization,
    delete_organization,
)
from orgs.actions.spending import (
    TokenGone,
    limit_member_spending,
    limit_members_spending,
    limit_token_spending,
)
from orgs.actions.tokens import (
    MAX_TOKENS,
    TokenExists,
    TooManyTokens,
    UnknownModels,
    create_token,
    revoke_token,
)
from orgs.actions.users import (
    EmailTaken,
    close_user,
    create_user,
    open_personal_account,
    rename_user,
    reopen_user,
)

__all__ = [
    "MAX_TOKENS",
    "AlreadyInvited",
    "AlreadyMember",
    "EmailTaken",
    "InvitationGone",
    "LastOwner",
    "MemberGone",
    "NotTheInvited",
    "SlugTaken",
    "TokenExists",
    "TokenGone",
    "TooManyInvitations",
    "TooManyOrganizations",
    "TooManyTokens",
    "TooSoon",
    "UnknownModels",
    "UnusableSlug",
    "accept_invitation",
    "change_limits",
    "change_organization",
    "change_role",
    "close_user",
    "create_organization",
    "create_token",
    "create_user",
    "delete_organization",
    "find_invitation",
    "invite",
    "leave_organization",
    "limit_member",
    "limit_member_spending",
    "limit_members_spending",
    "limit_token_spending",
    "open_personal_account",
    "remove_member",
    "rename_user",
    "reopen_user",
    "resend_invitation",
    "revoke_invitation",
    "revoke_token",
]
