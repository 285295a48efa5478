"""A plaintext in memory shows as `***`, whatever is done with it."""

import copy
import json
import logging
import pickle
import pprint
import string
import traceback
from dataclasses import asdict, dataclass

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.template import Context, Template
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from byok.vault import Secret, hint
from byok.vault.secret import DataKey

TEXT = "sk-ant-api03-Zq3x8Kw0vR7nT2mB5yJ9"


@dataclass
class Holder:
    secret: Secret


@pytest.fixture
def secret() -> Secret:
    return Secret(TEXT)


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        "{}".format,
        "{:>40}".format,
        "{!r}".format,
        lambda secret: f"{secret}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 -- the older way shows it too.
        lambda secret: string.Template("$secret").substitute(secret=secret),
        lambda secret: pprint.pformat({"secret": [secret]}),
        lambda secret: repr(Holder(secret)),
        lambda secret: repr(asdict(Holder(secret))),
        lambda secret: json.dumps(secret, default=str),
        lambda secret: Template("{{ secret }}").render(Context({"secret": secret})),
        lambda secret: repr(copy.copy(secret)),
        lambda secret: repr(copy.deepcopy([secret])),
        lambda secret: repr(pickle.loads(pickle.dumps(secret))),  # noqa: S301 -- our own pickle
        lambda secret: repr(DataKey(secret.reveal().encode())),
    ],
)
def test_every_way_of_showing_a_secret_shows_stars(show, secret):
    shown = show(secret)
    assert "***" in shown
    assert TEXT not in shown
    assert TEXT[13:21] not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_a_secret_does_not_hold_it(protocol, secret):
    pickled = pickle.dumps({"secret": secret, "holder": Holder(secret)}, protocol)
    assert TEXT.encode() not in pickled
    assert TEXT[13:21].encode() not in pickled


def test_a_secret_that_went_through_a_pickle_refuses_to_be_used(secret):
    copied = pickle.loads(pickle.dumps(secret))  # noqa: S301 -- our own pickle
    with pytest.raises(ValueError, match="serialized"):
        copied.reveal()


@pytest.mark.parametrize("encoder", [json.JSONEncoder, DjangoJSONEncoder])
def test_json_refuses_a_secret_without_quoting_it(encoder, secret):
    with pytest.raises(TypeError) as refused:
        json.dumps({"secret": secret}, cls=encoder)
    assert TEXT not in str(refused.value)


def test_a_secret_offers_no_attributes_or_hash_to_read(secret):
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        hash(secret)
    with pytest.raises(TypeError):
        len(secret)


def test_tracebacks_and_django_error_reports_show_stars(secret, settings):
    settings.DEBUG = True  # the report that shows local variables
    try:
        held = Holder(secret)
        raise ValueError("something else went wrong", held)
    except ValueError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        reporter = ExceptionReporter(
            RequestFactory().get("/"), type(error), error, error.__traceback__
        )
        shown = "".join(told.format()) + reporter.get_traceback_html() + repr(error)
    assert "***" in shown
    assert TEXT not in shown


def test_a_log_record_shows_stars(secret, caplog):
    logging.getLogger("byok").warning("Tried %s %r", secret, {"secret": secret})
    assert TEXT not in caplog.text
    assert "***" in caplog.text


def test_text_that_cannot_be_encoded_is_refused_without_quoting_it():
    with pytest.raises(ValueError, match="Unicode") as refused:
        Secret(TEXT + "\ud800")
    assert refused.value.__context__ is None
    assert TEXT not in repr(refused.value)


def test_secrets_are_equal_when_their_texts_are(secret):
    assert secret == Secret(TEXT)
    assert secret != Secret(TEXT + " ")
    assert secret != TEXT


@pytest.mark.parametrize(
    ("text", "prefixes", "expected"),
    [
        (TEXT, ["sk-", "sk-ant-", "sk-ant-api03-"], "sk-ant-api03-…5yJ9"),
        ("sk-ant-Zq3x8Kw0vR7nT2mB5yJ9", ["sk-", "sk-ant-"], "sk-ant-…5yJ9"),
        ("Zq3x8Kw0vR7nT2mB5yJ9", ["sk-"], "…5yJ9"),
        ("Zq3x8Kw0vR7nT2mB5yJ", ["sk-"], ""),
        ("sk-ant-api03-Zq3x8Kw", ["sk-ant-api03-"], ""),
        ("", [], ""),
    ],
)  # fmt: skip
def test_a_hint_is_the_known_prefix_and_the_last_four(text, prefixes, expected):
    assert hint(text, prefixes) == expected
