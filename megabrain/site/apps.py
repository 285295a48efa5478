"""Makes the component tags and the pages of the site known to Django."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "megabrain.site"
    label = "site"
    verbose_name = "Site"
