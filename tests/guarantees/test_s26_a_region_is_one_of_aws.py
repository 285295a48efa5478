"""S26: what becomes part of the host that a key is sent to is one of AWS's regions, or refused."""

import json
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byok.providers import provider
from byok.providers.base import Endpoint, UnusableSecret
from byok.providers.bedrock.regions import REGIONS
from byok.vault import Secret
from tests.guarantees.wire import RawUpstream

ID, KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
PIECES = [
    *("us-east-1", "eu-west-1", "us", "-", "1", "evil", "{place}", "http://{place}/", "//{place}"),
    *(".", "..", "@", "#", "?", "/", "\\", ":", ":443", "%2e", "%00", "%40", "%23", "user:pw@"),
    *(
        "\n",
        "\r\n",
        "\r\nHost: {place}\r\n\r\n",
        "\0",
        " ",
        "\t",
        "\u2028",
        "\uff0e",
        "é",
        "'",
        "{",
    ),
    *("{region}", "amazonaws.com", ".amazonaws.com.", "cn-north-1", "US-EAST-1", "us-east-1a"),
]
_HOSTILE = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)


@pytest.fixture(autouse=True)
def _real_addresses(settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}


def sealed(region: object) -> str:
    return json.dumps({"accessKeyId": ID, "secretAccessKey": KEY, "region": region})


def requests_with(region: object):
    """All that would be sent with a sealed credential that has this region."""
    bedrock, secret = provider("bedrock"), Secret(sealed(region))
    yield bedrock.list_models(secret)
    for endpoint in (Endpoint.CONVERSE, Endpoint.INVOKE_MODEL):
        for stream in (False, True):
            yield bedrock.request(
                secret, endpoint, b"{}", {}, model="{geo}.anthropic.claude-sonnet-5", stream=stream
            )
    yield from (request for _, request in bedrock.test_calls(secret))


@given(
    _HOSTILE | st.text(max_size=40) | st.none() | st.integers() | st.lists(st.text(), max_size=2)
)
def test_no_region_that_is_typed_or_sealed_leads_elsewhere(region):
    bedrock = provider("bedrock")
    text = str(region).replace("{place}", "127.0.0.1:9")
    if isinstance(region, str) and text.strip() in REGIONS:
        return
    for typed in (region, text):
        if isinstance(typed, str) and typed.strip() in REGIONS:
            continue
        with pytest.raises(UnusableSecret) as refused:
            bedrock.clean(sealed(typed))
        assert KEY not in str(refused.value)
        # And if it was sealed all the same, by a hand on the database or an older version.
        with pytest.raises(UnusableSecret):
            list(requests_with(typed))


def test_every_region_leads_to_its_own_host():
    for region in REGIONS:
        hosts = {urlsplit(request.url).netloc for request in requests_with(region)}
        assert hosts == {
            f"bedrock.{region}.amazonaws.com",
            f"bedrock-runtime.{region}.amazonaws.com",
        }


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join))
def test_no_id_of_a_model_leads_elsewhere(model):
    bedrock = provider("bedrock")
    request = bedrock.request(
        Secret(sealed("eu-west-1")), Endpoint.CONVERSE, b"{}", {}, model=model
    )
    place = urlsplit(request.url)
    assert place.netloc == "bedrock-runtime.eu-west-1.amazonaws.com"
    assert place.path.count("/") == 3
    assert place.path.endswith("/converse")
    assert (place.query, place.fragment) == ("", "")


@pytest.mark.django_db(transaction=True)
def test_a_key_with_such_a_region_is_one_unhealthy_key_and_nothing_is_sent(agent, key, settings):
    with RawUpstream() as elsewhere:
        place = elsewhere.url.removeprefix("http://")
        settings.MEGABRAIN_UPSTREAM_URLS = {}
        for region in (f"x@{place}/", f"{place}#", f"{place}/?"):
            stored = key("bedrock", secret=Secret(sealed(region)))
            body = {"model": "amazon/nova-pro-v1", "messages": [{"role": "user", "content": "hi"}]}
            answer = agent.post("chat/completions", body)
            assert answer.json()["error"]["code"] == "byok_key_required"
            assert KEY not in answer.text
            stored.delete()
        assert elsewhere.connections == 0
