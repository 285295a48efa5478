"""Asking a source of the catalogue: all pages of a provider's list, or the operator's feed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

import structlog
from django.conf import settings

from byok import sending
from byok.catalogue import feeds
from byok.models import CatalogueSource, ProviderKey
from byok.providers import PROVIDERS
from byok.providers.base import USER_AGENT, Provider, UnusableSecret, UpstreamRequest
from byok.providers.listing import MOST_MODELS, Listed, Page, UnreadableList
from byok.vault import Unsealable
from orgs.models import Account

log = structlog.get_logger(__name__)

#: For all pages of a source together.
SECONDS = 60.0
BODY_LIMIT = 32 * 1024 * 1024
MOST_PAGES = 50

_FAILED: Mapping[str, str] = {
    sending.UNREACHABLE: "It could not be reached.",
    sending.NOT_PUBLIC: "Its address is not public.",
    sending.TIMED_OUT: "It did not answer in time.",
}

T = TypeVar("T")

#: Makes the request for the page behind a cursor, None for the first.
Asking = Callable[[str | None], UpstreamRequest]


class NotRead(Exception):
    """The source gave nothing that can be read; says why, in a sentence for staff.

    `passing` where it was away or at fault, and may well be back the next time.
    """

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Told:
    """What a source tells: by provider, its models. `is_own` where it is that provider's list."""

    models: Mapping[str, Sequence[Listed]]
    edition: str
    is_own: bool


def sources() -> list[str]:
    """The names of the sources that can be asked here: providers with an enabled key of the
    platform account or a public list, and the feed if the operator names one."""
    keys = ProviderKey.objects.for_account(Account.objects.platform()).enabled()
    held = set(keys.values_list("provider", flat=True))
    found = [
        provider.id
        for provider in PROVIDERS.values()
        # One without an address is of customers, each with his own.
        if provider.base_url and (provider.id in held or provider.list_is_public)
    ]
    return [*found, CatalogueSource.FEED] if settings.MEGABRAIN_CATALOGUE_FEED else found


def ask(source: str, seconds: float = SECONDS) -> Told:
    """What the source tells at this moment, asked for no longer than that. Raises NotRead."""
    if source not in sources():
        raise NotRead("It can only be asked with a key of MegaBrain's own, and there is none.")
    if source == CatalogueSource.FEED:
        return _ask_feed(seconds)
    provider = PROVIDERS[source]
    asking = _asking(provider)
    digest = sha256()
    models = all_pages(provider, asking, digest.update, seconds)
    if not models:
        raise NotRead("It lists no models.")
    return Told({provider.id: models}, digest.hexdigest(), is_own=True)


def _ask_feed(seconds: float) -> Told:
    url = settings.MEGABRAIN_CATALOGUE_FEED
    body = _body(UpstreamRequest("GET", url, {"user-agent": USER_AGENT}), seconds, BODY_LIMIT)
    told = _reading(lambda: feeds.read(body))
    return Told(told, sha256(body).hexdigest(), is_own=False)


def _asking(provider: Provider) -> Asking:
    """How its list is asked for: without a key where anybody is shown it. Raises NotRead."""
    if provider.list_is_public:
        return lambda after: _certain(provider.public_list(after))
    keys = ProviderKey.objects.for_account(Account.objects.platform()).enabled()
    key = keys.filter(provider=provider.id).first()
    if key is None:
        raise NotRead("MegaBrain's own key for it is gone.")
    try:
        secret = key.secret.unseal()
    except Unsealable as sealed:
        raise NotRead(f"MegaBrain's own key for it cannot be opened. {sealed}") from None
    host = key.host

    def asking(after: str | None) -> UpstreamRequest:
        try:
            return provider.list_models(secret, host, after)
        except UnusableSecret:
            raise NotRead("MegaBrain's own key for it cannot be sent.") from None

    return asking


def _certain(request: UpstreamRequest | None) -> UpstreamRequest:
    assert request is not None, "a list is public or it is not"
    return request


def all_pages(
    provider: Provider, asking: Asking, note: Callable[[bytes], None], seconds: float
) -> list[Listed]:
    """The models of all pages, each once. Raises NotRead."""
    until, left = time.monotonic() + seconds, BODY_LIMIT
    found: dict[str, Listed] = {}
    cursors: set[str] = set()
    after: str | None = None
    for _ in range(MOST_PAGES):
        body = _body(asking(after), until - time.monotonic(), left)
        note(body)
        left -= len(body)
        page = _page(provider, body)
        for model in page.models:
            if found.setdefault(model.id, model) != model:
                raise NotRead("It tells two things of one model.")
        if len(found) > MOST_MODELS:
            raise NotRead(f"It lists more than {MOST_MODELS:,} models.")
        after = page.after
        if after is None:
            return list(found.values())
        if after in cursors:
            raise NotRead("Its pages lead back to one that was read.")
        cursors.add(after)
    raise NotRead(f"Its list has more than {MOST_PAGES} pages.")


def _page(provider: Provider, body: bytes) -> Page:
    return _reading(lambda: provider.read_list(body))


def _reading(read: Callable[[], T]) -> T:
    """What was read. Raises NotRead, also for what no reader was prepared for."""
    try:
        return read()
    except UnreadableList as unreadable:
        raise NotRead(str(unreadable)) from None
    except Exception as error:
        log.exception("byok.catalogue.reader_failed")
        raise NotRead(f"Its answer is not as expected ({type(error).__name__}).") from None


def _body(request: UpstreamRequest, seconds: float, limit: int) -> bytes:
    """The body of a good answer. Raises NotRead."""
    try:
        answer = sending.send(request, seconds, limit=limit)
    except sending.CallFailed as failed:
        raise NotRead(_FAILED[failed.code], passing=True) from None
    if 300 <= answer.status < 400:
        raise NotRead("It answered with a redirect, which is not followed.")
    if answer.status != 200:
        passing = answer.status in (408, 429) or answer.status >= 500
        raise NotRead(f"It answered with status {answer.status}.", passing=passing)
    if not answer.whole:
        raise NotRead(f"Its answer is longer than {BODY_LIMIT // 1024 // 1024} MiB.")
    return answer.body
