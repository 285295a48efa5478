"""Dollars as people read and write them. Everywhere else money is a whole number of micro-dollars.

Nothing here or there is ever a float.
"""

import re

PLACES = 6
MICROS: int = 10**PLACES
#: More than this is a slip of the finger.
MOST_DOLLARS = 1_000_000

_WRITTEN = re.compile(r"\$? *(\d+|\d{1,3}(?:,\d{3})+)?(?:\.(\d+))?", re.ASCII)


class NotDollars(ValueError):
    """Its text says what is wrong with the amount."""


def dollars(micros: int, least: int = 2) -> str:
    """Exactly, with as many decimals as it takes, at least so many: `$20.00`, `-$0.00125`."""
    whole, rest = divmod(abs(micros), MICROS)
    decimals = f"{rest:0{PLACES}d}".rstrip("0").ljust(least, "0")
    return f"{'-' if micros < 0 else ''}${whole:,}{'.' if decimals else ''}{decimals}"


def rounded(micros: int, places: int = 4) -> str:
    """To so many decimals: `$1.2345`; a trace is `<$0.0001`, never `$0.0000`."""
    sign = "-" if micros < 0 else ""
    unit = 10 ** (PLACES - places)
    steps = (abs(micros) + unit // 2) // unit
    if micros and not steps:
        return f"{sign}<{dollars(unit, places)}"
    return f"{sign}{dollars(steps * unit, places)}"


def micros_in(text: str) -> int:
    """What somebody wrote as dollars: `20`, `2.50`, `$1,000`. Raises `NotDollars`."""
    written = _WRITTEN.fullmatch(text.strip())
    whole, decimals = written.groups() if written else (None, None)
    if whole is None and decimals is None:
        raise NotDollars("Enter an amount in dollars, such as 20 or 2.50.")
    if len((decimals or "").rstrip("0")) > PLACES:
        raise NotDollars(f"Enter an amount with {PLACES} decimals at most.")
    digits = (whole or "0").replace(",", "").lstrip("0") or "0"
    # By its length first: a number of any size can be written.
    if len(digits) <= len(str(MOST_DOLLARS)):
        parts = (decimals or "")[:PLACES].ljust(PLACES, "0")
        micros = int(digits) * MICROS + int(parts)
        if micros <= MOST_DOLLARS * MICROS:
            return micros
    raise NotDollars(f"Enter {dollars(MOST_DOLLARS * MICROS, 0)} at most.")
