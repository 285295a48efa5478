"""A page with all it loads is at most 60 KB on the wire the first time, pictures aside."""

import gzip
import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests.site.conftest import MakeCall, MakeKey

LIMIT = 60_000
GZIP = {"Accept-Encoding": "gzip"}


def weight(client: Client, address: str) -> int:
    response = client.get(address, headers=GZIP)
    assert response["Content-Encoding"] == "gzip"
    page = gzip.decompress(response.content).decode()
    loaded = set(re.findall(r'(?:href|src)="/static/([^"#]+\.(?:css|js|svg))', page))
    assert {"css/site.css", "js/site.js", "icons.svg"} <= loaded
    return len(response.content) + sum(packed(path) for path in loaded)


def packed(path: str) -> int:
    """The size of a static file as it is served: compressed ahead of time."""
    found = finders.find(path)
    assert isinstance(found, str)
    with open(found, "rb") as file:  # noqa: PTH123 -- Path adds nothing here.
        return len(gzip.compress(file.read(), 9))


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/models/", "/docs/", "/docs/errors/", "/docs/agents/"])
def test_a_public_page_is_light(client: Client, address: str):
    assert weight(client, address) <= LIMIT


def test_a_full_dashboard_is_light(owner_client: Client, make_call: MakeCall, make_key: MakeKey):
    for day in range(30):
        make_call(days_ago=day)
    for provider in ("anthropic", "openai", "deepseek", "novita", "fireworks"):
        make_key(provider)
    assert weight(owner_client, "/dashboard/?days=30") <= LIMIT
    assert weight(owner_client, "/account/byok/") <= LIMIT
