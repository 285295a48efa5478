"""What workers do by the clock for usage and money. Each may run twice, or twice at a time."""

import structlog
from celery import shared_task
from django.utils import timezone

from billing import holds, pruning, reconciling, rollup, staff_letters
from billing import letters as balance_letters
from billing.payments import cards, charging, claiming, hearing, outcomes
from billing.payments import letters as payment_letters
from billing.subscriptions import letters, renewing

log = structlog.get_logger(__name__)


@shared_task(time_limit=60)
def count_usage() -> None:
    """Add what is in no sum by day yet, such as what the release before wrote."""
    if counted := rollup.count_all_waiting(seconds=30):
        log.info("billing.usage.counted", records=counted)


@shared_task(time_limit=120)
def prune_usage() -> None:
    """Remove usage records that are older than MEGABRAIN_USAGE_DAYS."""
    if removed := pruning.prune_usage(seconds=60):
        log.info("billing.usage.pruned", records=removed)


@shared_task(time_limit=3000)
def renew_subscriptions() -> None:
    """Renew, try again or end every subscription that is due."""
    if done := renewing.renew_due(timezone.now()):
        log.info("billing.subscriptions.renewed", subscriptions=done)


@shared_task(time_limit=120)
def tell_of_subscriptions() -> None:
    """Tell those who pay of a subscription that fell past due or ended."""
    letters.tell_of_subscriptions()


@shared_task(time_limit=60)
def sweep_holds() -> None:
    """Release what was set aside for calls whose process died."""
    holds.sweep()


@shared_task(time_limit=1200)
def reconcile() -> None:
    """Compare every balance with its ledger and holds; freeze those that have drifted."""
    if found := reconciling.reconcile_on(seconds=240):
        log.info(
            "billing.reconciled",
            wallets=found.wallets,
            entries=found.entries,
            holds=found.holds,
            drifts=len(found.drifts),
            is_complete=found.is_complete,
        )


@shared_task(time_limit=120)
def tell_of_frozen_wallets() -> None:
    """Tell staff of balances that were frozen because they have drifted."""
    staff_letters.tell_of_frozen_wallets()


@shared_task(time_limit=claiming.RUN_SECONDS)
def top_up_balances() -> None:
    """Keep the cards that buyers wanted kept, and charge those of balances that have fallen low."""
    with claiming.only_run() as alone:
        if not alone:
            return
        cards.save_cards()
        if paid := charging.top_up():
            log.info("billing.topped_up", payments=paid)


@shared_task(time_limit=60)
def take_back_refunds() -> None:
    """Take from balances what refunds have left to take, now that it is there."""
    if taken := outcomes.take_back_due():
        log.info("billing.refunds_taken_back", payments=taken)


@shared_task(time_limit=300)
def tell_of_payments() -> None:
    """Tell managers of top-ups that stopped, and staff of payments that need a look."""
    hearing.match_disputes()
    payment_letters.tell_of_top_ups()
    payment_letters.tell_of_caps()
    payment_letters.tell_of_payments()


@shared_task(time_limit=120)
def tell_of_low_balances() -> None:
    """Tell those who manage billing of a balance that fell below its alert level."""
    balance_letters.tell_of_low_balances()
