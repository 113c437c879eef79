"""Fixtures for all tests: backends, HTTP transports, log records, and the profiles of hypothesis."""

import gc
import logging
import os
import signal
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from smsapi_async import client
from smsapi_async.http import choice
from smsapi_async.http.choice import AutomaticTransport, Kind
from smsapi_async.http.exchange import Exchanger
from smsapi_async.http.factory import build_exchanger
from tests.measured import mark_measured

# Each key is the id of a test run. Each value contains the AnyIO backend and the client's transport.
TRANSPORTS: dict[str, tuple[Any, Kind]] = {
    "trio-httpcore": (("trio", {}), "httpcore"),
    "asyncio-httpcore": (("asyncio", {"use_uvloop": False}), "httpcore"),
    "asyncio": (("asyncio", {"use_uvloop": False}), "asyncio"),
    "uvloop": (("asyncio", {"use_uvloop": True}), "asyncio"),
}

# The same with the connections of httpx2, for the modules with the mark `over_httpx2`.
OVER_HTTPX2: dict[str, tuple[Any, str]] = {
    "trio-httpx2": (("trio", {}), "httpx2"),
    "asyncio-httpx2": (("asyncio", {"use_uvloop": False}), "httpx2"),
}

if "PYTEST_XDIST_WORKER" in os.environ:
    # Let coverage measure the workers of pytest-xdist, but not the processes that the tests start, because a
    # measured process needs about twice the time of an unmeasured process.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

settings.register_profile(
    "fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts a background command with SIGINT ignored, and its child processes
    # inherit the ignored SIGINT. Without the next line, the processes that the tests start would not stop
    # after Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# tests/testing runs the tests among the examples in a process of their own, as a user does.
collect_ignore_glob = ["examples/test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the tests whose gateway has a remote name. No request leaves this machine."""
    # The plugin of this package registers the marker, too, if the package is installed from this folder.
    config.addinivalue_line("markers", "sms_real: the guard of the plugin lets the requests pass")
    config.addinivalue_line("markers", "over_httpx2: further values of the fixture transport")
    config.addinivalue_line("markers", "measured: coverage measures this case of a test")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that coverage measures, before pytest deselects tests by their marks."""
    mark_measured(items)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses the fixture `transport` once for each combination in `TRANSPORTS`."""
    if "transport" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("over_httpx2")
        chosen = {**TRANSPORTS, **{name: OVER_HTTPX2[name] for name in (marker.args if marker else ())}}
        names, values = ("anyio_backend", "transport"), list(chosen.values())
        # Use a mark, because a mark overrides the parameters of the fixture `anyio_backend`, but
        # `metafunc.parametrize` does not.
        mark = pytest.mark.parametrize(names, values, ids=list(chosen), indirect=["transport"])
        metafunc.definition.add_marker(mark)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Yield a list that collects the log records of all loggers, at the level DEBUG and above."""
    seen: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    root = logging.getLogger()
    handler, level = Keep(level=0), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield seen
    root.removeHandler(handler)
    root.setLevel(level)


def need_httpx2() -> ModuleType:
    """Return httpx2. Skip the test if httpx2 is not installed, except in continuous integration."""
    if os.environ.get("CI"):
        return import_module("httpx2")
    httpx2: ModuleType = pytest.importorskip("httpx2")
    return httpx2


def _over_httpx2(*args: Any, **options: Any) -> Exchanger:
    """Build an exchanger over httpx2, unless the caller supplies a client or a transport."""
    if options["client"] is None and options["transport"] is None:
        options["http"] = "httpx2"
    exchanger = build_exchanger(*args, **options)
    assert exchanger.description in {"transport=httpcore2", "client=the caller's", "transport=the caller's"}
    return exchanger


@pytest.fixture
def leaves_no_socket() -> Iterator[None]:
    """Fail the test if a socket that the test opened is still open after the test."""
    # `gc.freeze` makes the garbage collector ignore all objects that exist before the test, so that
    # `gc.collect` visits only the objects of this test and takes much less time.
    gc.freeze()
    yield
    # If a socket is still open, its garbage collection issues a ResourceWarning, which fails the test.
    gc.collect()
    gc.unfreeze()


@pytest.fixture
def without_garbage_collection() -> Iterator[None]:
    """Let no garbage collection run in a test that reaches the recursion limit.

    A collection at the recursion limit would run the finalizers of clients of earlier tests, which would then
    fail with a `RecursionError`, and pytest would report the error as an error of this test.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test that uses this fixture once on asyncio and once on trio."""
    backend: str = request.param
    return backend


@pytest.fixture
def transport(
    request: pytest.FixtureRequest, anyio_backend: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kind]:
    """Yield the name of the HTTP transport, and fail the test if a client uses another HTTP transport."""
    kind: Kind = request.param
    if request.param == "httpx2":
        need_httpx2()
        monkeypatch.setattr(client, "build_exchanger", _over_httpx2)
        yield kind
        return
    if anyio_backend[1].get("use_uvloop"):
        pytest.importorskip("uvloop")
    # The fixture must force a transport only for httpcore on asyncio, because by default a client uses the
    # asyncio transport on asyncio, and httpcore on trio.
    forced = kind if (anyio_backend[0], kind) == ("asyncio", "httpcore") else None
    made: list[AutomaticTransport] = []

    def make(given: Kind | None, ssl_context: Any, proxy: Any, *core: str) -> AutomaticTransport:
        automatic = AutomaticTransport(given or forced, ssl_context, proxy, *core)
        # Do not check a client with a proxy, because such a client always uses httpcore.
        if proxy is None:
            made.append(automatic)
        return automatic

    monkeypatch.setattr(choice, "AutomaticTransport", make)
    yield kind
    # The name "auto" is also correct: an `AutomaticTransport` chooses a transport only at its first request.
    assert {each.name for each in made} <= {kind, "auto"}
