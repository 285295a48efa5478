"""The plane that agents talk to: one module per stage, in the order a request meets them.

app (paths, body, drain) → views → auth → limits → dialects (what the body asks for) → routing →
relay (upstream, watch) → settlement (metering). Each keeps to the event loop; whatever touches the
database runs in threads of `snapshot` and `settlement`.
"""
