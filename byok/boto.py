"""AWS Bedrock as boto3 speaks it, for the test of a key.

boto3 writes the call, signs it and reads the answer, so that a test says what AWS's own library
would. It knows the credential it is given and nothing else: no variable, file, profile or metadata
service of the machine is asked for anything. The connection is ours, made as for every provider.
"""

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from threading import Lock
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from requests.exceptions import InvalidURL

from byok.providers.base import UpstreamRequest
from byok.providers.bedrock import Bedrock
from byok.providers.bedrock.credential import Credential, stored
from byok.sending import Answer
from byok.vault import Secret

#: boto3 wants an access key even where another one is used; without any it would look for one.
_NONE = "none"

#: Of a session, one client is made at a time (boto3's guide on threads).
_making = Lock()


def converse(
    provider: Bedrock,
    secret: Secret,
    upstream_id: str,
    request: UpstreamRequest,
    exchange: Callable[[UpstreamRequest], Answer],
) -> Answer:
    """The answer to the call that `request` stands for, made by boto3 and sent by `exchange`,
    whose exceptions pass through. Raises InvalidURL for an address that boto3 refuses."""
    credential = stored(secret.reveal())
    heard: list[Answer] = []

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        answer = exchange(_plain(request, credential.api_key))
        heard.append(answer)
        return AWSResponse(
            request.url, answer.status, HTTPHeaders.from_dict(answer.headers), _Raw(answer.body)
        )

    try:
        client = _client(provider, credential)
        client.meta.events.register("before-send", send)
        client.converse(
            modelId=provider.model_called(secret, upstream_id), **json.loads(request.body or b"{}")
        )
    except (ClientError, BotoCoreError, ValueError):
        if not heard:
            # Nothing was sent: boto3 makes nothing of the address that the operator has put.
            raise InvalidURL from None
    # What AWS said is judged by the provider's own rules, as for a call of the gateway.
    return heard[-1]


# Any: boto3 makes its clients' classes as it goes.
def _client(provider: Bedrock, credential: Credential) -> Any:
    with _making:
        return _session().client(
            "bedrock-runtime",
            region_name=credential.region,
            endpoint_url=provider.runtime_url(credential.region),
            aws_access_key_id=credential.access_key_id or _NONE,
            aws_secret_access_key=credential.secret_access_key or _NONE,
            aws_session_token=credential.session_token or None,
            config=Config(
                signature_version=UNSIGNED if credential.api_key else "v4",
                retries={"total_max_attempts": 1, "mode": "standard"},
                proxies={},
            ),
        )


@cache
def _session() -> boto3.session.Session:
    """What boto3 knows of its services, which takes it long to read, and nothing of any key."""
    return boto3.session.Session(botocore_session=Session(session_vars=_nothing_of_the_machine()))


# Any: botocore's own tuples of name in files, variables, default and converter.
def _nothing_of_the_machine() -> dict[str, Any]:
    """All of botocore's settings at their defaults, wherever the machine has others."""
    settings = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    nowhere = (None, None, os.devnull, None)
    return {**settings, "config_file": nowhere, "credentials_file": nowhere}


class _Raw:
    """A body as boto3 reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, amount: int = 1024, decode_content: bool | None = None) -> Iterator[bytes]:
        yield self._body


def _plain(request: AWSPreparedRequest, api_key: str) -> UpstreamRequest:
    body = request.body
    assert isinstance(body, bytes | bytearray), "boto3 writes the JSON of a call as bytes."
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    if api_key:
        # boto3 sends one over HTTPS alone, and an operator may have an address of his own.
        headers["authorization"] = f"Bearer {api_key}"
    return UpstreamRequest(request.method, request.url, headers, bytes(body))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
