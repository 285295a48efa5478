"""A company, or whoever publishes a catalogue, whose list of models a test writes."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.utils import timezone

from byok.actions import add_key
from byok.catalogue import refresh
from byok.catalogue.known import known
from byok.models import CatalogModel, CatalogueSource, ChangeSet, Offering, Price
from byok.vault import Secret
from megabrain.simulator.providers import sample_keys
from orgs.models import Account, AuditEvent
from orgs.origin import Origin

#: One that Novita sells at a flat price.
MODEL = "openai/gpt-oss-20b"

Answer = Callable[[BaseHTTPRequestHandler], None]


class Publisher:
    """Answers every GET alike, until it is told otherwise."""

    address = ""
    is_at_it = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Answer = lambda _: None

    def tells(self, content: Any, status: int = 200, **headers: str) -> None:
        """Bytes as they are, anything else as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(body)

        self.answer = answer

    def tells_pages(self, page: Callable[[int], Any]) -> None:
        """What `page` makes of the number of the call."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            body = json.dumps(page(len(self.asked))).encode()
            request.send_response(200)
            request.send_header("content-length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)

        self.answer = answer

    def drips(self) -> None:
        """A byte now and then, of a body that is long."""
        self._drips(b"content-length: 1000000\r\n\r\n")

    def drips_its_head(self) -> None:
        self._drips(b"x-")

    def _drips(self, head: bytes) -> None:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(b"HTTP/1.1 200 OK\r\n" + head)
            while self.is_at_it:
                request.wfile.write(b"a")
                time.sleep(0.05)

        self.answer = answer

    def hangs(self) -> None:
        def answer(_: BaseHTTPRequestHandler) -> None:
            while self.is_at_it:
                time.sleep(0.05)

        self.answer = answer


@contextmanager
def publishing() -> Iterator[Publisher]:
    publisher = Publisher()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            publisher.asked.append(self.path)
            self.close_connection = True
            publisher.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.handle_error = lambda *args: None  # type: ignore[method-assign]  # clients do hang up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    publisher.address = f"http://127.0.0.1:{server.server_port}"
    yield publisher
    publisher.is_at_it = False
    server.shutdown()
    thread.join()
    server.server_close()


def novita() -> dict[str, Any]:
    """Novita's list as the catalogue has it."""
    rows, now = known(), timezone.now()
    entries = []
    for row in rows.of("novita"):
        price = rows.current(row, now)[0]
        entries.append(
            {
                "id": row.upstream_id,
                "status": 1,
                "model_type": "chat",
                "context_size": rows.limit(row, "context"),
                "max_output_tokens": rows.limit(row, "max_output"),
                "input_token_price_per_m": price.input // 100,
                "output_token_price_per_m": price.output // 100,
            }
        )
    return {"data": entries}


def everything() -> list[object]:
    """All that a refresh could have changed, but how its source is doing."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (CatalogModel, Offering, Price, ChangeSet)
    ]


def source(name: str) -> CatalogueSource:
    return CatalogueSource.objects.get(pk=name)


def with_key(provider: str) -> None:
    add_key(
        actor=None,
        account=Account.objects.platform(),
        provider=provider,
        secret=Secret(sample_keys()[provider]),
        origin=Origin(),
    )


def entry_of(listed: dict[str, Any], id_: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [entry for entry in listed["data"] if entry["id"] == id_]
    return found


def at_novita(id_: str = MODEL) -> Offering:
    return Offering.objects.get(provider="novita", upstream_id=id_)


def asked_before(publisher: Publisher) -> dict[str, Any]:
    """Novita's list, which a refresh has seen once."""
    listed = novita()
    publisher.tells(listed)
    assert refresh.refresh("novita") == refresh.Outcome("novita")
    return listed


def events() -> list[tuple[str, str]]:
    rows = AuditEvent.objects.filter(event__startswith="catalogue.").order_by("sequence")
    return [(row.event, row.actor_label) for row in rows]
