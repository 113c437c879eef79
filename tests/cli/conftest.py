"""Fixtures for the command line: a sandbox, environment variables, and a function that runs a command."""

import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from anyio.from_thread import start_blocking_portal

from smsapi_async import client, settings
from smsapi_async.cli import main
from smsapi_async.sandbox import Sandbox, run_sandbox

PASSWORD = "the-password-of-this-account"
# The tests remove these environment variables of the library Rich, so that the output of a command does not
# depend on the terminal.
_OF_RICH = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES")


@attrs.frozen
class Outcome:
    """The exit code of a command and its output: standard output (`out`) and standard error (`err`)."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document that the command has printed on standard output."""
        return json.loads(self.out)


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables of smsapi-async and of Rich, and make standard input empty.

    The configuration file of the developer is not read: the usual place has no file.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent-configuration")
    for name in [*_OF_RICH, *(name for name in os.environ if name.startswith("SMSAPI_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def gateway() -> Iterator[Sandbox]:
    """Yield a sandbox that listens on a socket and has an account with the balance 100."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            run_sandbox(login="somebody", password=PASSWORD, balance="100")
        ) as sandbox,
    ):
        yield sandbox


@pytest.fixture
def environment(gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment variables for the account of the sandbox, and return their names and values."""
    variables = {
        "SMSAPI_BASE_URL": gateway.base_url,
        "SMSAPI_LOGIN": gateway.login,
        "SMSAPI_PASSWORD": gateway.password,
        "SMSAPI_SOURCE_ADDRESS": "ACME",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return a function that runs a command of smsapi-async in this process and returns its `Outcome`.

    The returned function fails if the command prints the password.
    """

    def run(*argv: str) -> Outcome:
        code = main(argv)
        captured = capsys.readouterr()
        assert PASSWORD not in captured.out + captured.err
        return Outcome(int(code), captured.out, captured.err)

    return run


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit clients to one attempt for each request, so that a command without a gateway fails at once."""
    monkeypatch.setattr(client, "RetryPolicy", lambda: settings.RetryPolicy(attempts=1))
