"""Fixtures for all tests: the backends, the transports and the profiles of hypothesis."""

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from smsapi_async.http import factory
from smsapi_async.http.choice import AutomaticTransport, Kind

# The keys are test ids. Each value contains the backend for AnyIO and the transport of the client.
TRANSPORTS: dict[str, tuple[Any, Kind]] = {
    "trio-httpcore": (("trio", {}), "httpcore"),
    "asyncio-httpcore": (("asyncio", {"use_uvloop": False}), "httpcore"),
    "asyncio": (("asyncio", {"use_uvloop": False}), "asyncio"),
    "uvloop": (("asyncio", {"use_uvloop": True}), "asyncio"),
}

if "PYTEST_XDIST_WORKER" in os.environ:
    # Coverage measures the workers of pytest-xdist, but not the processes that the tests start. A measured
    # process needs about twice the time of an unmeasured process.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

settings.register_profile(
    "fast", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts background commands with SIGINT ignored, and child processes inherit
    # this setting. With SIGINT ignored, the processes that the tests start would not stop after Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses the fixture `transport` once for each combination in `TRANSPORTS`."""
    if "transport" in metafunc.fixturenames:
        names, values = ("anyio_backend", "transport"), list(TRANSPORTS.values())
        # A mark overrides the parameters of the fixture `anyio_backend`; `metafunc.parametrize` does not
        # override them.
        mark = pytest.mark.parametrize(names, values, ids=list(TRANSPORTS), indirect=["transport"])
        metafunc.definition.add_marker(mark)


@pytest.fixture
def leaves_no_socket() -> Iterator[None]:
    """Fail the test if a socket that the test opened is still open after the test."""
    # `gc.freeze` makes the garbage collector ignore all objects that exist before the test. So `gc.collect`
    # visits only the objects of this test and takes much less time than a full collection.
    gc.freeze()
    yield
    # The collection of an open socket issues a ResourceWarning, and a warning fails the test.
    gc.collect()
    gc.unfreeze()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test that uses this fixture once on asyncio and once on trio."""
    backend: str = request.param
    return backend


@pytest.fixture
def transport(
    request: pytest.FixtureRequest, anyio_backend: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kind]:
    """Yield the name of the transport for the test. The test fails if a client uses another transport."""
    kind: Kind = request.param
    if anyio_backend[1].get("use_uvloop"):
        pytest.importorskip("uvloop")
    # By default, a client uses the asyncio transport on asyncio, and httpcore on trio. So the fixture forces
    # only httpcore on asyncio.
    forced = kind if (anyio_backend[0], kind) == ("asyncio", "httpcore") else None
    made: list[AutomaticTransport] = []

    def make(given: Kind | None, ssl_context: Any, proxy: Any) -> AutomaticTransport:
        automatic = AutomaticTransport(given or forced, ssl_context, proxy)
        # With a proxy, a client always uses httpcore.
        if proxy is None:
            made.append(automatic)
        return automatic

    monkeypatch.setattr(factory, "AutomaticTransport", make)
    yield kind
    # Before its first request, an `AutomaticTransport` has not chosen a transport, and its name is "auto".
    assert {each.name for each in made} <= {kind, "auto"}
