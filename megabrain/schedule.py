"""What the worker does by the clock."""

from typing import Any  # What Celery takes has no type of its own.

from celery.schedules import crontab


def every(seconds: int, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": float(seconds), "options": dropped_after(seconds)}


def hourly(minute: int, task: str) -> dict[str, Any]:
    return {"task": task, "schedule": crontab(minute=minute), "options": dropped_after(3600)}


def dropped_after(seconds: int) -> dict[str, Any]:
    """What no worker has begun by then is left to the next, which goes on where it would have."""
    return {"expires": seconds}


SCHEDULE: dict[str, dict[str, Any]] = {
    # Keys and what they cover.
    "expire-stuck-key-tests": every(30, "byok.tasks.expire_stuck_key_tests"),
    "tell-of-failing-keys": every(60, "byok.tasks.tell_of_failing_keys"),
    "send-reminders": hourly(45, "byok.tasks.tell_of_keys_that_need_attention"),
    "refresh-due-catalogue": every(300, "byok.tasks.refresh_due_catalogue"),
    "tell-of-catalogue": every(60, "byok.tasks.tell_of_catalogue"),
    # Balance and usage.
    "sweep-holds": every(20, "billing.tasks.sweep_holds"),
    "reconcile": {
        "task": "billing.tasks.reconcile",
        "schedule": crontab(minute="*/10"),
        "options": dropped_after(600),
    },
    "tell-of-low-balances": every(60, "billing.tasks.tell_of_low_balances"),
    "tell-of-frozen-wallets": every(60, "billing.tasks.tell_of_frozen_wallets"),
    "count-usage": every(60, "billing.tasks.count_usage"),
    "prune-usage": hourly(20, "billing.tasks.prune_usage"),
    # Subscriptions and payments.
    "renew-subscriptions": hourly(5, "billing.tasks.renew_subscriptions"),
    "tell-of-subscriptions": every(60, "billing.tasks.tell_of_subscriptions"),
    "top-up-balances": every(30, "billing.tasks.top_up_balances"),
    "take-back-refunds": every(60, "billing.tasks.take_back_refunds"),
    "tell-of-payments": every(60, "billing.tasks.tell_of_payments"),
    # People and the audit log.
    "verify-audit-chains": every(60, "orgs.tasks.verify_audit_chains"),
    "forget-letters": hourly(30, "orgs.tasks.forget_letters"),
    "anchor-audit": {
        "task": "orgs.tasks.anchor_audit",
        "schedule": crontab(hour="0", minute="10"),
    },
}
