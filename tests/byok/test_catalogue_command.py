"""`catalogue show`: which models there are, who serves them and what they cost."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from byok.catalogue.bundled import BUNDLED
from byok.models import CatalogModel, Price

ENTRIES = json.loads(BUNDLED.read_text())["models"]


def shown(*args: str) -> str:
    out = StringIO()
    call_command("catalogue", "show", *args, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_lists_models_and_who_serves_them():
    assert "openai/gpt-oss-120b" in shown()
    assert "fireworks, novita" in shown()
    assert f"{len(ENTRIES)} models" in shown()
    assert "claude" not in shown("--provider", "novita")


@pytest.mark.django_db
def test_the_command_shows_the_hours_of_a_price():
    hours = [
        {"days": [1, 2, 3, 4, 5], "from": "01:00", "to": "04:00"},
        {"days": [6, 7], "from": "00:00", "to": "24:00"},
    ]
    Price.objects.filter(offering__model="openai/gpt-4.1").update(hours=hours)

    assert "Mon–Fri 01:00–04:00; Sat, Sun 00:00–24:00 UTC" in shown("openai/gpt-4.1")


@pytest.mark.django_db
def test_the_command_shows_one_model_with_its_prices():
    text = shown("CLAUDE-haiku-5-5")

    assert "input $0.10, output $0.50, cache read $0.01, cache write $0.125" in text
    assert "prompts above 100,000 tokens" in text
    assert "01:00–04:00" in shown("deepseek-flash")


@pytest.mark.django_db
def test_the_command_suggests_near_names_and_names_an_empty_catalogue():
    with pytest.raises(CommandError, match=r"anthropic/claude-haiku-4\.5"):
        shown("claude-hiaku-4.5")

    CatalogModel.objects.all().delete()
    with pytest.raises(CommandError, match="migrate"):
        shown()


@pytest.mark.django_db
def test_prices_of_a_model_are_read_in_few_queries(django_assert_num_queries):
    with django_assert_num_queries(6):
        shown("claude-haiku-5-5")
