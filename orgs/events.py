"""What can happen in an account, each event with the sentence that tells it.

A sentence follows the actor's name: "owner@example.com" "added the Anthropic key".
`{target}` stands for the label of what was acted on. Names read as `noun.verb`, or
`app.noun.verb`; one that has been released never changes its meaning.
"""

from enum import StrEnum


class Event(StrEnum):
    sentence: str

    def __new__(cls, name: str, sentence: str) -> "Event":
        member = str.__new__(cls, name)
        member._value_ = name
        member.sentence = sentence
        return member

    @property
    def label(self) -> str:
        """For lists of events: "Added the … key"."""
        text = self.sentence.replace("{target}", "…")
        return text[0].upper() + text[1:]

    ACCOUNT_OPENED = "account.opened", "opened this account"

    KEY_ADDED = "byok.key.added", "added the {target} key"
    KEY_UPDATED = "byok.key.updated", "replaced the secret of the {target} key"
    KEY_ENABLED = "byok.key.enabled", "enabled the {target} key"
    KEY_DISABLED = "byok.key.disabled", "disabled the {target} key"
    KEY_DELETED = "byok.key.deleted", "deleted the {target} key"
    KEY_TESTED = "byok.key.tested", "tested the {target} key"
    KEY_REMINDER_CHANGED = (
        "byok.key.reminder_changed",
        "changed the reminder of the {target} key",
    )
    KEY_FAILURE_CHANGED = (
        "byok.key.failure_changed",
        "changed what a call does when the {target} key fails",
    )

    TOKEN_CREATED = "token.created", "created the API token {target}"
    TOKEN_LIMITED = "token.limited", "changed what the API token {target} may spend"
    TOKEN_REVOKED = "token.revoked", "revoked the API token {target}"

    ORG_CREATED = "org.created", "created this organization"
    ORG_RENAMED = "org.renamed", "changed the name or slug of this organization"
    ORG_LIMITS_CHANGED = "org.limits_changed", "changed what members may use"
    ORG_SPENDING_LIMITED = "org.spending_limited", "changed what each member may spend"
    ORG_DELETED = "org.deleted", "deleted this organization"
    MEMBER_INVITED = "org.member.invited", "invited {target}"
    INVITATION_RESENT = "org.invitation.resent", "sent {target} another invitation"
    INVITATION_REVOKED = "org.invitation.revoked", "revoked the invitation of {target}"
    MEMBER_JOINED = "org.member.joined", "accepted the invitation"
    MEMBER_ROLE_CHANGED = "org.member.role_changed", "changed the role of {target}"
    MEMBER_LIMITED = "org.member.limited", "changed the request limit of {target}"
    MEMBER_SPENDING_LIMITED = "org.member.spending_limited", "changed what {target} may spend"
    MEMBER_REMOVED = "org.member.removed", "removed {target}"
    MEMBER_LEFT = "org.member.left", "left this organization"

    BALANCE_ALERT_CHANGED = "billing.alert_changed", "changed when {target} counts as low"
    CREDIT_GRANTED = "billing.credit.granted", "granted {target} of credit"
    CREDIT_TAKEN = "billing.credit.taken", "took back credit: {target}"
    WALLET_MENDED = "billing.wallet.mended", "mended {target}"
    WALLET_FROZEN = "billing.wallet.frozen", "froze {target}"
    WALLET_UNFROZEN = "billing.wallet.unfrozen", "unfroze {target}"

    MODEL_CHANGED = "catalogue.model_changed", "changed the model {target}"
    MODEL_ADDED = "catalogue.model_added", "added the model {target}"
    MODEL_REMOVED = "catalogue.model_removed", "removed the model {target}"
    OFFERING_CHANGED = "catalogue.offering_changed", "changed the offering {target}"
    OFFERING_ADDED = "catalogue.offering_added", "added the offering {target}"
    OFFERING_REMOVED = "catalogue.offering_removed", "removed the offering {target}"
    CATALOGUE_RELOADED = "catalogue.reloaded", "loaded the bundled catalogue again"
    CATALOGUE_ASKED = "catalogue.asked", "asked {target} for its models"
    CATALOGUE_REFRESHED = "catalogue.refreshed", "brought the catalogue up to date: {target}"
    CATALOGUE_APPLIED = "catalogue.applied", "applied the changes {target}"
    CATALOGUE_DISMISSED = "catalogue.dismissed", "dismissed the changes {target}"

    SUBSCRIPTION_STARTED = "subscription.started", "subscribed to {target}"
    SUBSCRIPTION_RENEWED = "subscription.renewed", "renewed the subscription to {target}"
    SUBSCRIPTION_PAST_DUE = (
        "subscription.past_due",
        "could not renew the subscription to {target}: the balance did not pay for it",
    )
    SUBSCRIPTION_CANCELLED = (
        "subscription.cancelled",
        "cancelled the subscription to {target} at the end of its period",
    )
    SUBSCRIPTION_RESUMED = "subscription.resumed", "resumed the subscription to {target}"
    SUBSCRIPTION_ENDED = "subscription.ended", "ended the subscription to {target}"

    PLAN_CHANGED = "plan.changed", "changed the plan {target}"
    PLAN_KEYS_ADDED = "plan.keys_added", "added keys to the stock of {target}"
    PLAN_KEY_WITHDRAWN = "plan.key_withdrawn", "took a key of {target} out of stock"
    PLAN_KEY_REVOKED = "plan.key_revoked", "noted that a key of {target} is revoked"

    PAYMENT_BEGUN = "billing.payment.begun", "began to pay in {target}"
    PAYMENT_RECEIVED = "billing.payment.received", "credited {target} that was paid in"
    PAYMENT_FAILED = "billing.payment.failed", "could not collect {target}"
    PAYMENT_EXPIRED = "billing.payment.expired", "closed a payment of {target} that was not made"
    PAYMENT_REFUNDED = "billing.payment.refunded", "heard that {target} was refunded"
    PAYMENT_REFUND_FAILED = (
        "billing.payment.refund_failed",
        "heard that a refund of a payment of {target} did not go through",
    )
    PAYMENT_TAKEN_BACK = (
        "billing.payment.taken_back",
        "took back what was left of a refunded payment of {target}",
    )
    PAYMENT_DISPUTED = "billing.payment.disputed", "heard that a payment of {target} is disputed"
    PAYMENT_DISPUTE_WON = (
        "billing.payment.dispute_won",
        "heard that a dispute over a payment of {target} was won",
    )
    PAYMENT_DISPUTE_LOST = (
        "billing.payment.dispute_lost",
        "heard that a dispute over a payment of {target} was lost",
    )

    TOP_UP_CARD_SAVED = "billing.top_up.card_saved", "saved {target} for automatic top-ups"
    TOP_UP_CARD_REMOVED = "billing.top_up.card_removed", "removed {target} from automatic top-ups"
    TOP_UP_TURNED_ON = "billing.top_up.turned_on", "turned on automatic top-ups with {target}"
    TOP_UP_CHANGED = "billing.top_up.changed", "changed automatic top-ups with {target}"
    TOP_UP_TURNED_OFF = "billing.top_up.turned_off", "turned off automatic top-ups with {target}"
    TOP_UP_BEGUN = "billing.top_up.begun", "began to charge {target} to top up"

    AUDIT_EXPORTED = "audit.exported", "exported the audit log"

    USER_CLOSED = "user.closed", "closed the account of {target}"
    USER_REOPENED = "user.reopened", "opened the account of {target} again"

    NAME_CHANGED = "account.name_changed", "changed the name of this account"

    SIGNED_IN = "security.signed_in", "signed in"
    SIGNED_OUT = "security.signed_out", "signed out"
    SESSIONS_ENDED = "security.sessions_ended", "ended sessions"
    PASSWORD_CHANGED = "security.password_changed", "changed the password"
    PASSWORD_RESET = "security.password_reset", "reset the password through e-mail"
    TWO_FACTOR_ENABLED = "security.two_factor_enabled", "turned on two-factor authentication"
    TWO_FACTOR_FAILED = "security.two_factor_failed", "entered a wrong two-factor code"
    TWO_FACTOR_DISABLED = "security.two_factor_disabled", "turned off two-factor authentication"
    RECOVERY_CODES_GENERATED = (
        "security.recovery_codes_generated",
        "generated new recovery codes",
    )
    RECOVERY_CODE_USED = "security.recovery_code_used", "used a recovery code"
    PASSKEY_ADDED = "security.passkey_added", "added the passkey {target}"
    PASSKEY_RENAMED = "security.passkey_renamed", "renamed a passkey to {target}"
    PASSKEY_REMOVED = "security.passkey_removed", "removed the passkey {target}"
    EMAIL_VERIFIED = "security.email_verified", "verified the e-mail address {target}"
    EMAIL_CHANGED = "security.email_changed", "changed the e-mail address to {target}"


SENTENCES = {event.value: event.sentence for event in Event}

#: What the first part of a name stands for.
KINDS = {
    "org": "Organization and members",
    "account": "Account",
    "byok": "Provider keys",
    "token": "API tokens",
    "billing": "Balance",
    "subscription": "Subscriptions",
    "security": "Security",
    "user": "Staff",
    "catalogue": "Catalogue",
    "plan": "Plans",
    "audit": "Audit log",
}


def events_named(name: str) -> tuple[Event, ...]:
    """The event of that name, or all of that kind; none for any other name."""
    return tuple(event for event in Event if event == name or event.startswith(f"{name}."))
