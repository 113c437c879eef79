"""Tests of the command line with real streams, signals and terminals, mostly in a separate process."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import anyio
import httpx
import pytest

from smsapi_async.cli import main, signals
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.signals import signal_receiver
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import PASSWORD, Cli

TO = "79037776655"
PROGRAM = [sys.executable, "-m", "smsapi_async"]
pytestmark = pytest.mark.usefixtures("environment")


def started(*argv: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a new process with the `options` of `subprocess.Popen`, and return the process."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*PROGRAM, *argv], text=True, **{**streams, **options})


def test_send_in_a_process(gateway: Sandbox) -> None:
    """`send` prints the segment ids, even if the encoding of standard output is ASCII."""
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = started("send", TO, "Привет", env=ascii_only)
    out, err = process.communicate()
    (message,) = gateway.account.messages
    assert (process.returncode, err) == (0, "")
    assert message.segment_ids[0] in out


def test_no_password_and_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a password and without a terminal, a command prints one error line and returns exit code 2."""
    monkeypatch.delenv("SMSAPI_PASSWORD")
    process = started("balance")
    out, err = process.communicate()
    assert (process.returncode, out, err.count("\n")) == (ExitCode.BAD_INPUT, "", 1)
    assert "SMSAPI_PASSWORD" in err


@pytest.mark.parametrize(
    ("held", "words"),
    [("User/SessionId", "nothing was sent"), ("Sms/Send", "OUTCOME UNKNOWN: the message may have been sent")],
)
def test_send_interrupted(gateway: Sandbox, held: str, words: str) -> None:
    """After Ctrl-C during the login, the error line says that nothing was sent.

    After Ctrl-C during the send, the error line says that the outcome is unknown.
    """
    gate = gateway.hold(held)
    process = started("send", TO, "Hello")
    anyio.run(gate.arrived)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (ExitCode.INTERRUPTED, "")
    assert words in err
    assert err.count("\n") == 1


def test_result_cannot_be_written(gateway: Sandbox) -> None:
    """If standard output is closed, the error line of `send` says that the send was carried out."""
    reader, writer = os.pipe()
    os.close(reader)
    process = started("send", TO, "Hello", stdout=writer)
    os.close(writer)
    _, err = process.communicate()
    assert process.returncode == ExitCode.UNEXPECTED
    assert err.count("\n") == 1
    assert "was carried out, but its result could not be written (BrokenPipeError)" in err
    assert len(gateway.account.messages) == 1


def test_prompt_on_a_terminal(gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, a command asks for the password and then prints its result.

    The terminal does not show the password that the user types.
    """
    pty = pytest.importorskip("pty")
    monkeypatch.delenv("SMSAPI_PASSWORD")
    ours, theirs = pty.openpty()
    process = started("balance", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = read_until(ours, "Password of somebody: ")
    os.write(ours, PASSWORD.encode() + b"\n")
    shown += read_until(ours, "100.00")
    assert process.wait() == 0
    os.close(ours)
    assert PASSWORD not in shown


def read_until(terminal: int, words: str) -> str:
    """Read the output of a terminal until it contains `words`, and return the output."""
    shown = ""
    while words not in shown:
        shown += os.read(terminal, 1024).decode()
    return shown


@contextmanager
def running_sandbox(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command `sandbox`, and yield its process and the output so far.

    Without the option `--port`, the port is a free port.
    """
    process = started("sandbox", *([] if "--port" in options else ["--port", "0"]), *options)
    assert process.stdout is not None
    end = "}\n" if "--json" in options else "Hello'\n"
    announced = ""
    while not announced.endswith(end):
        line = process.stdout.readline()
        assert line, "the sandbox ended early"
        announced += line
    try:
        yield process, announced
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_sandbox_for_programs(cli: Cli, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals) -> None:
    """`sandbox --json` prints the address of the sandbox and serves other processes.

    After SIGINT, SIGTERM or SIGHUP, `sandbox --json` prints nothing more and returns exit code 0.
    """
    with running_sandbox("--json", "--speed", "60") as (process, announced):
        document = json.loads(announced)
        assert document["speed"] == 60
        monkeypatch.setenv("SMSAPI_PASSWORD", document["password"])
        options = ["--base-url", document["base_url"], "--login", document["login"]]
        assert cli("balance", *options, "--json").document == {"balance": "10000"}
        process.send_signal(ending)
        assert process.communicate() == ("", "")
        assert process.returncode == 0


def test_the_account_of_the_sandbox(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sandbox` has options for the money on the account, the price of a segment, and the latency."""
    with running_sandbox("--json", "--balance", "10", "--price", "3.20", "--latency", "50ms") as (
        _,
        announced,
    ):
        document = json.loads(announced)
        assert (document["balance"], document["price"], document["latency"]) == ("10", "3.20", 0.05)
        monkeypatch.setenv("SMSAPI_PASSWORD", document["password"])
        account = ["--base-url", document["base_url"], "--login", document["login"], "--json"]
        (segment_id,) = cli("send", TO, "Hello", *account).document["segment_ids"]
        assert cli("balance", *account).document == {"balance": "6.80"}
        sleep(1.2)  # The state is known one second after the acceptance.
        assert cli("state", segment_id, *account).document["states"][0]["price"] == "3.20"
        began = monotonic()
        assert cli("bulk", "Hello", TO, "79031234567", "79031234568", *account).code == ExitCode.REJECTED
        # The command makes two requests: the login and the send.
        assert monotonic() - began >= 0.1


def test_the_sandbox_pushes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sandbox --push-url` pushes the reply of a recipient to a handler on this computer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/sms"
        with running_sandbox("--json", "--speed", "100", "--push-url", url) as (_, announced):
            document = json.loads(announced)
            monkeypatch.setenv("SMSAPI_PASSWORD", document["password"])
            account = ["--base-url", document["base_url"], "--login", document["login"], "--json"]
            cli("send", "79031234700", "Hello", *account)
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as request:
                assert request.readline() == b"POST /sms HTTP/1.1\r\n"


def test_the_dialect_of_the_sandbox() -> None:
    """`sandbox --dialect latest` serves version 2, and `--source-address` lists the allowed addresses."""
    options = ["--dialect", "latest", "--source-address", "My Shop", "--source-address", "79160000000"]
    with running_sandbox("--json", *options) as (_, announced):
        document = json.loads(announced)
        assert (document["dialect"], document["source_addresses"]) == ("latest", ["My Shop", "79160000000"])
        fields = {"Login": document["login"], "Password": document["password"], "Data": "Hi"}
        statuses = [
            httpx.post(
                f"{document['base_url']}/v2/Sms/Send",
                json={**fields, "DestinationAddress": TO, "SourceAddress": source},
            ).status_code
            for source in ("My Shop", "79160000000", "ACME")
        ]
        assert statuses == [200, 200, 400]
    with running_sandbox(*options) as (_, announced):
        assert "version 2" in announced
        assert "--gateway-time-zone +00:00" in announced
        assert "export SMSAPI_SOURCE_ADDRESS='My Shop'\n" in announced


def test_the_usual_dialect_of_the_sandbox() -> None:
    """Without options, `sandbox` follows the contract and accepts every valid source address."""
    with running_sandbox("--json") as (_, announced):
        document = json.loads(announced)
        assert (document["dialect"], document["source_addresses"]) == ("contract", None)
        assert httpx.get(f"{document['base_url']}/v2/User/Balance").status_code == 404


def test_sandbox_for_people() -> None:
    """`sandbox` prints the shell commands that set the environment variables for its account."""
    with running_sandbox() as (_, announced):
        assert "export SMSAPI_BASE_URL=http://127.0.0.1:" in announced
        assert "export SMSAPI_LOGIN=sandbox SMSAPI_PASSWORD=" in announced
        assert "--gateway-time-zone" not in announced


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("127.0.0.1", "127.0.0.1")],  # noqa: S104
)
def test_addresses_of_the_sandbox(host: str, shown: str) -> None:
    """`sandbox` prints only addresses that can be opened, and says if it listens on all interfaces."""
    with running_sandbox("--host", host) as (_, announced):
        addresses = re.findall(r"http://\S+?(?=:[0-9]+/)", announced)
        assert set(addresses) == {f"http://{shown}"}
        assert ("all network interfaces" in announced) is (host in {"0.0.0.0", "::"})  # noqa: S104


@pytest.mark.parametrize(
    ("host", "beginning"),
    [
        ("127.0.0.1", "smsapi-async: --port: "),
        ("no.such.host.invalid", "smsapi-async: --host: no.such.host.invalid cannot be used; "),
        ("203.0.113.5", "smsapi-async: --host: 203.0.113.5 cannot be used; "),
    ],
)
def test_sandbox_cannot_listen(cli: Cli, host: str, beginning: str) -> None:
    """If the port or the network address cannot be used, `sandbox` says so and returns exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = cli("sandbox", "--port", str(taken.getsockname()[1]), "--host", host)
    assert outcome.code == ExitCode.BAD_INPUT
    assert outcome.err.startswith(beginning)
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("host", ["*", "http://sms.example", ""])
def test_no_host_name(cli: Cli, host: str) -> None:
    """If `--allow-host` gets no host name, `sandbox` prints one line and returns exit code 2."""
    outcome = cli("sandbox", "--port", "0", "--allow-host", host)
    assert outcome.code == ExitCode.BAD_INPUT
    assert "--allow-host" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_sandbox_in_this_process(cli: Cli, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    """After SIGINT, `sandbox` returns exit code 0, and its two ports accept no connection."""
    real = signal_receiver

    @contextmanager
    def receiver() -> Iterator[Any]:
        with real() as received:
            signal.raise_signal(signal.SIGINT)
            yield received

    monkeypatch.setattr(signals, "signal_receiver", receiver)
    outcome = cli("sandbox", "--port", "0", *options)
    assert (outcome.code, outcome.err) == (ExitCode.DONE, "")
    ports = set(re.findall(r"127\.0\.0\.1:(\d+)", outcome.out.split("export")[0]))
    assert len(ports) == 2
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)))


def test_sandbox_without_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the sandbox cannot receive signals, as in a thread, it runs until the waiting task ends."""

    async def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(anyio, "sleep_forever", interrupted)
    with ThreadPoolExecutor() as pool:
        assert pool.submit(main, ["sandbox", "--port", "0"]).result() == ExitCode.INTERRUPTED


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_result_cannot_be_written_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    """If the disk is full, the error line says that the result could not be written to standard output."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main(["balance", *options]) == ExitCode.UNEXPECTED
    assert "could not be written (OSError)" in capsys.readouterr().err


def test_json_for_an_ascii_terminal(monkeypatch: pytest.MonkeyPatch, gateway: Sandbox) -> None:
    """The JSON output is correct even if standard output is ASCII and the text of a message has an emoji."""
    gateway.receive("79031234567", text="Да 😀")
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["incoming", "--json"]) == ExitCode.DONE
    assert json.loads(written.getvalue())["incoming"][0]["text"] == "Да 😀"
