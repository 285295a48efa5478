"""What one call can have of MegaBrain's own keys, at the expense of its account's balance."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from byok.providers.base import Endpoint
from megabrain.gateway.call import Call
from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.errors import Code, Problem
from megabrain.gateway.routing import Route, balance_route, route
from megabrain.gateway.turns import in_turns
from megabrain.gateway.watch import Interrupted, Watch
from megabrain.gateway.worst_case import Size, most, size_of

if TYPE_CHECKING:
    from megabrain.gateway.app import Gateway

#: How long the database may take over it.
RESERVE_SECONDS = 10.0


class Balance:
    """Asked for nothing while the account's own keys serve."""

    def __init__(
        self, gateway: "Gateway", call: Call, ask: Ask, endpoint: Endpoint, watch: Watch
    ) -> None:
        self._gateway = gateway
        self._call = call
        self._ask = ask
        self._endpoint = endpoint
        self._watch = watch
        self._route: Route | None = None

    async def route(self) -> Route:
        """The route over MegaBrain's own keys. Raises SnapshotUnavailable."""
        call, snapshot = self._call, self._gateway.snapshot
        assert call.model is not None
        self._route = balance_route(
            call.model,
            await snapshot.catalogue.get(None),
            await snapshot.platform_keys(),
            self._endpoint,
            self._gateway.cooling,
            # It costs what it cost then, so it is then that it must have a price.
            call.created_at,
            with_tools=self._ask.with_tools,
        )
        return self._route

    async def is_wanted(self) -> bool:
        """Whether the balance may pay, now that the account's own keys have failed. That may have
        taken minutes, so their owner is asked again. Raises SnapshotUnavailable."""
        call = self._call
        assert call.caller is not None
        assert call.model is not None
        return route(
            call.model,
            await self._gateway.snapshot.keys.get(call.caller.account_id),
            self._endpoint,
            self._gateway.cooling,
            datetime.now(UTC),
            with_tools=self._ask.with_tools,
        ).falls_back

    async def reserve(self) -> None:
        """Set aside the most that the call can cost, once. Raises Problem and Interrupted."""
        if self._call.hold is not None:
            return
        size, amount = await in_turns(self._most, len(self._ask.body))
        self._call.prompt_guess = size.usual
        try:
            await self._watch.wait(self._gateway.funds.reserve(self._call, amount), RESERVE_SECONDS)
        except Interrupted as interrupted:
            if interrupted.stopping or self._watch.expired:
                raise
            raise Problem(
                Code.SERVICE_UNAVAILABLE,
                "MegaBrain's database takes too long to set aside what this call may cost. Try "
                "again in a moment.",
                retry_after=2,
            ) from None

    def _most(self) -> tuple[Size, int]:
        """What its bytes tell of the call, and the most that it can cost."""
        assert self._route is not None
        size = size_of(self._ask)
        return size, most(self._call, self._ask, self._route, size)
