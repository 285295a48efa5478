"""AWS Bedrock's credential, its form, its signatures, and the test of a key through boto3."""

import json
from datetime import UTC, datetime
from pathlib import Path

import botocore.auth
import pytest

from byok import boto, key_tests
from byok.actions import add_key
from byok.models import KeyTest, ProviderKey
from byok.providers import provider
from byok.providers.base import Endpoint, UnusableSecret
from byok.vault import Secret
from megabrain.gateway.masking import presentable
from megabrain.simulator.providers.bedrock import PROVIDER as SIMULATED
from megabrain.simulator.providers.bedrock import SECRET
from orgs.origin import Origin
from tests.byok.conftest import by_htmx, text_of

VECTORS = json.loads((Path(__file__).parents[1] / "gateway/bedrock_vectors.json").read_text())
ID, KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
API_KEY = "ABSK" + "QmVkcm9ja0FQSUtleS1" * 7
GOOD = {"accessKeyId": ID, "secretAccessKey": KEY, "region": "eu-west-1"}
ADD = "/account/byok/add/"


def pasted(**changes: object) -> str:
    found = {**GOOD, **changes}
    return json.dumps({name: value for name, value in found.items() if value is not None}, indent=2)


# The credential ---------------------------------------------------------------------------------


def test_one_credential_is_one_text_however_it_was_typed():
    bedrock = provider("bedrock")
    shuffled = (
        '\ufeff {"region":\t" eu-west-1",\r\n "secretAccessKey": "%s", "accessKeyId":"%s "}\n'
    )
    canonical = bedrock.clean(pasted())
    assert json.loads(canonical) == GOOD
    assert bedrock.clean(shuffled % (KEY, ID)) == canonical
    assert bedrock.clean(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Paste the JSON"),
        ("{", "not valid JSON"),
        (pasted().replace(",", "", 1), "line 3, column 3"),
        (pasted().replace('"', "“"), "quotation marks"),
        ("[]", "not an object"),
        ("[" * 8000, "no credential"),
        (f"{ID}", "id of an access key alone"),
        (API_KEY, "a region is needed too"),
        (f"AWS_ACCESS_KEY_ID={ID}", "settings of the AWS command line"),
        (f"[default]\naws_access_key_id = {ID}", "settings of the AWS command line"),
        (pasted(secretAccessKey=None), '"secretAccessKey" is missing'),
        (pasted(accessKeyId=None), '"accessKeyId" is missing'),
        (pasted(region=None), '"region" is missing'),
        (pasted(region=""), '"region" is missing'),
        (pasted(region=7), "region must be a string"),
        (pasted(secretAccessKey="wJal…KEY"), "shortened display"),
        (provider("bedrock").placeholder, "the example"),
        (pasted(secretAccessKey=f"{KEY[:9]} {KEY[9:]}"), "contains a character that none has"),
        (pasted(accessKeyId="AKIA\r\nx: y" + ID), "contains a character that none has"),
        (pasted(accessKeyId="AKIA"), "impossible length"),
        (pasted(**{KEY: "x"}), "a field that is not known"),
        (pasted(apiKey=API_KEY), "only one of them"),
        (json.dumps({"apiKey": "", "region": "eu-west-1"}), '"apiKey" is missing'),
        (" " * 9 + "x" * 9000, "longer than 8,192"),
    ],
)
def test_what_is_no_credential_is_refused_with_a_way_out_and_never_repeated(text, says):
    with pytest.raises(UnusableSecret) as refused:
        provider("bedrock").clean(text)
    assert says in str(refused.value)
    for part in (ID, KEY, API_KEY, KEY[:9]):
        assert part not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"}, "only works with its sessionToken"),
        ({"accessKeyId": "ASIAIOSFODNN7EXAMPLE", "sessionToken": "a="}, "after some hours"),
        ({"accessKeyId": "akiaiosfodnn7example"}, "accessKeyId does not look like one"),
        ({"secretAccessKey": KEY[:-1]}, "have 40 characters"),
    ],
)
def test_what_looks_odd_is_a_doubt(changes, says):
    bedrock = provider("bedrock")
    doubts = bedrock.warnings(bedrock.clean(pasted(**changes)))
    assert (says in doubts[0]) if says else doubts == []


@pytest.mark.parametrize(
    ("key", "says"),
    [(API_KEY, None), ("bedrock-api-key-" + "x" * 40, "12 hours"), ("sk-1", "begin with ABSK")],
)
def test_a_bedrock_api_key_is_a_credential_too(key, says):
    bedrock = provider("bedrock")
    doubts = bedrock.warnings(bedrock.clean(json.dumps({"apiKey": key, "region": "us-east-1"})))
    assert (says in doubts[0]) if says else doubts == []


def test_an_error_that_quotes_any_part_of_it_is_masked_and_its_names_are_not():
    secret = Secret(provider("bedrock").clean(pasted(sessionToken="FwoGZXIvYXdzEXAMPLE")))
    words = f"secretAccessKey {KEY} ({KEY[5:17]}), {ID}, FwoGZXIvYXdzEXAMPLE, eu-west-1, region"
    shown = presentable(words, secret)
    assert shown == "secretAccessKey *** (***), ***, ***, eu-west-1, region"
    api = Secret(json.dumps({"apiKey": "abcdefghijklmnop", "region": "us-east-1"}))
    assert presentable('"apiKey": defghijklm us-east-1', api) == '"apiKey": *** us-east-1'


# Signatures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["sigv4"], ids=lambda each: each["name"])
def test_requests_are_signed_as_aws_says(vector, monkeypatch, settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}
    at = datetime(2026, 1, 15, 12, tzinfo=UTC)
    # The clock of the signer, which is not ours.
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: at)
    from byok.providers.bedrock import credential, signing

    keys = credential.Credential(
        access_key_id=VECTORS["access_key_id"],
        secret_access_key=VECTORS["secret_access_key"],
        session_token=vector["session_token"] or "",
        region=vector["region"],
    )
    headers = {"content-type": "application/json"} if vector["method"] == "POST" else {}
    signed = signing.authorization(
        keys, vector["method"], vector["url"], vector["body"].encode() or None, headers
    )
    expected = {name.lower(): value for name, value in vector["headers"].items()}
    assert {**headers, **signed} == expected


def test_a_model_id_is_one_segment_of_the_path(settings):
    settings.MEGABRAIN_UPSTREAM_URLS = {}
    arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/a/../b?c#d"
    request = provider("bedrock").request(
        Secret(pasted()), Endpoint.CONVERSE, b"{}", {}, model=arn, stream=True
    )
    assert request.url == (
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A"
        "123456789012%3Ainference-profile%2Fa%2F..%2Fb%3Fc%23d/converse-stream"
    )


# The form ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_form_has_an_area_a_sample_and_the_permissions(owner_client):
    page = owner_client.get(ADD, {"provider": "bedrock"})
    content = page.content.decode()
    assert '<textarea id="id_secret"' in content
    assert 'type="password"' not in content
    assert "Get a key from AWS Bedrock" in text_of(page)
    for words in ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream", "us-east-1"):
        assert words in text_of(page)


@pytest.mark.django_db
@pytest.mark.parametrize("htmx", [False, True])
def test_the_page_refuses_doubts_and_saves(owner_client, htmx):
    headers = by_htmx() if htmx else {}

    def post(text: str, **more: str):
        return owner_client.post(
            ADD, {"provider": "bedrock", "secret": text, **more}, headers=headers
        )

    refused = post(pasted(region="us-east-1.evil.example"))
    assert refused.status_code == 422
    assert "The region is none of AWS." in text_of(refused)
    doubted = post(pasted(secretAccessKey=KEY[:-1]))
    assert doubted.status_code == 422
    assert "Save it anyway" in text_of(doubted)
    for answer in (refused, doubted):
        assert KEY[:-1] not in answer.content.decode()
        assert ID not in answer.content.decode()
    assert not ProviderKey.objects.exists()

    assert post(pasted()).status_code == (200 if htmx else 302)
    key = ProviderKey.objects.get()
    assert json.loads(key.secret.unseal().reveal()) == GOOD
    assert key.hint == "AKIA…MPLE"


@pytest.mark.django_db
def test_the_same_credential_typed_otherwise_is_known_on_update(owner, account, owner_client):
    secret = Secret(provider("bedrock").clean(pasted()))
    key = add_key(actor=owner, account=account, provider="bedrock", secret=secret, origin=Origin())
    url = f"/account/byok/{key.pk}/update/"
    page = owner_client.get(url)
    assert "<textarea" in page.content.decode()
    assert "bedrock:InvokeModel" in text_of(page)
    assert KEY not in page.content.decode()
    again = owner_client.post(url, {"secret": json.dumps(GOOD)})
    assert "This is the very key that is stored" in text_of(again)
    api_key = json.dumps({"apiKey": API_KEY, "region": "us-west-2"})
    assert owner_client.post(url, {"secret": api_key}).status_code == 302
    key.refresh_from_db()
    assert key.hint == f"ABSK…{API_KEY[-4:]}"


# The test of a key ------------------------------------------------------------------------------


@pytest.fixture
def tested(owner, account, simulator):
    """What comes of testing a credential."""

    def test(text: str) -> KeyTest:
        ProviderKey.objects.all().delete()
        key = add_key(
            actor=owner, account=account, provider="bedrock", secret=Secret(text), origin=Origin()
        )
        found = KeyTest.objects.create(key=key)
        key_tests.perform(found.pk)
        found.refresh_from_db()
        return found

    return test


def with_word(word: str) -> str:
    return SIMULATED.key_that(word)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("word", "code", "calls"),
    [
        ("ok", "ok", 1),
        ("401", "rejected", 1),
        ("402", "no_credit", 1),
        ("403", "no_access", 3),
        ("404", "model_missing", 3),
        ("429", "rate_limited", 1),
        ("500", "overloaded", 1),
        ("html", "unavailable", 1),
        ("cut", "unreachable", 1),
    ],
)
def test_outcomes_are_told_apart(tested, simulator, word, code, calls):
    test = tested(with_word(word))
    assert test.code == code
    assert len(simulator.calls) == calls
    assert SECRET not in test.message
    if code == "ok":
        assert test.model == "anthropic/claude-haiku-4.5"
        assert test.message.startswith("AWS Bedrock accepted this key: claude-haiku-4.5 answered")


@pytest.mark.django_db
def test_a_wrong_secret_or_token_is_rejected(tested):
    assert tested(with_word("ok").replace(SECRET, KEY)).code == "rejected"
    temporary = with_word("ok").replace("AKIA", "ASIA")
    assert tested(temporary).code == "rejected"
    token = temporary.replace("}", ',"sessionToken":"SimulatedSessionToken=="}')
    assert tested(token).code == "ok"


@pytest.mark.django_db
def test_a_model_that_is_not_enabled_does_not_make_the_key_bad(tested, simulator):
    """Where Claude and Nova have no profile, the third model is asked."""
    test = tested(with_word("ok").replace("us-east-1", "il-central-1"))
    assert test.code == "ok"
    assert [call.raw_path.split("/")[3] for call in simulator.calls] == [
        "global.anthropic.claude-haiku-4-5-20251001-v1%3A0"
    ]
    test = tested(with_word("ok").replace("us-east-1", "us-gov-west-1"))
    assert (test.code, test.model) == ("ok", "openai/gpt-oss-20b")


@pytest.mark.django_db
def test_nothing_of_the_machine_takes_the_keys_place(tested, simulator, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        "[default]\nregion = eu-north-1\nendpoint_url = http://127.0.0.1:9\n[profile other]\n"
    )
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAAMBIENT000000000\naws_secret_access_key = x\n"
    )
    ambient = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_PROFILE": "missing",
        "AWS_ACCESS_KEY_ID": "AKIAAMBIENT000000000",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "x",
        "AWS_BEARER_TOKEN_BEDROCK": "ABSKambient",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_DEFAULTS_MODE": "auto",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    boto._session.cache_clear()  # As in a process that has just been started so.
    assert tested(with_word("ok")).code == "ok"
    assert "AKIASIMOK" in simulator.calls[-1].headers["authorization"]
    assert simulator.calls[-1].region == "us-east-1"
    api_key = json.dumps({"apiKey": f"ABSKsimok{'x' * 100}", "region": "us-east-1"})
    assert tested(api_key).code == "ok"
    assert simulator.calls[-1].headers["authorization"] == f"Bearer ABSKsimok{'x' * 100}"
    assert len(simulator.calls) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://[", "nonsense"])
def test_no_address_makes_a_test_crash(tested, settings, address):
    settings.MEGABRAIN_UPSTREAM_URLS = {"bedrock": address}
    assert tested(with_word("ok")).code == "unreachable"
