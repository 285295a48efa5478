"""A real Chromium in front of the site, over TCP.

Every page fails its test if the browser complains of anything: a script error, a request that
fails, a breach of the Content-Security-Policy.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    expect,
    sync_playwright,
)

HOW_TO = "No Chromium found: apt install chromium-headless-shell, or set CHROMIUM to its path."
#: Best first: without windows, each fresh browser takes a fifth of the time.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

#: Milliseconds until what a page should show is missing: long, since two runs of the suite and
#: their browsers may share two processors.
PATIENCE = 30_000

#: What is faultless: a form that is sent back with what is wrong in it has this status, and a
#: request that gives way to a newer one is told so.
FAULTLESS = ("status of 422", "htmx:sendAbort", "htmx:afterRequest")

#: Opens a page in a browser of its own; pass a signed-in `Client` to be that person.
OpenPage = Callable[..., Page]


def chromium() -> str | None:
    candidates = (os.environ.get("CHROMIUM", ""), *PROGRAMS)
    return next(filter(None, map(shutil.which, candidates)), None)


def follow(link: Locator) -> None:
    """Click what leads to another page, and wait for its scripts: until then it is all forms."""
    link.click()
    link.page.wait_for_load_state()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in Chromium come last, since it is started once and runs to the end.

    While Playwright's loop runs in this thread, no other test could start a loop of its own.
    """
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(HOW_TO)
        pytest.skip(HOW_TO)
    # Playwright's loop runs in this thread, where the tests use the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained of. A test that provokes something takes it out again."""
    return []


@pytest.fixture
def open_page(browser: Browser, live_server, complaints: list[str]) -> Iterator[OpenPage]:
    """Opens pages, each in a fresh browser: `open_page()`, `open_page(owner_client)`,
    `open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")`.
    """
    cache.clear()
    contexts: list[BrowserContext] = []

    def heard(message: ConsoleMessage) -> None:
        faultless = any(words in message.text for words in FAULTLESS)
        if message.type in {"error", "warning"} and not faultless:
            complaints.append(message.text)

    def open_one(client: Client | None = None, **options: Any) -> Page:  # Any: Playwright's.
        context = browser.new_context(
            base_url=live_server.url,
            **{"viewport": {"width": 1280, "height": 800}, **options},
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        if client is not None:
            name = settings.SESSION_COOKIE_NAME
            context.add_cookies(
                [{"name": name, "value": client.cookies[name].value, "url": live_server.url}]
            )
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        context.close()
    cache.clear()
    assert not complaints


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A visitor's page, signed out, 1280 pixels wide."""
    return open_page()
