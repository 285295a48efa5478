"""Who uses MegaBrain: users, accounts, members, invitations, API tokens and the audit log."""

from orgs.models.accounts import Account, Membership
from orgs.models.audit import AuditCheck, AuditEvent, AuditHead
from orgs.models.invitations import Invitation, InvitationLetter
from orgs.models.tokens import ApiToken
from orgs.models.users import User

__all__ = [
    "Account",
    "ApiToken",
    "AuditCheck",
    "AuditEvent",
    "AuditHead",
    "Invitation",
    "InvitationLetter",
    "Membership",
    "User",
]
