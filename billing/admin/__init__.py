"""Usage, and money: balances, ledgers, holds, payments and subscriptions, for staff."""

from billing.admin import holds, ledger, payments, subscriptions, usage, wallets

__all__ = ["holds", "ledger", "payments", "subscriptions", "usage", "wallets"]
