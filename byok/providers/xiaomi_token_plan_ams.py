"""Xiaomi's Token Plan in Europe, chosen by its name."""

from byok.providers.xiaomi import token_plan

PROVIDER = token_plan("ams", "Europe")
