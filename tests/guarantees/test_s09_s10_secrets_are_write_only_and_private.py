"""S9 and S10: no answer shows more of a key than its hint, or anything of another account's."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse

from byok.models import ProviderKey
from orgs.models import User
from tests.conftest import person, signed_in
from tests.gateway_fixture import AddKey, Agent, MakeAgent
from tests.guarantees.canary import Canary
from tests.guarantees.watch import Watch

pytestmark = pytest.mark.django_db(transaction=True)

MODEL = {"model": "openai/gpt-6-luna", "messages": [{"role": "user", "content": "say: pong"}]}
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/account/byok/"}


def pages(client: Client, key: ProviderKey) -> list[Any]:
    urls = [reverse(name) for name in ("byok:keys", "byok:add", "dashboard", "orgs:activity")]
    urls += [
        reverse(f"byok:{name}", kwargs={"key_id": key.pk})
        for name in ("details", "update", "delete", "row")
    ]
    return [client.get(url, headers=headers) for url in urls for headers in ({}, HTMX)]


def answers(agent: Agent) -> list[Any]:
    """Of the gateway: served, streamed, and everything there is to look up."""
    served = agent.post("chat/completions", MODEL)
    assert served.status_code == 200
    paths = ["models", "models/openai/gpt-6-luna", f"requests/{served.headers['x-request-id']}"]
    streamed = agent.post("chat/completions", {**MODEL, "stream": True})
    return [served, streamed, *(agent.get(path) for path in paths)]


@pytest.mark.parametrize(
    ("prefix", "suffix", "hint"),
    [
        ("sk-proj-", "", "sk-proj-…{}"),
        ("sk-", "", "sk-…{}"),
        ("unknown-sim-ok-", "", "…{}"),
    ],
)
def test_what_is_shown_of_a_key_is_its_prefix_and_last_four(
    watch: Watch, agent: Agent, owner_client: Client, prefix: str, suffix: str, hint: str
):
    canary = Canary(prefix)
    text = canary.text
    insisted = {"provider": "openai", "secret": text, "insist": "on"}
    watch.see(owner_client.post(reverse("byok:add"), insisted))
    key = ProviderKey.objects.get()
    assert key.hint == hint.format(text[-4:])
    for page in pages(owner_client, key):
        watch.see(page)
    update = reverse("byok:update", kwargs={"key_id": key.pk})
    for secret in (f"{text} {text}", text):
        watch.see(owner_client.post(update, {"secret": secret, "insist": "on"}))
    watch.hear(agent.post("chat/completions", MODEL))
    seen = b"\n".join(watch.answers).decode()
    assert key.hint in seen
    assert not [part for part in (text[-5:], text[: len(prefix) + 1]) if part in seen]
    assert canary.sightings(seen=seen) == []


def test_the_gateway_shows_not_even_the_hint(watch: Watch, agent: Agent, key: AddKey):
    stored = key("openai")
    for answer in answers(agent):
        watch.hear(answer)
    seen = b"\n".join(watch.answers).decode()
    assert str(stored.pk)[:8] in seen
    assert stored.hint.rpartition("…")[2] not in seen
    assert str(stored.fingerprint) not in seen


def told(answer: Any, *own: str) -> str:
    """An answer without what is different with every answer, and without the account's own."""
    headers = "\n".join(f"{name}: {value}" for name, value in sorted(answer.headers.items()))
    text = f"{answer.status_code}\n{headers}\n{answer.content.decode()}"
    for each in own:
        text = text.replace(each, "OWN")
    text = re.sub(r'(csrf\w*" value=")\w+', r"\1", text)
    text = re.sub(r"(?im)^(date|set-cookie|expires|content-length|etag): .*$", "", text)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|<time .*?</time>", "ID", text)


def all_told(user: User, secret: str) -> list[str]:
    """Everything the site says while somebody saves this secret, looks around and deletes it."""
    client = signed_in(user)
    answers = [client.post(reverse("byok:add"), {"provider": "openai", "secret": secret})]
    key = ProviderKey.objects.get(account=user.account)
    answers += pages(client, key)
    update = reverse("byok:update", kwargs={"key_id": key.pk})
    answers.append(client.post(update, {"secret": secret}))
    answers.append(client.post(reverse("byok:delete", kwargs={"key_id": key.pk}), {}))
    names = (user.email, quote(user.email), user.name, user.name[0] + "<")
    own = (str(key.pk), secret[-4:], *names)
    return [told(answer, *own) for answer in answers]


def test_a_secret_that_somebody_else_has_saved_is_like_any_other(owner_client: Client):
    shared, fresh = Canary("sk-proj-").text, Canary("sk-proj-").text
    owner_client.post(reverse("byok:add"), {"provider": "openai", "secret": shared})
    assert all_told(person("nadia"), shared) == all_told(person("nadja"), fresh)
    assert ProviderKey.objects.count() == 1


def test_what_one_account_has_changes_nothing_for_another(
    make_agent: MakeAgent, stranger: Any, key: AddKey, simulator: Any
):
    other = make_agent(stranger)
    body = {**MODEL, "stream": True}
    before = [other.post("chat/completions", MODEL), other.post("chat/completions", body)]
    before += [other.get("models"), other.get("models/openai/gpt-6-luna")]
    key("openai")
    assert make_agent().post("chat/completions", MODEL).status_code == 200
    simulator.clear()
    after = [other.post("chat/completions", MODEL), other.post("chat/completions", body)]
    after += [other.get("models"), other.get("models/openai/gpt-6-luna")]
    for one, another in zip(before, after, strict=True):
        ignored = [each.headers["x-megabrain-overhead-ms"] for each in (one, another)]
        assert told(one, *ignored) == told(another, *ignored)
    assert simulator.calls == []
