from billing.models.payments import AutoTopUp, Payment, PaymentEvent
from billing.models.rollup import AccountDay, DayQuerySet, UsageDay
from billing.models.subscriptions import Plan, PlanKey, Subscription, SubscriptionTerm
from billing.models.usage import UsageRecord, UsageRecordQuerySet
from billing.models.wallet import (
    Hold,
    LedgerEntry,
    LedgerIsAppendOnly,
    Reconciliation,
    Spending,
    Wallet,
)

__all__ = [
    "AccountDay",
    "AutoTopUp",
    "DayQuerySet",
    "Hold",
    "LedgerEntry",
    "LedgerIsAppendOnly",
    "Payment",
    "PaymentEvent",
    "Plan",
    "PlanKey",
    "Reconciliation",
    "Spending",
    "Subscription",
    "SubscriptionTerm",
    "UsageDay",
    "UsageRecord",
    "UsageRecordQuerySet",
    "Wallet",
]
