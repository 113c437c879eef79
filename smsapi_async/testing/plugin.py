"""The pytest plugin.

**The fixture** `sms_sandbox` serves a new sandbox for one test, and sets `SMSAPI_BASE_URL`, `SMSAPI_LOGIN`,
`SMSAPI_PASSWORD` and `SMSAPI_SOURCE_ADDRESS`, so that `AsyncSmsClient.from_env()` talks to the sandbox. The
fixture is synchronous: it works in tests without a plugin and with pytest-asyncio, AnyIO or trio.

    def test_login_code(sms_sandbox):
        request_login_code("79031234567")  # the application, which uses `AsyncSmsClient.from_env()`
        assert sms_sandbox.code_to("79031234567") == "4821"

    @pytest.mark.sms_sandbox(balance=0)
    def test_no_money(sms_sandbox): ...

The marker `sms_sandbox` takes the keyword arguments of `run_sandbox` and `Sandbox`. `faults` may also be a
list of kinds of fault, one for each request, or a mapping with the keys of the file of a fault plan. A test
with the marker gets a sandbox even if the test does not name the fixture.

**The guard** blocks each request of this package to a host beyond loopback, before anything is written: the
client raises `RealSendBlocked`. The test fails even if the application handles the error. The guard also
works in the processes that a test starts, because they inherit the environment variables `SMSAPI_GUARD` and
`SMSAPI_GUARD_FILE`. A transport of the caller that does not use the network (a mock, ASGI) passes. To allow
real requests, mark a test with `@pytest.mark.sms_real`, run pytest with `--sms-guard=off` or
`--no-sms-guard`, or set `sms_guard = false` in the configuration of pytest.

pytest imports this module at each start, also for tests that send no SMS. So the module imports neither the
client nor the sandbox.
"""

import argparse
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from smsapi_async.guard import Guard, switch

if TYPE_CHECKING:
    from smsapi_async.sandbox import Sandbox

_GUARD = pytest.StashKey[Guard | None]()
_LATE = pytest.StashKey[list[str]]()
_MARKERS = (
    "sms_sandbox(**arguments): serve a sandbox with these arguments of `run_sandbox` and `Sandbox`",
    "sms_real: let smsapi-async make real requests in the test; the gateway bills each message",
)
_ON = {"on", "true", "yes", "1"}
_OFF = {"off", "false", "no", "0"}


@pytest.fixture
def sms_sandbox(request: pytest.FixtureRequest) -> "Iterator[Sandbox]":
    """A sandbox gateway for one test. `AsyncSmsClient.from_env()` sends to the sandbox."""
    # The import is inside the function, because pytest imports this module at each start.
    from smsapi_async.testing.fixtures import served  # noqa: PLC0415

    with served(request.node.iter_markers("sms_sandbox")) as sandbox:
        yield sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the setting of the guard."""
    group = parser.getgroup("smsapi-async")
    group.addoption(
        "--sms-guard",
        dest="sms_guard",
        nargs="?",
        type=_switch,
        const=True,
        metavar="on|off",
        help="on: block the requests of smsapi-async to hosts beyond loopback (default); off: allow them",
    )
    group.addoption(
        "--no-sms-guard", dest="sms_guard", action="store_false", default=None, help="same as --sms-guard=off"
    )
    parser.addini(
        "sms_guard", "block the requests of smsapi-async to hosts beyond loopback", "bool", default=True
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and switch the guard on or off."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    given = config.getoption("sms_guard")
    is_on = bool(config.getini("sms_guard") if given is None else given)
    guard = config.stash[_GUARD] = Guard.with_file() if is_on else None
    previous = switch(guard)
    config.add_cleanup(lambda: _end(guard, previous))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the marker `sms_sandbox` also request the fixture."""
    names = getattr(item, "fixturenames", None)
    if names is not None and "sms_sandbox" not in names and item.get_closest_marker("sms_sandbox"):
        names.insert(0, "sms_sandbox")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Switch the guard off for a test with the marker `sms_real`."""
    if item.config.stash[_GUARD] is None or item.get_closest_marker("sms_real") is None:
        return (yield)
    guard = switch(None)
    try:
        return (yield)
    finally:
        switch(guard)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test with blocked requests, even if the application handled the errors."""
    report = yield
    guard = item.config.stash[_GUARD]
    hosts = guard.reported() if guard is not None else []
    if hosts:
        from smsapi_async.testing.reports import with_blocked  # noqa: PLC0415 - see `sms_sandbox`

        report = with_blocked(report, item, call, hosts)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a request was blocked outside the tests, for example during the collection."""
    guard = session.config.stash[_GUARD]
    hosts = session.config.stash[_LATE] = guard.reported() if guard is not None else []
    if hosts and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the requests that were blocked outside the tests."""
    if hosts := config.stash.get(_LATE, []):
        from smsapi_async.testing.reports import described  # noqa: PLC0415 - see `sms_sandbox`

        terminalreporter.section("sms guard")
        terminalreporter.line(f"outside the tests, {described(hosts)}")


def _switch(word: str) -> bool:
    if word.lower() not in _ON | _OFF:
        raise argparse.ArgumentTypeError("pass on or off, for example --sms-guard=off")
    return word.lower() in _ON


def _end(guard: Guard | None, previous: Guard | None) -> None:
    switch(previous)
    if guard is not None:
        guard.remove_file()
