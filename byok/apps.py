from typing import Any

from django.apps import AppConfig
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.migrations.loader import MigrationLoader
from django.db.models.signals import post_migrate

from orgs.catalogue import provide_models, provide_served


class ByokConfig(AppConfig):
    name = "byok"
    verbose_name = "Provider keys and catalogue"

    def ready(self) -> None:
        from byok import checks  # noqa: F401 -- registers the system checks.
        from byok.catalogue.held import callable_models, served_models

        provide_models(callable_models)
        provide_served(served_models)
        post_migrate.connect(_load_catalogue, sender=self)


# Any: whatever else the signal sends along.
def _load_catalogue(*, using: str, **kwargs: Any) -> None:
    """After migrating, bring the catalogue up to date; not half-way to an older schema."""
    from byok.catalogue.bundled import load_bundled

    migrations = MigrationLoader(connection)
    complete = set(migrations.graph.leaf_nodes("byok")) <= set(migrations.applied_migrations)
    if using == DEFAULT_DB_ALIAS and complete:
        load_bundled()
