"""People, accounts, API tokens and the audit log, for staff."""

from orgs.admin import accounts, audit, users

__all__ = ["accounts", "audit", "users"]
