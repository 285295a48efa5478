"""What an organization allows its members to call holds beside what each token allows."""

import pytest

from billing.models import UsageDay
from orgs.actions import change_limits
from orgs.models import ApiToken
from orgs.origin import Origin
from tests.gateway.dialect import CHAT, MESSAGES, RESPONSES

LUNA, OSS, HAIKU = "openai/gpt-6-luna", "openai/gpt-oss-120b", "anthropic/claude-haiku-5.5"
HEADER = "x-megabrain-organization"


@pytest.fixture
def allow(organization, owner):
    def change(*models: str) -> None:
        change_limits(
            actor=owner,
            account=organization,
            allowed_models=models or None,
            member_requests_per_minute=None,
            token_requests_per_minute=None,
            origin=Origin(),
        )

    return change


@pytest.fixture
def keys(key, organization):
    for provider in ("openai", "anthropic", "novita"):
        key(provider, account=organization)


def listed(agent, **options) -> set[str]:
    return {entry["id"] for entry in agent.get("models", **options).json()["data"]}


@pytest.mark.parametrize("named", [None, "acme"], ids=["its token", "its slug"])
def test_what_the_organization_does_not_allow_is_refused_everywhere(
    make_agent, allow, keys, organization, member, settings, simulator, named
):
    allow(LUNA)
    agent = make_agent(member) if named else make_agent(member, account=organization)
    agent.session.headers[HEADER] = named
    told = (
        "The organization Acme allows only openai/gpt-6-luna, and not {}; its owners decide at "
        f"{settings.MEGABRAIN_BASE_URL}/orgs/acme/settings/."
    )
    for dialect, path, model in (
        (CHAT, "chat/completions", OSS),
        (CHAT, "chat/completions", "gpt-oss-120b"),
        (RESPONSES, "responses", OSS),
        (MESSAGES, "messages", HAIKU),
        (MESSAGES, "messages/count_tokens", "claude-haiku-5-5"),
    ):
        answer = agent.post(path, dialect.body(model=model))
        assert answer.status_code == (400 if dialect is RESPONSES else 403)
        error = dialect.error(answer)
        assert error.code == "model_not_allowed"
        assert error.message == told.format(OSS if "gpt" in model else HAIKU)
    assert agent.get(f"models/{OSS}").status_code == 403
    assert simulator.calls == []
    assert listed(agent) == {LUNA}
    assert agent.get(f"models/{LUNA}").status_code == 200
    assert agent.post(CHAT.path, CHAT.body(model="gpt-6-luna")).status_code == 200


def test_the_record_names_the_model_and_not_what_was_sent_for_it(
    make_agent, allow, keys, organization, owner, member, usage_row
):
    allow(LUNA)
    agent = make_agent(member, account=organization)
    rows = []
    for model in ("gpt-oss-120b", "made/up"):
        answer = agent.post(CHAT.path, CHAT.body(model=model))
        rows.append(usage_row(answer.headers["x-request-id"]))
    assert [(row.model, row.outcome) for row in rows] == [
        (OSS, "model_not_allowed"),
        ("made/up", "model_not_found"),
    ]
    # What no model is called is nothing to choose from.
    assert set(UsageDay.objects.values_list("model", flat=True)) == {OSS, ""}


def test_a_direct_entry_is_refused_like_any_other(
    make_agent, allow, keys, organization, member, direct_entry, simulator
):
    own = make_agent(member, account=organization, allowed_models=[LUNA])
    any_model = make_agent(member, account=organization)
    assert direct_entry in listed(any_model)
    allow(LUNA)
    for agent, told in (
        (any_model, f"The organization Acme allows only {LUNA}, and not {direct_entry};"),
        (own, f"The organization Acme allows only {LUNA}, and not {direct_entry};"),
    ):
        answer = agent.post(CHAT.path, CHAT.body(model=direct_entry))
        assert (answer.status_code, CHAT.error(answer).code) == (403, "model_not_allowed")
        assert CHAT.error(answer).message.startswith(told)
    allow(LUNA, direct_entry)
    answer = own.post(CHAT.path, CHAT.body(model=direct_entry))
    assert (answer.status_code, CHAT.error(answer).code) == (403, "model_not_allowed")
    assert CHAT.error(answer).message.startswith(f"This API token may not use {direct_entry}.")
    assert direct_entry not in listed(own)
    assert simulator.calls == []
    assert any_model.post(CHAT.path, CHAT.body(model=direct_entry)).status_code == 200


def test_what_is_not_allowed_is_refused_before_a_key_is_looked_for(
    make_agent, allow, organization, member, direct_entry
):
    allow(LUNA)
    agent = make_agent(member, account=organization)
    for model in (direct_entry, OSS):
        answer = agent.post(CHAT.path, CHAT.body(model=model))
        assert CHAT.error(answer).code == "model_not_allowed"


def test_both_bind_and_the_message_says_which_it_was(make_agent, allow, keys, organization, member):
    allow(LUNA, HAIKU)
    agent = make_agent(member, account=organization, allowed_models=[HAIKU, OSS])
    assert listed(agent) == {HAIKU}
    told = {
        model: CHAT.error(agent.post(CHAT.path, CHAT.body(model=model))).message
        for model in (LUNA, OSS)
    }
    assert told[LUNA].startswith("This API token may not use openai/gpt-6-luna.")
    assert told[OSS].startswith("The organization Acme allows only anthropic/claude-haiku-5.5 and")
    assert agent.post("messages", MESSAGES.body()).status_code == 200


def test_nothing_may_be_left_that_both_allow(make_agent, allow, keys, organization, member):
    allow(LUNA)
    agent = make_agent(member, account=organization, allowed_models=[OSS])
    assert listed(agent) == set()
    for model in (LUNA, OSS, HAIKU):
        answer = agent.post(CHAT.path, CHAT.body(model=model))
        assert CHAT.error(answer).code == "model_not_allowed"


def test_a_list_of_none_allows_none(make_agent, allow, keys, organization, member):
    """No page and no action makes one; whoever does otherwise has not lifted the limit."""
    allow(LUNA)
    agent = make_agent(member, account=organization)
    ApiToken.objects.filter(pk=agent.record.pk).update(allowed_models=[])
    assert CHAT.error(agent.post(CHAT.path, CHAT.body())).code == "model_not_allowed"
    assert listed(agent) == set()


def test_owners_are_bound_as_well(make_agent, allow, keys, organization, owner, billing_manager):
    allow(LUNA)
    for user in (owner, billing_manager):
        agent = make_agent(user, account=organization)
        assert agent.post(CHAT.path, CHAT.body(model=OSS)).status_code == 403


def test_ones_personal_account_is_not_concerned(make_agent, allow, key, member):
    allow(LUNA)
    key("novita", actor=member, account=member.account)
    agent = make_agent(member)
    assert agent.post(CHAT.path, CHAT.body(model=OSS)).status_code == 200
    assert len(listed(agent)) > len(listed(agent, headers={HEADER: "acme"})) == 1


def test_a_change_counts_at_once(make_agent, allow, keys, organization, member):
    agents = make_agent(member, account=organization), make_agent(member)
    agents[1].session.headers[HEADER] = "acme"
    for models, status in (((), 200), ((LUNA,), 403), ((LUNA, OSS), 200), ((HAIKU,), 403)):
        allow(*models)
        for agent in agents:
            assert agent.post(CHAT.path, CHAT.body(model=OSS)).status_code == status


def test_a_long_list_is_not_all_told(make_agent, allow, keys, organization, member):
    models = sorted(listed(make_agent(member, account=organization)) - {OSS})[:9]
    allow(*models)
    agent = make_agent(member, account=organization)
    message = CHAT.error(agent.post(CHAT.path, CHAT.body(model=OSS))).message
    assert f"allows only {', '.join(models[:5])} and 4 more, and not {OSS};" in message


def test_what_is_not_in_the_catalogue_is_not_found_rather_than_not_allowed(
    make_agent, allow, keys, organization, member
):
    allow(LUNA)
    answer = make_agent(member, account=organization).post(CHAT.path, CHAT.body(model="no/model"))
    assert CHAT.error(answer).code == "model_not_found"
