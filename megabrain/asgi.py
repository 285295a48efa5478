"""The ASGI entry: agents under /v1 go to the gateway, everything else to the site."""

import os

import django
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megabrain.settings")
django.setup(set_prefix=False)

from byok.checks import refuse_bad_vault_keys  # noqa: E402 -- models can be imported only now.

refuse_bad_vault_keys()

application = get_asgi_application()
