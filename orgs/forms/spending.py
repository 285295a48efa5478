"""What people fill in to limit what members and API tokens spend of a balance."""

from typing import Any

from orgs.forms.fields import DollarsField, FocusingForm
from orgs.models import Account
from orgs.money import dollars


class MembersSpendingForm(FocusingForm):
    """What each member may spend in a day."""

    daily_limit = DollarsField(
        label="Dollars a day, each member",
        help_text=(
            "All of a member's API tokens together, from midnight to midnight UTC. Leave it empty "
            "for no limit; 0 keeps members off the balance."
        ),
    )

    def __init__(self, account: Account, data: Any = None) -> None:  # Any: what a request sent.
        super().__init__(data, initial={"daily_limit": account.member_daily_limit_micros})
        self.fields["daily_limit"].widget.attrs |= {"autofocus": True}


class MemberSpendingForm(FocusingForm):
    """What one member may spend in a day."""

    daily_limit = DollarsField(label="Dollars a day")

    def __init__(
        self, account: Account, data: Any = None, initial: dict[str, Any] | None = None
    ) -> None:  # Any: as above.
        super().__init__(data, initial=initial)
        everybodys, field = account.member_daily_limit_micros, self.fields["daily_limit"]
        field.help_text = (
            "All of their API tokens together, from midnight to midnight UTC. Leave it empty for "
            + (
                "no limit of their own."
                if everybodys is None
                else f"what each member may spend, which is {dollars(everybodys)}."
            )
        )
        field.widget.attrs |= {"autofocus": True}
        if everybodys is not None:
            field.widget.attrs["placeholder"] = dollars(everybodys)


class TokenSpendingForm(FocusingForm):
    """What an API token may spend in a month."""

    monthly_limit = DollarsField(
        label="Dollars a month",
        help_text=(
            "Of a balance, from the first of the month, UTC. Leave it empty for no limit; 0 keeps "
            "the token off the balance."
        ),
    )

    def __init__(self, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        self.fields["monthly_limit"].widget.attrs |= {"autofocus": True}
