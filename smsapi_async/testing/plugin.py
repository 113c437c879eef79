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
list of kinds of fault, one for each request, or a mapping with the keys of the file of a fault plan. The
first request of a client is its login, so `faults=["pass", "reset-after-pass"]` is a fault of the first send.
A test with the marker gets a sandbox even if the test does not name the fixture. The markers of a parameter
set, of a test, of its class and of its module are merged: for each argument, the first of them counts.

During the test, no other variable `SMSAPI_*` of the environment is set, and the command line reads no
configuration file of the user.

**The guard** blocks each request of this package to a host beyond loopback, before anything is written: the
client raises `RealSendBlocked`. The test fails even if the application handles the error. The run fails, too,
if the request is made outside the tests: in a conftest, during the collection, or after the last test. The
guard also works in the processes that a test starts, because they inherit the environment variables
`SMSAPI_GUARD` and `SMSAPI_GUARD_FILE`. A transport of the caller that does not use the network (a mock, ASGI)
passes.

Beyond loopback are all hosts except 127.0.0.0/8, ::1 and the name localhost: also the names and addresses of
containers, and a proxy. To allow real requests, mark a test with `@pytest.mark.sms_real`, run pytest with
`--sms-guard=off` or `--no-sms-guard`, or set `sms_guard = false` in the configuration of pytest. The marker
is stronger than the option, and the option is stronger than the configuration. The marker covers the test
with the setup and the teardown of its fixtures, and can also mark a class or a module. The option
`-p no:smsapi_async` switches the whole plugin off.

Tests without pytest, for example those of `python -m unittest`, have no guard unless the environment variable
`SMSAPI_GUARD` is 1.

pytest imports this module at each start, also for tests that send no SMS. So the module imports neither the
client nor the sandbox.
"""

import argparse
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from smsapi_async.guard import Guard, end, switch

if TYPE_CHECKING:
    from smsapi_async.guard.blocked_requests import BlockedRequest
    from smsapi_async.sandbox import Sandbox

_GUARD = pytest.StashKey[Guard | None]()
_OUTSIDE = pytest.StashKey[list[str]]()
_SESSION = pytest.StashKey[pytest.Session]()
_RESTORE = pytest.StashKey[Callable[[], None]]()
_MARKERS = (
    "sms_sandbox(**arguments): serve a sandbox with these arguments of `run_sandbox` and `Sandbox`",
    "sms_real: let smsapi-async make real requests in the test; the gateway bills each message",
)
_ON = {"on", "true", "yes", "1"}
_OFF = {"off", "false", "no", "0"}
# The key of `workeroutput`, with which a worker of pytest-xdist tells the main process what was blocked.
_WORKER_KEY = "smsapi_async_blocked"


@pytest.fixture
def sms_sandbox(request: pytest.FixtureRequest) -> "Iterator[Sandbox]":
    """A sandbox gateway for one test. `AsyncSmsClient.from_env()` sends to the sandbox."""
    # The import is inside the function, because pytest imports this module at each start.
    from smsapi_async.testing.fixtures import closest_first, served  # noqa: PLC0415

    problem = ""
    try:
        with served(closest_first(request.node)) as (sandbox, environment):
            request.node.stash[_RESTORE] = environment.restore_again
            yield sandbox
    except pytest.UsageError as error:
        problem = str(error)
    if problem:
        # The traceback would show this package, and not the marker.
        pytest.fail(problem, pytrace=False)


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


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Switch the guard on before pytest imports the first conftest."""
    _begin(early_config, early_config.known_args_namespace)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and switch the guard on if the plugin was loaded late."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if _GUARD not in config.stash:
        _begin(config, config.option)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the marker `sms_sandbox` also request the fixture."""
    names = getattr(item, "fixturenames", None)
    if names is not None and "sms_sandbox" not in names and item.get_closest_marker("sms_sandbox"):
        names.insert(0, "sms_sandbox")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail the collection of a file with blocked requests, for example of a module that sends."""
    _note_outside(collector.config)
    report = yield
    if blocked := _reported(collector.config):
        from smsapi_async.testing.reports import with_blocked_in_collection  # noqa: PLC0415 - see `sms_sandbox`

        with_blocked_in_collection(report, blocked)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Switch the guard off for a test with the marker `sms_real`."""
    # A request between two tests, for example of a thread, does not fail the next test.
    _note_outside(item.config)
    if item.config.stash[_GUARD] is None or item.get_closest_marker("sms_real") is None:
        return (yield)
    guard = switch(None)
    try:
        return (yield)
    finally:
        switch(guard)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Remove the variables of the sandbox again, if the fixture `monkeypatch` has restored them."""
    try:
        return (yield)
    finally:
        if _RESTORE in item.stash:
            item.stash[_RESTORE]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test with blocked requests, even if the application handled the errors."""
    report = yield
    if blocked := _reported(item.config):
        from smsapi_async.testing.reports import with_blocked  # noqa: PLC0415 - see `sms_sandbox`

        report = with_blocked(report, item, call, blocked)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Get the requests that a worker of pytest-xdist blocked outside the tests."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    config.stash[_OUTSIDE] += getattr(node, "workeroutput", {}).get(_WORKER_KEY, [])


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Fail the run if a request was blocked outside the tests, for example in a hook of a conftest."""
    try:
        return (yield)
    finally:
        config = session.config
        config.stash[_SESSION] = session
        _note_outside(config)
        if hasattr(config, "workeroutput"):
            config.workeroutput[_WORKER_KEY] = config.stash[_OUTSIDE]
        _fail_run(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the requests that were blocked outside the tests."""
    if outside := config.stash.get(_OUTSIDE, []):
        from smsapi_async.testing.reports import described  # noqa: PLC0415 - see `sms_sandbox`

        terminalreporter.section("sms guard")
        terminalreporter.line(f"outside the tests, {described(outside)}")


def _begin(config: pytest.Config, options: argparse.Namespace) -> None:
    given = getattr(options, "sms_guard", None)
    try:
        is_on = bool(config.getini("sms_guard") if given is None else given)
    except (ValueError, pytest.UsageError):
        # The error of pytest does not name the setting.
        raise pytest.UsageError("sms_guard in the configuration of pytest must be true or false") from None
    guard = config.stash[_GUARD] = Guard.with_file() if is_on else None
    config.stash[_OUTSIDE] = []
    previous = switch(guard)
    config.add_cleanup(lambda: _end(config, guard, previous))


def _reported(config: pytest.Config) -> "list[BlockedRequest]":
    guard = config.stash[_GUARD]
    return guard.reported() if guard is not None else []


def _note_outside(config: pytest.Config) -> None:
    config.stash[_OUTSIDE] += map(str, _reported(config))


def _fail_run(config: pytest.Config) -> None:
    session = config.stash.get(_SESSION, None)
    codes = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    if session is not None and config.stash[_OUTSIDE] and session.exitstatus in codes:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _end(config: pytest.Config, guard: Guard | None, previous: Guard | None) -> None:
    # The summary is printed already.
    for blocked in _reported(config):
        config.stash[_OUTSIDE].append(str(blocked))
        blocked.print_late()
    _fail_run(config)
    end(guard, previous)


def _switch(word: str) -> bool:
    if word.lower() not in _ON | _OFF:
        # Without "=", argparse takes the path of a test as the value.
        raise argparse.ArgumentTypeError("write --sms-guard=on or --sms-guard=off")
    return word.lower() in _ON
