"""What can be said about a pasted provider key without asking anyone.

Shapes are hints. A key that looks wrong is saved all the same once its owner insists,
because providers change the shape of their keys without telling anyone; only what could
not be a key, or could not be sent as one, is refused. No message repeats any part of
what was pasted.
"""

import json
import re
from collections.abc import Mapping

MAX_LENGTH = 4096

#: Beginnings that give away whose key it is. `sk-` alone is used by half a dozen companies.
KNOWN_PREFIXES: Mapping[str, str] = {
    "sk-ant-": "Anthropic",
    "sk-or-": "OpenRouter",
    "sk-proj-": "OpenAI",
    "sk-svcacct-": "OpenAI",
    "sk-admin-": "OpenAI",
    "sk-api-": "MiniMax",
    "sk-cp-": "MiniMax",
    "xai-": "xAI",
    "pplx-": "Perplexity",
    "fw_": "Fireworks",
    "AIza": "Google AI Studio",
    "AQ.": "Google AI Studio",
    "tp-": "Xiaomi Token Plan",
    "AKIA": "AWS",
    "ASIA": "AWS",
    "ABSK": "AWS Bedrock",
    "bedrock-api-key-": "AWS Bedrock",
    "gsk_": "Groq",
    "hf_": "Hugging Face",
    "nvapi-": "NVIDIA",
    "ghp_": "GitHub",
    "github_pat_": "GitHub",
}

#: Our own credential is what a newcomer most easily takes for the one asked for.
OWN_TOKEN_PREFIX = "mb-"  # noqa: S105 - the public beginning of every token, not a secret

#: What is no secret of a credential in JSON.
_PUBLIC = ("region", "base_url")

_INVISIBLE_EDGES = "\u200b\u200c\u200d\u2060\ufeff"
_QUOTES = ('""', "''", "``", "“”", "‘’")

#: What no key looks like, and what to tell the person who pasted it; the first match is told.
_NEVER_A_KEY: tuple[tuple[str, str], ...] = (
    (
        r"(?i)^bearer\b",
        "Leave out the word “Bearer”: paste only the key that follows it.",
    ),
    (
        r"(?i)^(authorization|x-api-key|api-key)\s*:",
        "Leave out the name of the header: paste only the key itself.",
    ),
    (
        r"^(export\s+)?[A-Z][A-Z0-9_]*_(KEY|TOKEN|SECRET)\s*=",
        "Leave out the name in front of the equals sign: paste only the key.",
    ),
    (
        r"[…•]|\*{3}|\.{3}",
        (
            "This is a shortened display of a key, not the key itself. Copy the whole key where it "
            "was created; most providers show it only once, so you may need a new one."
        ),
    ),
    (
        r"[\x00-\x1f\x7f-\x9f\u2028\u2029]",
        (
            "The key contains a line break or another invisible character. Copy it again, "
            "in one piece."
        ),
    ),
    (
        r"\s",
        "The key contains a space. Copy it again, without anything around it.",
    ),
    (
        r"[^\x00-\x7f]",
        (
            "The key contains a character that no key has, such as a curly quote or an accented "
            "letter. Copy it again from where it was created."
        ),
    ),
)


class UnusableSecret(ValueError):
    """What was pasted cannot be a key. The message says why and repeats none of it."""


def clean(text: str) -> str:
    """The key inside what was pasted: trimmed, and freed of one pair of quotes.

    Raises UnusableSecret, with a sentence for the person pasting, for anything that
    cannot be sent in a header as a single word.
    """
    key = _trimmed(text)
    if len(key) >= 2 and key[0] + key[-1] in _QUOTES:
        key = _trimmed(key[1:-1])
    if not key:
        raise UnusableSecret("Paste the key here.")
    if len(key) > MAX_LENGTH:
        raise UnusableSecret(
            f"This is longer than {MAX_LENGTH:,} characters, so it is not a single key. "
            "Copy only the key."
        )
    for pattern, sentence in _NEVER_A_KEY:
        if re.search(pattern, key):
            raise UnusableSecret(sentence)
    return key


def _trimmed(text: str) -> str:
    return text.strip().strip(_INVISIBLE_EDGES).strip()


def can_be_sent(text: str) -> bool:
    """Whether a header can carry it: visible ASCII only, so never a second header."""
    return len(text) <= MAX_LENGTH and re.fullmatch(r"[\x21-\x7e]+", text) is not None


def secret_parts(text: str) -> list[str]:
    """The strings in a credential that must not be shown: all of it, or what is secret of one that
    is an object in JSON. The names in that, and its region, are words like any other."""
    if not text.startswith("{"):
        return [text]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    values = found.items() if isinstance(found, dict) else ()
    parts = [value for name, value in values if isinstance(value, str) and name not in _PUBLIC]
    return parts or [text]


def owner_of(text: str) -> str:
    """The company whose keys begin like this, or "" if that cannot be told."""
    matching = [prefix for prefix in KNOWN_PREFIXES if text.startswith(prefix)]
    return KNOWN_PREFIXES[max(matching, key=len)] if matching else ""


def a(name: str) -> str:
    """The name with its indefinite article: an Anthropic, a DeepSeek."""
    # The letters that are spoken with a vowel first matter for initialisms such as NVIDIA or xAI.
    spoken = name[:1] in "AEIOaeio" or name.startswith(("NV", "xA"))
    return f"{'an' if spoken else 'a'} {name}"
