"""One request on its way through the gateway, and what is known of it at its end."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from uuid import UUID

from billing.models.usage import told_of_ours
from byok.catalogue.memory import Model
from byok.providers.base import Endpoint
from megabrain.gateway.callers import Caller, Organization
from megabrain.gateway.errors import Problem
from megabrain.gateway.metering import Usage
from megabrain.gateway.routing import Candidate

CLIENT_CLOSED = "client_closed"
#: nginx's word for a caller who left before there was a status.
CLIENT_CLOSED_STATUS = 499


@dataclass(slots=True)
class Attempt:
    """One try of the request against one provider key."""

    candidate: Candidate
    began: float = field(default_factory=perf_counter)
    outcome: str = ""
    status: int | None = None
    milliseconds: int = 0

    def end(self, outcome: str, status: int | None = None) -> None:
        self.outcome = outcome
        self.status = status
        self.milliseconds = round((perf_counter() - self.began) * 1000)

    @property
    def named(self) -> str:
        """Provider and key; which of MegaBrain's own it was is nobody else's."""
        key = self.candidate.key
        return f"{key.provider}/{key.shown}" if self.candidate.own else key.provider

    @property
    def told(self) -> str:
        """What its caller is told became of it."""
        return self.outcome if self.candidate.own else told_of_ours(self.outcome)


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is set aside for a call, under the call's id.

    Whoever has resolved it calls `resolved`, so that its lease is renewed no more.
    """

    request_id: UUID
    account_id: UUID
    resolved: Callable[[], object]


@dataclass(slots=True)
class Call:
    """What the stages add to, and what the receipt and the usage record are made of."""

    endpoint: Endpoint
    headers: Mapping[str, str]
    id: UUID = field(default_factory=uuid.uuid4)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=perf_counter)
    #: Seconds that the request took to arrive, which are its sender's.
    reading: float = 0.0
    caller: Caller | None = None
    #: Known as soon as the token is, for replies to calls that nobody makes a record of.
    organization: Organization | None = None
    asked: str = ""
    model: Model | None = None
    streamed: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    #: Fields of the request that only tune and that the last provider's dialect has no word for.
    dropped: tuple[str, ...] = ()
    served_by: Candidate | None = None
    sent_at: float | None = None
    first_byte_at: float | None = None
    status: int = 0
    outcome: str = ""
    usage: Usage | None = None
    #: Tokens of its prompt, as far as its bytes tell; None where nobody has looked closely.
    prompt_guess: int | None = None
    settled: bool = False
    #: Money set aside for it, until it is settled.
    hold: Hold | None = None

    @property
    def request_id(self) -> str:
        return str(self.id)

    @property
    def payer(self) -> str:
        """Whoever's key was tried last pays; a call that nobody was asked costs nobody anything."""
        if not self.attempts:
            return "none"
        return "byok" if self.attempts[-1].candidate.own else "balance"

    @property
    def overhead(self) -> float:
        """Seconds that the gateway itself took before the first attempt went out."""
        return (self.sent_at or perf_counter()) - self.began - self.reading

    def receipt(self) -> list[tuple[bytes, bytes]]:
        """The headers that every reply carries."""
        request_id = str(self.id).encode()
        found = [
            (b"x-request-id", request_id),
            (b"request-id", request_id),
            (b"x-megabrain-payer", self.payer.encode()),
            (b"x-megabrain-attempts", b"%d" % len(self.attempts)),
            (b"x-megabrain-overhead-ms", b"%.1f" % (self.overhead * 1000)),
        ]
        if self.organization is not None:
            found.append((b"x-megabrain-organization", self.organization.slug.encode()))
        if self.model is not None:
            found.append((b"x-megabrain-model", self.model.id.encode()))
        if self.attempts:
            last = self.attempts[-1].candidate
            found.append((b"x-megabrain-provider", last.key.provider.encode()))
            found.append((b"x-megabrain-key", last.key.shown.encode()))
        if self.dropped:
            found.append((b"x-megabrain-dropped", ", ".join(self.dropped).encode()))
        if len(self.attempts) > 1:
            found.append((b"x-megabrain-tried", self._tried().encode()))
        return found

    def _tried(self) -> str:
        """The attempts in their order; the one that is answering has no outcome yet."""
        return ", ".join(
            attempt.named + (f"={attempt.told}" if attempt.outcome else "")
            for attempt in self.attempts
        )

    def failed(self, problem: Problem, status: int) -> None:
        """Write down the error that the caller is told, also as the end of an attempt that it has
        come upon."""
        self.status = status
        self.outcome = problem.code.value
        if self.attempts and not self.attempts[-1].outcome:
            self.attempts[-1].end(self.outcome)
