"""What changes on the site counts in the gateway at once, and soon even if no word of it comes."""

import time
from typing import Any

import openai
import pytest
from django.utils import timezone

from byok.actions import delete_key, set_enabled, set_offering_retired, update_key
from byok.catalogue import version
from byok.models import CatalogModel, Offering, ProviderKey
from byok.vault import Secret
from megabrain.gateway.snapshot import FRESH_SECONDS
from orgs.actions import revoke_token
from orgs.changes import announce
from orgs.models import ApiToken
from orgs.origin import Origin
from tests.gateway.dialect import DIALECTS
from tests.gateway.test_without_a_database import unreadable

LUNA: Any = {"model": "openai/gpt-6-luna", "messages": [{"role": "user", "content": "say: pong"}]}
HAIKU: Any = {
    "model": "anthropic/claude-haiku-5.5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "say: pong"}],
}
ANOTHER_SECRET = "sk-proj-sim-ok-another0123456789abcdef"


def warm_up(agent, key: ProviderKey) -> None:
    """Have the gateway remember token, key and model, with no word of its own still to come."""
    agent.openai.chat.completions.create(**LUNA)
    until = time.monotonic() + 5
    while key.health != ProviderKey.Health.WORKS:
        # The first answer of a key is written down, and that is announced as well.
        assert time.monotonic() < until, "the first call was not written down"
        key.refresh_from_db()
    agent.openai.chat.completions.create(**LUNA)


def test_a_disabled_key_is_not_used_again_until_it_is_enabled(agent, key, owner, simulator):
    stored = key("openai")
    warm_up(agent, stored)
    simulator.clear()
    for _ in range(5):
        set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
        with pytest.raises(openai.NotFoundError, match="is disabled"):
            agent.openai.chat.completions.create(**LUNA)
        assert simulator.calls == []
        set_enabled(actor=owner, key=stored, enabled=True, origin=Origin())
        agent.openai.chat.completions.create(**LUNA)
        assert len(simulator.calls) == 1
        simulator.clear()


def test_a_replaced_secret_is_not_used_again(agent, key, owner, simulator):
    stored = key("openai")
    warm_up(agent, stored)
    update_key(actor=owner, key=stored, secret=Secret(ANOTHER_SECRET), origin=Origin())
    agent.openai.chat.completions.create(**LUNA)
    assert simulator.calls[-1].headers["authorization"] == f"Bearer {ANOTHER_SECRET}"


def test_a_deleted_key_is_not_used_again(agent, key, owner, simulator):
    stored = key("openai")
    warm_up(agent, stored)
    simulator.clear()
    delete_key(actor=owner, key=stored, origin=Origin())
    with pytest.raises(openai.NotFoundError, match="needs a provider key of your own"):
        agent.openai.chat.completions.create(**LUNA)
    assert simulator.calls == []


def test_a_key_that_has_just_been_added_serves_the_next_call(agent, key):
    with pytest.raises(openai.NotFoundError):
        agent.openai.chat.completions.create(**LUNA)
    key("openai")
    assert agent.openai.chat.completions.create(**LUNA)


def test_after_a_keys_change_nobody_is_asked_for_their_token_anew(
    make_agent, organization, key, owner, member
):
    stored = key("openai", account=organization)
    agents = [make_agent(owner, account=organization), make_agent(member, account=organization)]
    agents.append(make_agent(member))
    agents[-1].session.headers["x-megabrain-organization"] = organization.slug

    def told() -> set[int]:
        return {agent.post("chat/completions", LUNA).status_code for agent in agents}

    assert told() == {200}
    # Whose the tokens are cannot be looked up: it has to be known still.
    with unreadable(ApiToken):
        set_enabled(actor=owner, key=stored, enabled=False, origin=Origin())
        assert told() == {404}
        delete_key(actor=owner, key=stored, origin=Origin())
        key("openai", account=organization)
        assert told() == {200}


def test_a_revoked_token_stops_and_the_other_goes_on(agent, make_agent, key, owner, simulator):
    other = make_agent()
    stored = key("openai")
    warm_up(agent, stored)
    simulator.clear()
    revoke_token(actor=owner, token=agent.record, origin=Origin())
    with pytest.raises(openai.AuthenticationError):
        agent.openai.chat.completions.create(**LUNA)
    assert simulator.calls == []
    assert other.openai.chat.completions.create(**LUNA)


def test_a_new_token_works_although_it_was_tried_before_it_was_announced(make_agent):
    agent = make_agent()
    row = ApiToken.objects.filter(pk=agent.record.pk)
    # As if the token had reached its user before the database.
    row.update(revoked_at=timezone.now())
    assert agent.get("models").status_code == 401
    row.update(revoked_at=None)
    announce("token", str(agent.record.pk))
    assert agent.get("models").status_code == 200


def test_an_offering_that_staff_switch_off_is_not_used_again(agent, key, simulator):
    warm_up(agent, key("openai"))
    simulator.clear()
    Offering.objects.filter(model="openai/gpt-6-luna").update(enabled=False)
    version.changed()
    with pytest.raises(openai.NotFoundError) as gone:
        agent.openai.chat.completions.create(**LUNA)
    assert gone.value.code == "model_not_found"
    assert simulator.calls == []


def test_a_model_that_staff_add_can_be_called(agent, key):
    key("openai")
    CatalogModel.objects.create(id="openai/gpt-4.1-nano", name="GPT-4.1 nano", source="staff")
    Offering.objects.create(
        model_id="openai/gpt-4.1-nano", provider="openai", upstream_id="gpt-4.1-nano"
    )
    version.changed()
    answer = agent.openai.chat.completions.create(**{**LUNA, "model": "gpt-4.1-nano"})
    assert answer.model == "gpt-4.1-nano"


def test_a_model_that_staff_bring_back_can_be_called(agent, key, staff, simulator):
    key("perplexity")
    row = Offering.objects.get(provider="perplexity", upstream_id="sonar-pro")
    set_offering_retired(actor=staff, offering=row, retired=False, origin=Origin())
    for dialect in DIALECTS:
        body = dialect.body(model="sonar-pro")
        assert dialect.text(agent.post(dialect.path, body).json()) == "pong"
        stream = agent.post(dialect.path, {**body, "stream": True})
        assert dialect.stream(stream.content).text == "pong"
    assert {call.path for call in simulator.calls} == {"/perplexity/chat/completions"}


def test_changes_of_which_no_word_comes_count_within_the_fresh_seconds(
    agent, make_agent, key, simulator
):
    """Rows changed behind everybody's back, as if every announcement had been lost."""
    revoked, limited = make_agent(), make_agent()
    disabled = key("openai")
    deleted = key("anthropic")
    warm_up(agent, disabled)
    for each in (agent, revoked, limited):
        each.anthropic.messages.create(**HAIKU)
    until = time.monotonic() + 5
    while deleted.health != ProviderKey.Health.WORKS:
        assert time.monotonic() < until
        deleted.refresh_from_db()
    assert agent.get("models").status_code == 200

    ProviderKey.objects.filter(pk=disabled.pk).update(enabled=False)
    ProviderKey.objects.filter(pk=deleted.pk).delete()
    ApiToken.objects.filter(pk=revoked.record.pk).update(revoked_at=timezone.now())
    ApiToken.objects.filter(pk=limited.record.pk).update(allowed_models=["openai/gpt-oss-20b"])
    time.sleep(FRESH_SECONDS)
    simulator.clear()

    assert agent.post("chat/completions", LUNA).json()["error"]["code"] == "byok_key_required"
    assert agent.post("messages", HAIKU).status_code == 404
    assert revoked.post("messages", HAIKU).status_code == 401
    assert limited.post("messages", HAIKU).status_code == 403
    assert simulator.calls == []
