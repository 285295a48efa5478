"""Testing a provider key: the smallest real call with it, and what came of that in our words.

A test proves what routing uses, since the request comes from the same adapter. It is run by a
worker; whoever shows its result reads the KeyTest row, whose `code` is one of the outcomes of
byok/providers/errors.py or of the CODES below. Nothing the provider wrote is kept: its text may
repeat the key.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from byok import boto
from byok.health import CANNOT_BE_OPENED, UNREADABLE
from byok.models import KeyTest, Offering, ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import Outcome, Provider, UnusableSecret, UpstreamRequest
from byok.providers.bedrock import Bedrock
from byok.sending import (
    NOT_PUBLIC,
    TIMED_OUT,
    UNREACHABLE,
    Answer,
    CallFailed,
    Exchange,
    exchange,
    send,
)
from byok.vault import Secret, Unsealable
from byok.vault.errors import Reason
from orgs.changes import announce

log = structlog.get_logger(__name__)

#: For all the calls of one test together.
CALL_SECONDS = 20.0
#: A test that no worker has begun by then, or whose worker has not come back by then, is over.
QUEUE_LIMIT = timedelta(seconds=20)
RUN_LIMIT = timedelta(seconds=25)

VAULT_CLOSED = "vault_closed"
UNSUPPORTED = "unsupported"
REPLACED = "replaced"
EXPIRED = "expired"

#: With these the key may still be right, and another model may say more.
NOT_DECISIVE = (Outcome.NO_ACCESS, Outcome.BAD_REQUEST, Outcome.MODEL_MISSING)

Health = ProviderKey.Health
#: What a result says of the key. What is missing here is no fault of the key.
HEALTH: Mapping[str, ProviderKey.Health] = {
    Outcome.OK: Health.WORKS,
    Outcome.REJECTED: Health.FAILING,
    Outcome.NO_ACCESS: Health.FAILING,
    Outcome.NO_CREDIT: Health.FAILING,
    UNREADABLE: Health.FAILING,
    Outcome.RATE_LIMITED: Health.COOLING,
}

#: These come from the host that the key belongs to; any other host would reject it.
PROOFS = (Outcome.OK, Outcome.NO_ACCESS, Outcome.NO_CREDIT, Outcome.RATE_LIMITED)

SENTENCES: Mapping[str, str] = {
    Outcome.OK: "{name} accepted this key: {model} answered in {latency_ms:,} ms.",
    Outcome.REJECTED: (
        "{name} rejected this key: it is wrong, revoked or expired. "
        "Create a new one at {console_url} and update this key."
    ),
    Outcome.NO_ACCESS: (
        "{name} knows this key but does not let it use {model}. "
        "Give it access to models at {console_url}, then test again."
    ),
    Outcome.NO_CREDIT: (
        "{name} knows this key but its account is out of credit or at a spending limit. "
        "Add credit or raise the limit at {name}, then test again."
    ),
    Outcome.RATE_LIMITED: (
        "{name} knows this key but is limiting its calls. Wait {wait}, then test again."
    ),
    Outcome.MODEL_MISSING: (
        "{name} did not refuse this key but offers it none of the models a test uses, such as "
        "{model}. Other models may work: try the one you need."
    ),
    Outcome.OVERLOADED: (
        "{name} is overloaded, so this key could not be tested. Test again in a few minutes."
    ),
    Outcome.BAD_REQUEST: (
        "{name} refused the test call itself, which says nothing about this key. "
        "Try a call of your own: if that works, the key does."
    ),
    Outcome.UNAVAILABLE: (
        "{name} had a fault of its own, so this key could not be tested. "
        "Test again in a few minutes."
    ),
    UNREACHABLE: (
        "{name} could not be reached, so this key could not be tested. Test again in a moment; "
        "if it stays so, look at {name}'s status page."
    ),
    NOT_PUBLIC: (
        "{name} leads to an address that is not public, so nothing was sent there. "
        "Enter an address that the internet can reach."
    ),
    TIMED_OUT: (
        "{name} did not answer within 20 seconds, so this key could not be tested. "
        "Test again in a few minutes."
    ),
    UNREADABLE: CANNOT_BE_OPENED,
    VAULT_CLOSED: (
        "MegaBrain could not open its vault just now, so this key could not be tested. "
        "Test again in a few minutes."
    ),
    UNSUPPORTED: "MegaBrain does not support this provider any more. Delete this key.",
    REPLACED: "The {name} key was replaced while it was being tested. Test the new one.",
}
NEVER_BEGUN = (
    "No worker took this test up within 20 seconds. Test again; if it stays so, "
    "MegaBrain's operator has to start a worker."
)
NEVER_ENDED = "The worker that ran this test stopped before it had a result. Test again."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a test found out. `model` is what was called last, under the provider's id for it."""

    code: str
    model: str = ""
    latency_ms: int | None = None
    retry_after: float | None = None
    #: Which of the provider's hosts said so.
    host: str = ""
    #: What the owner should know of the key's kind.
    remark: str = ""


def perform(test_id: UUID) -> UUID | None:
    """Run a queued test and store its result. Does nothing if it is gone, begun or finished.

    The key's health follows the result, unless its secret was replaced meanwhile. Returns the id of
    a key that passed, and None for any other.
    """
    expire_stuck_tests()
    begun = KeyTest.objects.filter(pk=test_id, state=KeyTest.State.QUEUED).update(
        state=KeyTest.State.RUNNING, started_at=timezone.now()
    )
    if not begun:
        return None
    key = ProviderKey.objects.filter(tests=test_id).first()
    return key.pk if key is not None and _finish(test_id, key, _test(key)) else None


def expire_stuck_tests() -> int:
    """End the tests that waited or ran too long as failed, and say how many there were."""
    now = timezone.now()
    unfinished = KeyTest.objects.unfinished()
    never_begun = unfinished.filter(state=KeyTest.State.QUEUED, created_at__lte=now - QUEUE_LIMIT)
    never_ended = unfinished.filter(state=KeyTest.State.RUNNING).filter(
        Q(started_at__lte=now - RUN_LIMIT) | Q(started_at=None)
    )
    return sum(
        stuck.update(state=KeyTest.State.FAILED, code=EXPIRED, message=message, finished_at=now)
        for stuck, message in ((never_begun, NEVER_BEGUN), (never_ended, NEVER_ENDED))
    )


def _test(key: ProviderKey) -> Verdict:
    provider = PROVIDERS.get(key.provider)
    if provider is None:
        return Verdict(UNSUPPORTED)
    try:
        return judge(provider, key.secret.unseal())
    except Unsealable as sealed:
        # Only the key management service being out of reach passes by itself.
        passing = sealed.reason in (Reason.UNAVAILABLE, Reason.REFUSED)
        return Verdict(VAULT_CLOSED if passing else UNREADABLE)
    except UnusableSecret:
        return Verdict(UNREADABLE)


def judge(provider: Provider, secret: Secret, seconds: float = CALL_SECONDS) -> Verdict:
    """What the provider says of the key: the first of its hosts that does not reject it.

    One that cannot be reached may have been the key's, unless most keys belong to the host that
    comes first and that one rejected it: then the other may not exist any more.
    """
    deadline = time.monotonic() + seconds
    verdicts: list[Verdict] = []
    for host in provider.test_hosts(secret):
        found = replace(_judge_at(host, provider, secret, deadline), host=host)
        if found.code in PROOFS:
            return replace(found, remark=provider.remark(secret, host))
        if found.code not in (Outcome.REJECTED, UNREACHABLE):
            return found
        verdicts.append(found)
    first, *others = verdicts
    if not first.host:
        return first
    return next((each for each in others if each.code == UNREACHABLE), first)


def _judge_at(host: str, provider: Provider, secret: Secret, deadline: float) -> Verdict:
    """Call one model after the other until one says something of the key itself."""
    found: list[Verdict] = []
    calls = provider.test_calls(secret, host)
    if not calls:
        try:
            listed = send(provider.list_models(secret, host), deadline - time.monotonic())
        except CallFailed as failed:
            return Verdict(failed.code)
        if listed.status != 200:
            return _read(provider, listed)
        calls = provider.listed_calls(secret, listed.body)
    for model, request in calls:
        began = time.monotonic()
        try:
            answer = send(request, deadline - began, _exchange_with(provider, secret, model))
        except CallFailed as failed:
            return Verdict(failed.code, model)
        verdict = _read(provider, answer)
        latency_ms = max(1, round((time.monotonic() - began) * 1000))
        found.append(replace(verdict, model=model, latency_ms=latency_ms))
        if verdict.code not in NOT_DECISIVE:
            return found[-1]
    return min(
        found,
        key=lambda verdict: NOT_DECISIVE.index(Outcome(verdict.code)),
        default=Verdict(Outcome.MODEL_MISSING),
    )


def _read(provider: Provider, answer: Answer) -> Verdict:
    if answer.status == 200 and provider.answered(answer.body):
        return Verdict(Outcome.OK)
    failure = provider.classify(answer.status, answer.headers, answer.body)
    return Verdict(failure.outcome, retry_after=failure.retry_after)


def _finish(test_id: UUID, key: ProviderKey, verdict: Verdict) -> bool:
    """Store the result, and say whether the key has passed."""
    now = timezone.now()
    with transaction.atomic():
        locked = ProviderKey.objects.select_for_update().filter(pk=key.pk)
        secret_changed_at = locked.values_list("secret_changed_at", flat=True).first()
        if secret_changed_at != key.secret_changed_at:
            verdict = Verdict(REPLACED)
        message = sentence(key.provider, verdict)
        finished = KeyTest.objects.filter(pk=test_id, state=KeyTest.State.RUNNING).update(
            state=KeyTest.State.PASSED if verdict.code == Outcome.OK else KeyTest.State.FAILED,
            code=verdict.code,
            message=message,
            model=model_name(key.provider, verdict.model),
            latency_ms=verdict.latency_ms,
            finished_at=now,
        )
        if finished and verdict.code in HEALTH:
            _store_health(key, verdict, message, now)
    log.info("byok.key.tested", key=str(key.pk), provider=key.provider, code=verdict.code)
    return bool(finished) and verdict.code == Outcome.OK


def _store_health(key: ProviderKey, verdict: Verdict, message: str, now: datetime) -> None:
    works = verdict.code == Outcome.OK
    ProviderKey.objects.filter(pk=key.pk).update(
        host=verdict.host if verdict.code in PROOFS else key.host,
        health=HEALTH[verdict.code],
        health_code="" if works else verdict.code,
        health_message="" if works else message[:300],
        health_at=now,
    )
    announce("keys", str(key.account_id))


def sentence(provider_id: str, verdict: Verdict) -> str:
    """What happened, why and what to do, for the key's owner."""
    provider = PROVIDERS.get(provider_id)
    words = SENTENCES[verdict.code].format(
        name=provider.name if provider else provider_id,
        console_url=(provider.console_url if provider else "") or "the company that runs it",
        model=model_name(provider_id, verdict.model).rpartition("/")[2] or "any model",
        latency_ms=verdict.latency_ms,
        wait=_wait(verdict.retry_after),
    )
    return f"{words} {verdict.remark}".rstrip()


def model_name(provider_id: str, upstream_id: str) -> str:
    """The catalogue's id of a provider's model, or the provider's own if it is not in there."""
    offerings = Offering.objects.filter(provider=provider_id, upstream_id=upstream_id)
    return offerings.values_list("model_id", flat=True).first() or upstream_id


def _wait(seconds: float | None) -> str:
    if seconds is None or seconds > 90:
        return "a few minutes"
    return "a moment" if seconds < 2 else f"{seconds:.0f} seconds"


def _exchange_with(provider: Provider, secret: Secret, model: str) -> Exchange:
    """How a call of this provider's is sent and answered."""
    if not isinstance(provider, Bedrock):
        return exchange

    def by_boto3(request: UpstreamRequest, seconds: float) -> Answer:
        return boto.converse(
            provider, secret, model, request, lambda signed: exchange(signed, seconds)
        )

    return by_boto3
