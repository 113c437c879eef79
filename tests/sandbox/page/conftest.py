"""A real browser for the tests of the page.

Each test is an async function. All tests of a process run in one event loop in a separate thread, because
they share one browser: the start of a browser takes about two seconds.
"""

import inspect
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from smsapi_async import AsyncSmsClient
from smsapi_async.sandbox import Sandbox, run_sandbox

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The longest wait for one condition, in milliseconds.
_PATIENCE = 20_000
expect.set_options(timeout=_PATIENCE)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test in the event loop of the browser."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    cast("BlockingPortal", pyfuncitem.funcargs["portal"]).call(partial(pyfuncitem.obj, **arguments))
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker of pytest-xdist run all tests of the page, if the worker can be chosen (loadgroup)."""
    for item in items:
        if item.path.parent.name == "page":
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session", autouse=True)
def portal() -> Iterator[BlockingPortal]:
    """Return the way into the event loop of the tests. Playwright needs asyncio."""
    with start_blocking_portal("asyncio") as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser. Without a browser, the tests are skipped, but fail on CI."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is not None:
        return path
    reason = "no chromium: apt-get install --no-install-recommends chromium"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser(portal: BlockingPortal, chromium: str) -> Iterator[Browser]:
    """Start the browser of this computer."""
    with portal.wrap_async_context_manager(_launched(chromium)) as started:
        yield started


@asynccontextmanager
async def _launched(path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Without a sandbox of its own, chromium also starts as root.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture
def problems() -> list[str]:
    """Return the errors in the console of the page. The page fails its test if one is left."""
    return []


class Pages:
    """Opens pages in fresh contexts of the browser, with nothing remembered."""

    def __init__(self, browser: Browser, portal: BlockingPortal, problems: list[str]) -> None:
        self._browser = browser
        self._portal = portal
        self._problems = problems

    def open(self, **options: Any) -> AbstractContextManager[Page]:
        """Return a page for a test that is no async function."""
        return self._portal.wrap_async_context_manager(self.opened(**options))

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[Page]:
        """Open a page; `options` are those of `Browser.new_context`."""
        settings = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light", **options}
        context = await self._browser.new_context(**settings)
        context.set_default_timeout(_PATIENCE)
        page = await context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._problems.append(f"error: {error}"))
        try:
            yield page
        finally:
            await context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._problems.append(message.text)


@pytest.fixture
def pages(browser: Browser, portal: BlockingPortal, problems: list[str]) -> Iterator[Pages]:
    """Return a function that opens pages, and check the console of each page afterwards."""
    yield Pages(browser, portal, problems)
    assert problems == []


@pytest.fixture
def page(sandbox: Sandbox, pages: Pages) -> Iterator[Page]:
    """Return an empty page in a fresh context. The page is closed before the sandbox stops."""
    with pages.open() as opened:
        yield opened


@pytest.fixture
def sandbox(portal: BlockingPortal) -> Iterator[Sandbox]:
    """Serve a sandbox with a page and a faulty line."""
    with portal.wrap_async_context_manager(run_sandbox(faults_port=0)) as running:
        yield running


@pytest.fixture
def sms(portal: BlockingPortal, sandbox: Sandbox) -> Iterator[AsyncSmsClient]:
    """Return an open client of the sandbox."""
    with portal.wrap_async_context_manager(client_of(sandbox)) as opened:
        yield opened


def client_of(sandbox: Sandbox, base_url: str | None = None, **options: Any) -> AsyncSmsClient:
    """Return a client of the sandbox, by default on the good line."""
    url = base_url or sandbox.base_url
    return AsyncSmsClient(sandbox.login, sandbox.password, base_url=url, source_address="ACME", **options)
