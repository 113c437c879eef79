"""Tests that `incoming --follow` prints each message once, even after Ctrl-C and a second run."""

import json
import os
import signal
from pathlib import Path

import anyio
import pytest

from smsapi_async.cli import main
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.watching import WatchOptions, watch_messages
from smsapi_async.client import AsyncSmsClient
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.cli.conftest import Cli
from tests.cli.test_process import started

FOLLOW = ["incoming", "--follow", "--every", "0.05"]


@pytest.mark.usefixtures("environment")
def test_interrupted_and_taken_up(gateway: Sandbox, tmp_path: Path) -> None:
    """After Ctrl-C, `incoming --follow` returns exit code 0.

    A second run with the ledger of the first run does not print a message again.
    """
    since = gateway.now().isoformat()
    command = [*FOLLOW, "--json", "--since", since, "--ledger", str(tmp_path / "in.db")]
    for texts in (["Да", "two\nlines"], ["three"]):
        process = started(*command)
        assert process.stdout is not None
        for text in texts:
            gateway.receive("79031234567", text=text)
            document = json.loads(process.stdout.readline())
            assert (document["text"], document["source_address"]) == (text, "79031234567")
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "")
        assert process.returncode == ExitCode.DONE


@pytest.mark.anyio
async def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """`incoming --follow` prints one line for each message, in order.

    `incoming --follow` prints control characters in a text as escape sequences.
    """
    async with run_sandbox() as sandbox:
        since = sandbox.now()
        for text in ("one\ntwo", "\x1b[2Jthree"):
            sandbox.receive("79031234567", text=text)
        client = AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url)
        async with anyio.create_task_group() as group:
            first = sandbox.hold("Sms/In")
            group.start_soon(watch_messages, WatchOptions(since=since, every=0.01), client)
            await first.arrived()
            with sandbox.hold("Sms/In") as second:
                first.release()
                await second.arrived()
                os.kill(os.getpid(), signal.SIGTERM)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1:] for line in lines] == [
        ["79031234567", "79160000000", "one two"],
        ["79031234567", "79160000000", "\\x1b[2Jthree"],
    ]


@pytest.mark.usefixtures("environment")
def test_refused_credentials(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the gateway refuses the credentials, `incoming --follow` prints one line and returns exit code 3."""
    monkeypatch.setenv("SMSAPI_PASSWORD", "another")
    outcome = cli(*FOLLOW)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (ExitCode.REJECTED, "", 1)


@pytest.mark.usefixtures("environment")
def test_a_reader_that_has_gone_away(
    gateway: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If a message cannot be printed, `incoming --follow` ends, and the next run prints the message."""
    since = gateway.now().isoformat()
    gateway.receive("79031234567", text="one")
    command = [*FOLLOW, "--json", "--since", since, "--ledger", str(tmp_path / "in.db")]
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        assert main(command) == ExitCode.UNEXPECTED
    assert "could not be written (OSError)" in capsys.readouterr().err
    process = started(*command)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["text"] == "one"
    process.send_signal(signal.SIGINT)
    process.communicate()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--follow", "--until", "2031-01-28T16:00:00Z"], "--until"),
        (["--follow", "--every", "0"], "--every"),
        (["--follow", "--ledger", "NOT_A_LEDGER"], "not a ledger"),
        (["--ledger", "in.db"], "--follow"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_bad_input(cli: Cli, gateway: Sandbox, tmp_path: Path, options: list[str], words: str) -> None:
    """If an option is invalid, `incoming` returns exit code 2 and makes no request."""
    text = tmp_path / "text.db"
    text.write_text("no ledger")
    outcome = cli("incoming", *[str(text) if each == "NOT_A_LEDGER" else each for each in options])
    assert (outcome.code, outcome.out) == (ExitCode.BAD_INPUT, "")
    assert words in outcome.err
    assert not gateway.account.arrivals


@pytest.mark.usefixtures("environment")
def test_a_ledger_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    """If the ledger cannot be written, `incoming --follow` says so, and says nothing about sending."""
    outcome = cli(*FOLLOW, "--ledger", str(tmp_path / "no directory" / "in.db"))
    assert outcome.code == ExitCode.BAD_INPUT
    assert "in.db" in outcome.err
    assert "sen" not in outcome.err.split("in.db")[1]


@pytest.mark.usefixtures("environment")
def test_a_ledger_that_is_renamed(gateway: Sandbox, tmp_path: Path) -> None:
    """If the ledger is renamed during the run, `incoming --follow` ends, and does not say "no request"."""
    path = tmp_path / "in.db"
    process = started(*FOLLOW, "--json", "--since", gateway.now().isoformat(), "--ledger", str(path))
    assert process.stdout is not None
    gateway.receive("79031234567", text="one")
    assert process.stdout.readline()
    path.rename(tmp_path / "other.db")
    gateway.receive("79031234567", text="two")
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (ExitCode.UNEXPECTED, 1)
    assert "in.db was deleted, renamed, replaced or truncated" in err
