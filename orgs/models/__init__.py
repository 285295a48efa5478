"""Who uses MegaBrain: users, accounts, memberships, API tokens and the audit log."""

from orgs.models.accounts import Account, Membership
from orgs.models.audit import AuditEvent, AuditHead
from orgs.models.tokens import ApiToken
from orgs.models.users import User

__all__ = ["Account", "ApiToken", "AuditEvent", "AuditHead", "Membership", "User"]
