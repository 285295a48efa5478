import gc
from importlib import import_module

from django.apps import AppConfig

# As a module: Django would take a configuration named here for this application's own.
from django.contrib.admin import apps as django_admin


class MegaBrainConfig(AppConfig):
    name = "megabrain"


class StaffAdminConfig(django_admin.SimpleAdminConfig):
    """Django's admin with our site and our models alone: those of the libraries hold secrets."""

    default = False  # Of this application it is not the configuration.
    default_site = "megabrain.admin.StaffSite"

    def ready(self) -> None:
        super().ready()
        for app in ("orgs", "byok", "billing"):
            import_module(f"{app}.admin")
        # It was off while all this was loaded, which is there to stay.
        gc.freeze()
        gc.enable()
