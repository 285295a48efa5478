"""A value that was loaded before what it depends on changed is not used after it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from megabrain.gateway.snapshot import Cache


class Source:
    """What is loaded: `stored` as it was when the load began, and not before it is let go."""

    def __init__(self) -> None:
        self.stored: dict[str, str | None] = {}
        self.loads = 0
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def load(self, key: str) -> str | None:
        self.loads += 1
        value = self.stored.get(key)
        self.begun.release()
        assert self.go.acquire(timeout=10)
        return value

    async def loading(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)


Trial = Callable[[Cache[str, str | None], Source], Awaitable[None]]


@pytest.fixture
def run() -> Iterator[Callable[[Trial], None]]:
    """Runs a trial with a cache of two values, each of which depends on its first letter."""
    with ThreadPoolExecutor(2) as pool:

        def go(trial: Trial) -> None:
            async def all_of_it() -> None:
                source = Source()
                cache: Cache[str, str | None] = Cache(source.load, pool, 2, depends_on)
                await trial(cache, source)

            asyncio.run(all_of_it())

        yield go


def depends_on(value: str | None) -> tuple[str]:
    return (value[0] if value else "unknown",)


async def got(cache: Cache[str, str | None], source: Source, key: str) -> str | None:
    source.go.release()
    return await cache.get(key)


@pytest.mark.parametrize("changed", ["key", "a"])
@pytest.mark.parametrize("cleared", [False, True])
def test_who_asks_after_a_change_does_not_get_what_was_being_loaded(run, changed, cleared):
    async def trial(cache: Cache[str, str | None], source: Source) -> None:
        source.stored["key"] = "a, old"
        early = asyncio.ensure_future(cache.get("key"))
        await source.loading()
        source.stored["key"] = "b, new"
        if cleared:
            cache.clear()
        else:
            cache.forget(changed)
        late = [asyncio.ensure_future(cache.get("key")) for _ in range(3)]
        await asyncio.sleep(0)
        source.go.release(2)
        assert await early == "a, old"
        assert await asyncio.gather(*late) == ["b, new"] * 3
        assert await cache.get("key") == "b, new"
        assert source.loads == 2

    run(trial)


def test_what_was_not_there_while_it_was_announced_is_there_afterwards(run):
    async def trial(cache: Cache[str, str | None], source: Source) -> None:
        early = asyncio.ensure_future(cache.get("key"))
        await source.loading()
        source.stored["key"] = "a"
        cache.forget("unknown")
        source.go.release(2)
        assert await early is None
        assert await cache.get("key") == "a"

    run(trial)


@pytest.mark.parametrize("when", ["while it is loaded", "afterwards"])
def test_another_change_leaves_it_known(run, when):
    async def trial(cache: Cache[str, str | None], source: Source) -> None:
        source.stored["key"] = "a"
        first = asyncio.ensure_future(cache.get("key"))
        await source.loading()
        if when == "afterwards":
            source.go.release()
            await first
        for changed in ("another key", "b", "unknown"):
            cache.forget(changed)
        if when != "afterwards":
            source.go.release()
        assert await first == await cache.get("key") == "a"
        assert source.loads == 1

    run(trial)


def test_a_change_counts_for_all_that_depends_on_it_and_for_no_other(run):
    async def trial(cache: Cache[str, str | None], source: Source) -> None:
        source.stored = {"one": "a1", "other": "b1"}
        for key in ("one", "other", "neither"):
            await got(cache, source, key)
        cache.forget("a")
        source.stored = {"one": "a2", "other": "b2", "neither": "c"}
        assert await got(cache, source, "one") == "a2"
        assert await cache.get("other") == "b1"
        assert await cache.get("neither") is None
        cache.forget("unknown")
        assert await got(cache, source, "neither") == "c"

    run(trial)


def test_asking_for_much_that_is_not_there_pushes_out_nothing(run):
    async def trial(cache: Cache[str, str | None], source: Source) -> None:
        source.stored = {"one": "a", "two": "b"}
        for key in ("one", "two", *(f"nobody {number}" for number in range(20))):
            await got(cache, source, key)
        loads = source.loads
        assert (await cache.get("one"), await cache.get("two")) == ("a", "b")
        assert source.loads == loads

    run(trial)
