"""What the provider key pages learn of subscriptions."""

from collections.abc import Collection, Mapping

from django.utils import timezone

from billing.models import Plan, PlanKey, Subscription
from billing.subscriptions.stock import release
from byok.managed import Manager
from byok.models import ProviderKey
from orgs.access import account_url
from orgs.models import Account


class Plans:
    """Keys are managed by plans, under their slugs."""

    def named(self, account: Account, names: Collection[str]) -> Mapping[str, Manager]:
        url = account_url("billing:subscriptions", account)
        cancelled = {
            each.plan_id: each.renews_at
            for each in Subscription.objects.for_account(account).live()
            if each.cancel_at_period_end
        }
        return {
            plan.slug: Manager(plan.name, url, ends_at=cancelled.get(plan.pk))
            for plan in Plan.objects.filter(slug__in=names)
        }

    def replaced(self, key: ProviderKey) -> None:
        """The subscription goes on and manages no key; the one it had given is to be revoked."""
        subscriptions = Subscription.objects.live().filter(
            account_id=key.account_id, provider_key_id=key.pk
        )
        found = subscriptions.select_for_update(of=("self",)).select_related("plan_key").first()
        if found is None:
            return
        found.provider_key_id = None
        found.save(update_fields=["provider_key_id"])
        if found.plan_key.state == PlanKey.State.CLAIMED:
            release(found.plan_key, timezone.now())
