from django.apps import AppConfig

from orgs.last_calls import provide_last_calls


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing.last_calls import last_calls

        provide_last_calls(last_calls)
