"""What its owner changes while a call is under way counts for the rest of the call."""

import json
import socket
import threading
import time

import pytest
import requests

from byok.actions import delete_key, set_enabled, update_key
from byok.vault import Secret
from megabrain.gateway import snapshot
from orgs.actions import revoke_token
from orgs.origin import Origin
from tests.gateway.dialect import CHAT
from tests.gateway.raw_upstream import Wire, raw_upstream

MODEL = "openai/gpt-oss-120b"


@pytest.fixture
def change_meanwhile(agent, key, settings, simulator):
    """Calls a model while its first provider fails slowly; `change` happens in between."""

    def call(change):
        arrived, changed = threading.Event(), threading.Event()

        def fail_late(wire: Wire) -> None:
            arrived.set()
            changed.wait(10)
            wire.whole(429, b"{}")

        with raw_upstream(fail_late) as upstream:
            settings.MEGABRAIN_UPSTREAM_URLS = {
                **settings.MEGABRAIN_UPSTREAM_URLS,
                "fireworks": upstream.url,
            }
            key("fireworks")
            second = key("novita")
            answers: list[requests.Response] = []
            body = CHAT.body(model=MODEL)
            thread = threading.Thread(target=lambda: answers.append(agent.post(CHAT.path, body)))
            thread.start()
            assert arrived.wait(10)
            change(second)
            changed.set()
            thread.join(20)
        return answers[0]

    return call


@pytest.mark.parametrize("how", ["disabled", "deleted"])
def test_the_next_key_is_not_tried_once_it_is_gone(change_meanwhile, owner, simulator, how):
    def change(key):
        if how == "disabled":
            set_enabled(actor=owner, key=key, enabled=False, origin=Origin())
        else:
            delete_key(actor=owner, key=key, origin=Origin())

    answer = change_meanwhile(change)
    assert answer.status_code == 429
    assert answer.headers["x-megabrain-provider"] == "fireworks"
    assert simulator.calls == []


def test_the_next_key_goes_out_with_its_new_secret(change_meanwhile, owner, simulator):
    new = "sk_sim-ok-another0123456789abcdef"
    answer = change_meanwhile(
        lambda key: update_key(actor=owner, key=key, secret=Secret(new), origin=Origin())
    )
    assert answer.status_code == 200
    assert simulator.calls[-1].headers["authorization"] == f"Bearer {new}"


def test_a_token_revoked_while_its_request_trickles_in_is_refused(
    agent, key, owner, gateway, simulator
):
    key("openai")
    body = json.dumps(CHAT.body()).encode()
    host, _, port = gateway.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            b"content-length: %d\r\nauthorization: Bearer %s\r\n\r\n"
            % (len(body), agent.token.encode())
            + body[:5]
        )
        time.sleep(snapshot.FRESH_SECONDS + 0.3)
        revoke_token(actor=owner, token=agent.record, origin=Origin())
        connection.sendall(body[5:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert simulator.calls == []
