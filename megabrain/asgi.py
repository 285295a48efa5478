"""The ASGI entry: agents under /v1 go to the gateway, everything else to the site."""

import os

import django
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megabrain.settings")
django.setup(set_prefix=False)

application = get_asgi_application()
