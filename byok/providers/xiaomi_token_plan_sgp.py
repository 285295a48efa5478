"""Xiaomi's Token Plan in Singapore, chosen by its name."""

from byok.providers.xiaomi import token_plan

PROVIDER = token_plan("sgp", "Singapore")
