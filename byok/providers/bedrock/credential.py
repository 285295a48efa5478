"""What opens AWS Bedrock: an access key or a Bedrock API key, with its region, in JSON.

    {"accessKeyId": "AKIA…", "secretAccessKey": "…", "region": "us-east-1"}
    {"apiKey": "ABSK…", "region": "us-east-1"}

It is stored as canonical JSON, so that one credential is one text however it was typed. Nothing
here repeats any part of what was pasted: neither names nor values, which may be swapped.
"""

import json
import re
from typing import Any

import msgspec

from byok.providers.bedrock.regions import REGIONS
from byok.providers.credentials import UnusableSecret

MAX_LENGTH = 8192
FIELDS = ("accessKeyId", "secretAccessKey", "sessionToken", "apiKey", "region")

_TEMPORARY = "ASIA"
_SHORT_TERM = "bedrock-api-key-"
#: The usual shapes, which are hints; what does not fit those below cannot be sent at all.
ACCESS_KEY_ID = r"^(AKIA|ASIA)[A-Z0-9]{16}$"
SECRET_ACCESS_KEY = r"^[A-Za-z0-9/+]{40}$"  # noqa: S105 - the shape of one
API_KEY = r"^(ABSK[A-Za-z0-9+/=]{100,280}|bedrock-api-key-[A-Za-z0-9+/=_.-]{20,})$"
_CAN_BE_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_CAN_BE_SENT = re.compile(r"[\x21-\x7e]{1,4096}")
_SHORTENED = re.compile(r"[…•]|\*{3}|\.{3}")

SHAPE = 'Enter a JSON object with "accessKeyId", "secretAccessKey" and "region".'


class Credential(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One of the two kinds; what belongs to the other is empty. Its repr shows nothing of it."""

    access_key_id: str = ""
    secret_access_key: str = ""
    session_token: str = ""
    api_key: str = ""
    region: str

    def __repr__(self) -> str:
        return "***"

    @property
    def shown(self) -> str:
        """The part that a hint may be made of: the id of an access key is no secret by itself."""
        return self.access_key_id or self.api_key

    @property
    def canonical(self) -> str:
        return msgspec.json.encode(self).decode()


def pasted(text: str) -> Credential:
    """The credential in what was pasted. Raises UnusableSecret with a sentence that helps."""
    text = text.strip().strip("\u200b\ufeff").strip()
    if not text:
        raise UnusableSecret("Paste the JSON here.")
    if len(text) > MAX_LENGTH:
        raise UnusableSecret(
            f"This is longer than {MAX_LENGTH:,} characters, so it is not a credential. {SHAPE}"
        )
    return _checked(_object(text))


def stored(text: str) -> Credential:
    """A credential as it was sealed, checked once more. Raises UnusableSecret."""
    try:
        found = msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise UnusableSecret("The stored AWS Bedrock key cannot be read. Enter it again.") from None
    return _checked(found)


def doubts(credential: Credential) -> list[str]:
    """What looks wrong although it can be sent, the first doubt alone."""
    doubt = _doubt_of_api_key(credential.api_key) if credential.api_key else _doubt(credential)
    return [doubt] if doubt else []


def _doubt(credential: Credential) -> str:
    key_id = credential.access_key_id
    better = "Better use a long-term access key, which begins with AKIA."
    if key_id.startswith(_TEMPORARY) and not credential.session_token:
        return f"This is a temporary access key, which only works with its sessionToken. {better}"
    if key_id.startswith(_TEMPORARY):
        return f"This is a temporary access key: it stops working after some hours. {better}"
    if not re.search(ACCESS_KEY_ID, key_id):
        return (
            "The accessKeyId does not look like one: those are AKIA and 16 capital letters and "
            "digits."
        )
    if not re.search(SECRET_ACCESS_KEY, credential.secret_access_key):
        return "The secretAccessKey does not look like one: those have 40 characters."
    return ""


def _doubt_of_api_key(key: str) -> str:
    if key.startswith(_SHORT_TERM):
        return (
            "This is a short-term Bedrock API key: it stops working after 12 hours at most. "
            "Better use a long-term one, or an access key."
        )
    if not re.search(API_KEY, key):
        return (
            "The apiKey does not look like a Bedrock API key: those begin with ABSK and are "
            "longer than 100 characters."
        )
    return ""


# Any: whatever JSON was pasted.
def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnusableSecret(_why_no_json(text, error)) from None
    except RecursionError:
        raise UnusableSecret(f"This is no credential. {SHAPE}") from None
    if not isinstance(found, dict):
        raise UnusableSecret(f"This is JSON, but not an object. {SHAPE}")
    return found


def _why_no_json(text: str, error: ValueError) -> str:
    if text.startswith(("AKIA", "ASIA")):
        return (
            "This is the id of an access key alone. Its secret and a region are needed too. "
            f"{SHAPE}"
        )
    if text.startswith(("ABSK", _SHORT_TERM)):
        return (
            "This is a Bedrock API key alone; a region is needed too. Enter "
            '{"apiKey": "…", "region": "us-east-1"} with the key in place of the dots.'
        )
    if re.match(r"(export\s+)?AWS_[A-Z_]+\s*=|\[\w+\]|aws_[a-z_]+\s*=", text):
        return f"These are settings of the AWS command line, not JSON. {SHAPE}"
    if re.search("[“”„‟]", text):
        return "The quotation marks are curly ones. Replace them with straight ones and try again."
    if isinstance(error, json.JSONDecodeError):
        place = f"line {error.lineno}, column {error.colno}"
        return f"This is not valid JSON: {error.msg.lower()} at {place}. {SHAPE}"
    return f"This is not valid JSON. {SHAPE}"


# Any: as above.
def _checked(found: dict[str, Any]) -> Credential:
    """A credential that a request can be signed with. Raises UnusableSecret."""
    if unknown := found.keys() - set(FIELDS):
        many = "a field that is" if len(unknown) == 1 else f"{len(unknown)} fields that are"
        raise UnusableSecret(f"There is {many} not known here. {SHAPE}")
    for name, value in found.items():
        if not isinstance(value, str):
            raise UnusableSecret(f"The {name} must be a string in quotation marks.")
    values = {name: value.strip() for name, value in found.items()}
    if "apiKey" in values:
        if values.keys() - {"apiKey", "region"}:
            raise UnusableSecret(
                "There are an apiKey and an access key. Enter only one of them, with its region."
            )
        _check(values, "apiKey")
    else:
        _check(values, "accessKeyId", _CAN_BE_ID)
        _check(values, "secretAccessKey")
        if "sessionToken" in values:
            _check(values, "sessionToken")
    if not values.get("region"):
        raise UnusableSecret('The "region" is missing: name one of AWS, such as "us-east-1".')
    if values["region"] not in REGIONS:
        raise UnusableSecret(
            'The region is none of AWS. Enter its code, such as "us-east-1" or "eu-central-1".'
        )
    return msgspec.convert(values, Credential)


def _check(values: dict[str, str], name: str, shape: re.Pattern[str] = _CAN_BE_SENT) -> None:
    value = values.get(name, "")
    if not value:
        raise UnusableSecret(f'The "{name}" is missing. {SHAPE}')
    if _SHORTENED.search(value):
        raise UnusableSecret(
            f"The {name} is a shortened display or the example, not the whole. Copy it from where "
            "it was created; AWS shows a secret only once, so you may need a new one."
        )
    if not shape.fullmatch(value):
        raise UnusableSecret(
            f"The {name} contains a character that none has, or is of an impossible length. Copy "
            "it again, in one piece."
        )
