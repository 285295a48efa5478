"""Static files from the server that people meet, with warnings as errors."""

from pathlib import Path

import pytest
import requests

from tests.gateway_fixture import RunningGateway

FILE = Path(__file__).parent.parent.parent / "static/js/site.js"
PATH = "/static/js/site.js"


@pytest.fixture
def url(gateway: RunningGateway) -> str:
    return f"{gateway.address}{PATH}"


def test_a_static_file_is_served_whole(url: str):
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 200
    assert answer.content == FILE.read_bytes()
    assert answer.headers["content-type"].startswith("text/javascript")


def test_a_part_of_it_is_served_to_whoever_asks_for_a_part(url: str):
    answer = requests.get(url, headers={"range": "bytes=5-14"}, timeout=10)
    assert answer.status_code == 206
    assert answer.content == FILE.read_bytes()[5:15]


def test_whoever_has_it_gets_no_second_copy(url: str):
    tag = requests.get(url, timeout=10).headers["last-modified"]
    answer = requests.get(url, headers={"if-modified-since": tag}, timeout=10)
    assert answer.status_code == 304
    assert answer.content == b""


def test_its_headers_alone_are_served_as_well(url: str):
    answer = requests.head(url, timeout=10)
    assert answer.status_code == 200
    assert answer.content == b""
