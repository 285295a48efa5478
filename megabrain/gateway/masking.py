"""Making a provider's words fit to be shown: bounded, and without anything like a credential.

A provider may repeat in an error whatever it was sent, and so the key. Exact copies are the easy
part; it may also cut, quote or encode it, or repeat somebody else's.
"""

import base64
import re
from urllib.parse import quote

from byok.providers.credentials import KNOWN_PREFIXES, secret_parts
from byok.vault import Secret

LONGEST = 4096
#: What is looked at: a key cut in two by the first bound must not slip through the second.
_READ = 4 * LONGEST
#: How many characters of the caller's request are searched for what an error quotes of it.
_SEARCHED = 64 * 1024 * 1024
_SLICE = 8
MASK = "***"

_PREFIXES = "|".join(re.escape(prefix) for prefix in ("mb-", "sk-", "sk_", *KNOWN_PREFIXES))
# A known beginning and enough after it; a bearer token; three parts of base64 with dots between.
_KEY_SHAPED = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_PREFIXES})[A-Za-z0-9_\-]{{8,}}"
    r"|(?i:bearer)\s+[^\s\"',;]{8,}"
    r"|eyJ[A-Za-z0-9_\-]{10,}(?:\.[A-Za-z0-9_\-]+)*"
)
# Long, and with letters and digits mixed: nothing a person or a model would write.
_RANDOM = re.compile(r"[A-Za-z0-9+/=_\-]{32,}")
#: Ids that agents quote back and find their mistake by.
_IDS = ("toolu_", "srvtoolu_", "call_", "fc_", "rs_", "msg_", "resp_", "req_", "ctc_", "chatcmpl-")
_TAG = re.compile(r"</?[A-Za-z!][^<>]{0,500}>")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")


#: By which a provider names who holds the key: organizations and projects, accounts of AWS.
_HOLDER = re.compile(
    r"\b(?:org|proj|acct|wrkspc)[-_][A-Za-z0-9]{6,}"
    r"|\b(?:user|team)[-_](?=[A-Za-z]*[0-9])[A-Za-z0-9]{6,}"
    r"|\barn:aws[^\s\"',;]*"
    r"|(?i:\b(?:projects?|accounts?|orgs?|organizations?|workspaces?|tenants?|teams?)"
    r"[\s/:=\"'`]{1,3}(?:number\s|id\s|with\sid\s)?[\s\"'`]{0,2}(?=[a-z-]*[0-9])[a-z0-9-]{6,})"
    r"|\b[0-9]{12}\b"
)


def presentable(text: str, secret: Secret | None, sent: str = "", *, own: bool = True) -> str:
    """At most LONGEST characters of the text; credentials in it are masked, markup left out.

    What stands in `sent`, the caller's own request, is the caller's to read: names of tools and ids
    may look like keys, and agents find their mistake by them. The secret is masked all the same.
    So is who holds the key, where that is not the caller's `own`.
    """
    forms = _forms(secret) if secret is not None else set()
    known: dict[str, bool] = {}
    text = _masked(_CONTROL.sub(" ", text[:_READ]), forms, sent, known)
    # Once more: a tag in the middle of a key would have hidden it.
    text = _masked(_TAG.sub("", text), forms, sent, known)
    if not own:
        text = _HOLDER.sub(lambda held: held[0] if _is_in(held[0], sent, known) else MASK, text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _is_in(word: str, sent: str, known: dict[str, bool]) -> bool:
    """Whether the caller sent it. In a large request only so many words are looked for, and the
    others are masked: a provider could name any number of them."""
    if word not in known:
        affordable = len(known) * len(sent) <= _SEARCHED
        known[word] = affordable and word in sent
    return known[word]


def _masked(text: str, forms: set[str], sent: str, known: dict[str, bool]) -> str:
    """The text without what is key-shaped or random, and without any of these slices."""
    # All of it is found before any is masked: half a key may no longer look like one.
    found = [*_KEY_SHAPED.finditer(text)]
    found += [match for match in _RANDOM.finditer(text) if not _harmless(match[0])]
    spans = [match.span() for match in found if not _is_in(match[0], sent, known)]
    if forms:
        starts = range(len(text) - _SLICE + 1)
        spans += [(at, at + _SLICE) for at in starts if text[at : at + _SLICE] in forms]
    out: list[str] = []
    end = 0
    for start, stop in sorted(spans):
        if start > end or not out:
            out += [text[end:start], MASK]
        end = max(end, stop)
    return "".join([*out, text[end:]])


def _harmless(found: str) -> bool:
    mixed = re.search(r"[0-9]", found) and re.search(r"[A-Za-z]", found)
    return not mixed or found.startswith(_IDS)


def _forms(secret: Secret) -> set[str]:
    """Every eight characters of what is secret in it, as such, reversed, in hex, URL encoding and
    base64."""
    return {
        text[start : start + _SLICE]
        for part in secret_parts(secret.reveal())
        for text in _spellings(part)
        for start in range(len(text) - _SLICE + 1)
    }


def _spellings(plain: str) -> list[str]:
    raw = plain.encode()
    texts = [plain, plain[::-1], raw.hex(), raw.hex().upper(), quote(plain, safe="")]
    texts.append("".join(f"%{byte:02X}" for byte in raw))
    for shift in range(3):
        # The ends of base64 depend on what stands beside the secret.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            texts += [encode(bytes(shift) + raw).decode()[(0, 2, 3)[shift] :]]
    return texts
