"""A sandbox on a socket, an environment that points at it, and commands run in this process."""

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
_OF_RICH = ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES")


@attrs.frozen
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as JSON; money stays text."""
        return json.loads(self.out)


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account and no terminal in the environment, and nothing on standard input."""
    for name in [*_OF_RICH, *(name for name in os.environ if name.startswith("SMSAPI_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def gateway() -> Iterator[Sandbox]:
    """A sandbox on a socket with an account of 100."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            run_sandbox(login="somebody", password=PASSWORD, balance="100")
        ) as sandbox,
    ):
        yield sandbox


@pytest.fixture
def environment(gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The four variables, set for the sandbox."""
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
    """Runs a command in this process; no output may ever hold the password."""

    def run(*argv: str) -> Outcome:
        code = main(argv)
        captured = capsys.readouterr()
        assert PASSWORD not in captured.out + captured.err
        return Outcome(int(code), captured.out, captured.err)

    return run


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients attempt everything once, so that failing takes no time."""
    monkeypatch.setattr(client, "RetryPolicy", lambda: settings.RetryPolicy(attempts=1))
