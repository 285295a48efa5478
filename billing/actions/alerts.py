"""When those who manage billing are told that a balance runs low."""

from django.db import transaction

from billing import ledger
from orgs.audit import Event, record
from orgs.models import Account, User
from orgs.origin import Origin
from orgs.permissions import Permission, require


def change_alert(
    *, actor: User, account: Account, alert_below_micros: int | None, origin: Origin
) -> bool:
    """Tell them when the balance is below this, or never: None. Says whether that was a change.

    One that is below it already is told of soon; one of which they were told is not told of again
    until it has been above. Raises `NotPermitted`.
    """
    if alert_below_micros is not None and alert_below_micros <= 0:
        raise ValueError("No balance is below nothing.")
    with transaction.atomic():
        account = Account.objects.locked(account)
        require(actor, Permission.MANAGE_BILLING, account)
        wallet = ledger.locked_wallet(account.pk)
        previous = wallet.alert_below_micros
        if previous == alert_below_micros:
            return False
        wallet.alert_below_micros = alert_below_micros
        ledger.note_whether_low(wallet)
        wallet.save(update_fields=["alert_below_micros", *ledger.LOW])
        record(
            event=Event.BALANCE_ALERT_CHANGED,
            account=account,
            actor=actor,
            target=wallet,
            origin=origin,
            changed=["alert_below_micros"],
            details={
                "alert_below_micros": alert_below_micros,
                "previous_alert_below_micros": previous,
            },
        )
    return True
