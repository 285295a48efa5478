"""Making a provider's words fit to be shown: bounded, and without anything like a credential.

A provider may repeat in an error whatever it was sent, and so the key. Exact copies are the easy
part; it may also cut, quote or encode it, or repeat somebody else's.
"""

import base64
import re
from urllib.parse import quote

from byok.providers.credentials import KNOWN_PREFIXES
from byok.vault import Secret

LONGEST = 4096
#: What is looked at: a key cut in two by the first bound must not slip through the second.
_READ = 4 * LONGEST
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


def presentable(text: str, secret: Secret | None) -> str:
    """At most LONGEST characters of the text; credentials in it are masked, markup left out."""
    text = _CONTROL.sub(" ", text[:_READ])
    if secret is not None:
        text = _without(text, secret)
    text = _KEY_SHAPED.sub(MASK, text)
    text = _RANDOM.sub(_unless_harmless, text)
    # Only now: a tag in the middle of a key would have hidden it.
    text = _KEY_SHAPED.sub(MASK, _TAG.sub("", text))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _unless_harmless(match: re.Match[str]) -> str:
    found = match[0]
    mixed = re.search(r"[0-9]", found) and re.search(r"[A-Za-z]", found)
    return MASK if mixed and not found.startswith(_IDS) else found


def _without(text: str, secret: Secret) -> str:
    """The text without any eight characters in a row of the secret, plain or encoded."""
    forms = _forms(secret)
    hidden = bytearray(len(text))
    for start in range(len(text) - _SLICE + 1):
        if text[start : start + _SLICE] in forms:
            hidden[start : start + _SLICE] = b"\1" * _SLICE
    if not any(hidden):
        return text
    out, masked = [], False
    for character, hide in zip(text, hidden, strict=True):
        if not hide:
            out.append(character)
        elif not masked:
            out.append(MASK)
        masked = bool(hide)
    return "".join(out)


def _forms(secret: Secret) -> set[str]:
    """Every eight characters of the secret as such, reversed, in hex, URL encoding and base64."""
    plain = secret.reveal()
    raw = plain.encode()
    texts = [plain, plain[::-1], raw.hex(), raw.hex().upper(), quote(plain, safe="")]
    texts.append("".join(f"%{byte:02X}" for byte in raw))
    for shift in range(3):
        # The ends of base64 depend on what stands beside the secret.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            texts += [encode(bytes(shift) + raw).decode()[(0, 2, 3)[shift] :]]
    return {
        text[start : start + _SLICE] for text in texts for start in range(len(text) - _SLICE + 1)
    }
