from django.apps import AppConfig

from byok.managed import provide_managers
from byok.served import provide_served_lately
from orgs.closing import provide_endings
from orgs.member_calls import provide_member_calls


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing.closing import EndingWithOrganization
        from billing.member_calls import Source
        from billing.served import served_lately
        from billing.subscriptions.managing import Plans

        provide_member_calls(Source())
        provide_served_lately(served_lately)
        provide_managers(Plans())
        provide_endings(EndingWithOrganization())
