from django.apps import AppConfig


class MegaBrainConfig(AppConfig):
    name = "megabrain"
