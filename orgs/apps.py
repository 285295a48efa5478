from importlib import import_module

from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "orgs"
    verbose_name = "People and accounts"

    def ready(self) -> None:
        import_module("orgs.sign_in")  # Connects its receivers.
