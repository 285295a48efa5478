"""A local stand-in for every provider, for demos, tests and benchmarks.

It speaks each provider's wire formats over TCP, enforces its request rules, and refuses in its own
words. Nothing leaves the machine. The modules, in the order a request meets them:

    app.py          ASGI: find the provider, obey the key's fault, have the request answered
    connection.py   reads the body, sends the answer at its pace, notices a hang-up
    providers/      one file a provider: addresses, keys, models, errors, house rules
    faults.py       what the key asks for: `…-sim-ok-…` works, `…-sim-429-…` is rate limited, …
    dialects/       one file a wire format: checks a request, writes answers and streams
    turn.py         a request in neutral terms, and the answer to it
    answers.py      what the make-believe model says, and which tools it calls
    lists.py        how a list of models goes wrong
    prompt_cache.py how much of a prompt was seen before

Run it with `python manage.py simulator`.
"""
