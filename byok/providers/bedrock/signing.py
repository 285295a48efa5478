"""Signature Version 4, by botocore's signer, which is the reference of AWS itself."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from byok.providers.bedrock.credential import Credential

#: Both planes of Bedrock sign with this name.
SERVICE = "bedrock"


def authorization(
    credential: Credential,
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> dict[str, str]:
    """The headers that prove this request comes from the credential's owner.

    `headers` are signed with it and must be sent as they are, and so must the URL: a model's id in
    its path is percent-encoded once, and in what is signed once more.
    """
    if credential.api_key:
        return {"authorization": f"Bearer {credential.api_key}"}
    if not _has_host(url):
        return {}  # An operator's slip of the pen: nothing can be sent there, so nothing is signed.
    keys = Credentials(
        credential.access_key_id, credential.secret_access_key, credential.session_token or None
    )
    request = AWSRequest(method, url, headers=dict(headers), data=body or b"")
    SigV4Auth(keys, SERVICE, credential.region).add_auth(request)
    return {
        name.lower(): value
        for name, value in request.headers.items()
        if name.lower() not in headers
    }


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def encoded(model: str) -> str:
    """A model's id, or the ARN of one, as a segment of a path."""
    return quote(model, safe="")
