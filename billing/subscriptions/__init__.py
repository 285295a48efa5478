"""Subscriptions: plans that put a key from MegaBrain's stock among an account's own.

`actions` holds what people do, `renewing` what the clock does, `stock` what staff do; `managing`
answers the provider key pages, and `letters` writes to those who pay.
"""
