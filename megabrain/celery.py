"""The Celery application: `celery -A megabrain worker` finds it here."""

import os

from celery import Celery, signals
from kombu.transport import TRANSPORT_ALIASES

# An address cannot name a class, only one of these.
TRANSPORT_ALIASES["filesystem"] = "megabrain.file_queue:Transport"

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megabrain.settings")

app = Celery("megabrain")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_init.connect
def start(**_: object) -> None:
    from byok.checks import refuse_bad_vault_keys

    refuse_bad_vault_keys()
