"""Which addresses are public, and how an endpoint of a customer's own is written."""

from ipaddress import ip_network

import pytest

from byok.addresses import is_public
from byok.providers.base import UnusableSecret
from byok.providers.custom import (
    MAX_MODELS,
    Place,
    Unusable,
    clean_models,
    clean_url,
    upstream_model,
)

PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2001:4860:4860::8888"]
#: They lead to an address of version 4, and that is a public one.
PUBLIC_INSIDE = ["::ffff:1.1.1.1", "64:ff9b::101:101", "2002:808:808::1"]
INNER = {
    "this machine": "127.0.0.1 127.255.0.1 0.0.0.0 ::1 ::",
    "private networks": "10.0.0.1 172.16.0.1 192.168.1.1 fc00::1 fd12::1 fec0::1",
    "shared address space": "100.64.0.1 100.127.255.254 100.100.100.200",
    "links": "169.254.0.1 fe80::1",
    "metadata of clouds": "169.254.169.254 fd00:ec2::254 168.63.129.16 192.0.0.192",
    "many at once": "224.0.0.1 239.1.1.1 255.255.255.255 ff02::1 ff0e::1",
    "examples": "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff::1",
    "reserved": "240.0.0.1 198.18.0.1 5f00::1 192.88.99.1",
    "mapped": "::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::ffff:10.0.0.1 ::127.0.0.1 ::a00:1",
    "translated": "64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2002:a9fe:a9fe::1",
    "tunnelled": "2001::1 2001:0:53aa:64c::1",
    "with a zone": "fe80::1%eth0 2606:4700::1111%eth0",
    "other spellings": "2130706433 0x7f000001 017700000001 0177.0.0.1 127.1 0 1 1.1.1 ١.١.١.١",
    "no address": "localhost example.com 1.1.1.1. [::1] 1.1.1.1:443",
}


@pytest.mark.parametrize("address", PUBLIC + PUBLIC_INSIDE)
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("addresses", INNER.values(), ids=INNER)
def test_no_other_address_is(addresses):
    assert [address for address in addresses.split() if is_public(address)] == []
    assert not is_public("")
    assert not is_public(" 1.1.1.1")


def test_networks_of_the_operators_are_public_in_all_their_spellings(settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [
        ip_network("10.1.0.0/16"),
        ip_network("fd01::/16"),
    ]

    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd01::1"):
        assert is_public(address)
    for address in ("10.2.0.1", "127.0.0.1", "fd02::1", "2130706433"):
        assert not is_public(address)


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("  HTTPS://API.Example.com:8443/V1/ \n", "https://api.example.com:8443/V1"),
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/models/", "https://api.example.com/v1"),
        ("https://1.1.1.1/v1", "https://1.1.1.1/v1"),
        ("https://[2606:4700::1111]:443/v1", "https://[2606:4700::1111]:443/v1"),
    ],
)
def test_a_base_url_is_kept_in_one_form(typed, url):
    assert clean_url(typed) == url


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("http://api.example.com/v1", "has to begin with https://"),
        ("ftp://api.example.com", "Write the address as https://host/path"),
        ("api.example.com/v1", "Write the address as"),
        ("", "Write the address as"),
        ("https://", "Write the address as"),
        ("https://me:word@api.example.com", "without user name"),
        ("https://api.example.com\\@evil.example.com", "Write the address as"),
        ("https://api.example.com/v1?key=1", "Write the address as"),
        ("https://api.example.com/v1#x", "Write the address as"),
        ("https://api.example.com/v1\r\nx-header: 1", "Write the address as"),
        ("https://api.example.com/%2e%2e/admin", "Write the address as"),
        ("https://api.example.com/../admin", "has to be a name"),
        ("https://api..example.com", "has to be a name"),
        ("https://api.example.com:0", "Write the address as"),
        ("https://api.example.com:70000", "Write the address as"),
        ("https://bücher.example", "Write the address as"),
        ("https://" + "a" * 600 + ".example", "Write the address as"),
        ("https://localhost/v1", "inside a network"),
        ("https://llm.corp/v1", "inside a network"),
        ("https://llm.internal/v1", "inside a network"),
        ("https://127.0.0.1/v1", "Only public addresses"),
        ("https://2130706433/v1", "Only public addresses"),
        ("https://0x7f000001/v1", "Only public addresses"),
        ("https://0177.0.0.1/v1", "Only public addresses"),
        ("https://[::1]/v1", "Only public addresses"),
        ("https://[::ffff:10.0.0.1]/v1", "Only public addresses"),
        ("https://169.254.169.254/latest", "Only public addresses"),
        ("https://a.169.254.169.254", "Only public addresses"),
    ],
)
def test_what_could_be_read_in_two_ways_or_leads_inside_is_refused_with_a_reason(typed, says):
    with pytest.raises(Unusable, match=says) as refusal:
        clean_url(typed)

    assert refusal.value.field == "base_url"


def test_names_inside_a_network_are_no_fault_where_the_operator_has_one(settings):
    settings.MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [ip_network("10.1.0.0/16")]

    assert clean_url("https://llm.internal/v1") == "https://llm.internal/v1"
    assert clean_url("https://10.1.0.9/v1") == "https://10.1.0.9/v1"
    with pytest.raises(Unusable):
        clean_url("https://10.2.0.9/v1")


def test_models_are_ids_each_once():
    assert clean_models([" Qwen:7b ", "", "org/model", "Qwen:7b"]) == ("Qwen:7b", "org/model")
    for models in (["two words"], ["a" * 201], ["ä"], [f"m{n}" for n in range(MAX_MODELS + 1)]):
        with pytest.raises(Unusable) as refusal:
            clean_models(models)
        assert refusal.value.field == "models"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "sk-0123456789abcdefghij",
        "[" * 100_000,
        '{"base_url": "https://a.example"}',
        '{"base_url": "https://a.example", "api_key": 7}',
        '{"base_url": "https://a.example", "api_key": "k", "models": "m"}',
        '{"base_url": "https://a.example", "api_key": "k", "models": [1]}',
        '{"base_url": "https://127.0.0.1", "api_key": "k"}',
        '{"base_url": "https://a.example", "api_key": "Bearer k"}',
    ],
)
def test_nothing_but_such_an_endpoint_is_one(text):
    with pytest.raises(UnusableSecret):
        Place.read(text)


def test_an_endpoint_is_the_same_text_however_it_was_written():
    one = Place.read('{"models": ["m"], "api_key": " k ", "base_url": "https://A.example/"}')
    other = Place.of("https://a.example", "k", ["m", "m"])

    assert one.sealed() == other.sealed() == Place.read(one.sealed()).sealed()
    assert "k'" not in repr(one)


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("custom/My-Model:7b", "My-Model:7b"),
        (" CUSTOM/org/Model \n", "org/Model"),
        ("custom/", None),
        ("custom/two words", None),
        ("customs/model", None),
        ("model", None),
        ("", None),
    ],
)
def test_a_model_of_such_an_endpoint_is_told_by_its_prefix(name, upstream):
    assert upstream_model(name) == upstream
