"""Tests of the command ``worker``, and of ``postgres status``, ``resume`` and ``fence``."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from anyio.abc import Process

from smsapi_async.cli import livez
from smsapi_async.cli.livez import Heartbeat, livez_server
from smsapi_async.ledger import Ledger, Summary
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.ledger.tools import Place
from tests.postgres.server import PASSWORD, Server
from tests.postgres.worker.tools import fill, messages

pytestmark = pytest.mark.anyio
COMMAND = [sys.executable, "-m", "smsapi_async"]


def environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the environment of a command that uses a sandbox."""
    account = {"LOGIN": sandbox.login, "PASSWORD": sandbox.password, "BASE_URL": sandbox.base_url}
    return {**os.environ, **{f"SMSAPI_{name}": value for name, value in account.items()}}


async def run(sandbox: Sandbox, *arguments: str) -> tuple[int, Any, str]:
    """Run a command with ``--json``, and return its exit code, its document and its standard error."""
    done = await anyio.run_process([*COMMAND, *arguments, "--json"], env=environment(sandbox), check=False)
    assert PASSWORD.encode() not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr.decode()


@asynccontextmanager
async def running(sandbox: Sandbox, *arguments: str) -> AsyncIterator[Process]:
    """Run the command ``worker`` during the block."""
    async with await anyio.open_process(
        [*COMMAND, "worker", *arguments], env=environment(sandbox), stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def until(is_reached: Callable[[], Any]) -> None:
    """Wait until a condition is true."""
    with anyio.fail_after(30):
        while True:
            reached = is_reached()
            if hasattr(reached, "__await__"):
                reached = await reached
            if reached:
                return
            await anyio.sleep(0.02)


async def test_once(server: Server, place: Place, account: str) -> None:
    """``worker --once`` sends what is due, prints the counts, and ends; exit code 3 means a pause."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(5))
        worker = ("worker", server.dsn(), "--account", account, "--once")
        code, document, _ = await run(sandbox, *worker)
        assert (code, document) == (0, {"accepted": 5, "rejected": 0, "unknown": 0, "segments": 5})
        code, document, _ = await run(sandbox, "worker", f"{server.dsn()}&account={account}", "--once")
        assert (code, document["accepted"]) == (0, 0)
        sandbox.balance = 0
        await fill(server, account, ledger, messages(2, first=5))
        code, document, errors = await run(sandbox, *worker)
        assert (code, document["error"]["name"], document["accepted"]) == (3, "rejected", 0)
        assert "code 5" in errors
        code, document, _ = await run(sandbox, "postgres", "status", server.dsn(), "--account", account)
        assert code == 0
        assert (document["pause_code"], document["queued"], document["accepted"]) == (5, 2, 5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_signals(server: Server, place: Place, account: str, number: signal.Signals) -> None:
    """After a signal, the requests in flight get their outcomes, and the rest stays pending."""
    async with run_sandbox(latency=0.3) as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(30))
        options = ("--account", account, "--concurrency", "2")
        async with running(sandbox, server.dsn(), *options) as process:
            await until(lambda: len(sandbox.account.messages) >= 3)
            process.send_signal(number)
            with anyio.fail_after(20):
                assert await process.wait() == 0
        sent = len(sandbox.account.messages)
        assert sent < 30
        assert await ledger.summary() == Summary(accepted=sent, pending=30 - sent, segments=sent)


async def test_a_paused_worker_waits(server: Server, place: Place, account: str) -> None:
    """A worker whose account is paused does not end: it goes on after ``postgres resume``."""
    async with run_sandbox(balance=3, price=1) as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(6))
        async with running(sandbox, server.dsn(), "--account", account) as process:
            await until(ledger.paused)  # type: ignore[attr-defined]
            sandbox.balance = 100
            await anyio.sleep(1.5)
            assert len(sandbox.account.messages) == 3
            resume = ("postgres", "resume", server.dsn(), "--account", account)
            code, document, _ = await run(sandbox, *resume)
            assert (code, document["resumed"], document["pause_code"]) == (0, True, 5)
            await until(lambda: len(sandbox.account.messages) == 6)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            assert process.stderr is not None
            shown = b"".join([each async for each in process.stderr]).decode()
        assert "paused: the gateway refused (code 5" in shown
        assert "postgres resume" in shown
        code, document, _ = await run(sandbox, *resume)
        assert (code, document["resumed"]) == (0, False)


async def test_a_worker_outlives_the_server(server: Server, place: Place, account: str) -> None:
    """A worker that starts while the server is away, or whose server crashes, sends when it is back."""
    async with run_sandbox() as sandbox, place() as ledger:
        await anyio.to_thread.run_sync(server.stop)
        try:
            async with running(sandbox, server.dsn(), "--account", account) as process:
                await anyio.sleep(1.5)
                assert process.returncode is None
                await anyio.to_thread.run_sync(server.start)
                await fill(server, account, ledger, messages(2))
                await until(lambda: len(sandbox.account.messages) == 2)
                await anyio.to_thread.run_sync(server.restart)
                await fill(server, account, ledger, messages(2, first=2))
                await until(lambda: len(sandbox.account.messages) == 4)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        finally:
            await anyio.to_thread.run_sync(server.start)


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_livez(server: Server, place: Place, account: str, tmp_path: Path) -> None:
    """The health check of a running worker answers 200, and its file is written again and again."""
    port, file = free_port(), tmp_path / "livez"
    options = ("--account", account, "--livez-port", str(port), "--livez-file", str(file))
    async with (
        run_sandbox() as sandbox,
        place(),
        httpx.AsyncClient() as http,
        running(sandbox, server.dsn(), *options) as process,
    ):
        # A file without its text has a time already, and gets another time with the text.
        await until(lambda: file.exists() and file.read_text("ascii"))
        first = file.stat().st_mtime_ns
        await until(lambda: file.stat().st_mtime_ns > first)

        async def sends() -> bool:
            response = await http.get(f"http://127.0.0.1:{port}/livez")
            assert response.status_code == 200
            assert response.json() in [{"alive": True, "state": each} for each in ("starting", "sending")]
            return bool(response.json()["state"] == "sending")

        await until(sends)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_a_worker_that_does_not_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a worker has not looked at its queue for 30 seconds, the health check answers 503."""
    heartbeat, port = Heartbeat(None), free_port()
    async with httpx.AsyncClient() as http, livez_server(port, heartbeat, lambda: "sending"):
        assert (await http.get(f"http://127.0.0.1:{port}")).status_code == 200
        now = monotonic()
        monkeypatch.setattr(livez, "monotonic", lambda: now + 31)
        assert (await http.get(f"http://127.0.0.1:{port}")).status_code == 503
        heartbeat.beat()
        assert (await http.get(f"http://127.0.0.1:{port}")).status_code == 200


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        (["--livez-port", "0"], "--livez-port"),
        (["--livez-file", "/no/such/folder/livez"], "--livez-file"),
        (["--per-second", "0"], "--per-second"),
        (["--concurrency", "0"], "--concurrency"),
    ],
)
async def test_bad_input(server: Server, account: str, options: list[str], parameter: str) -> None:
    """A wrong option ends the worker with exit code 2, and names the option."""
    async with run_sandbox() as sandbox:
        code, document, _ = await run(
            sandbox, "worker", server.dsn(), "--account", account, "--once", *options
        )
    assert (code, document["error"]["parameter"]) == (2, parameter)


async def test_per_second(server: Server, place: Place, account: str) -> None:
    """``--per-second`` limits the requests."""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(11))
        await run(sandbox, "worker", server.dsn(), "--account", account, "--once", "--per-second", "10")
        times = [each.accepted_at for each in sandbox.account.messages]
        assert len(times) == 11
        assert (times[-1] - times[0]).total_seconds() > 0.8


async def test_fence_of_all_accounts(account: str, server: Server) -> None:
    """``postgres fence`` makes the pending messages of an account unknown."""
    async with run_sandbox() as sandbox, Ledger.postgres(server.dsn(), account=account) as ledger:
        await fill(server, account, ledger, messages(3))
        code, document, _ = await run(sandbox, "postgres", "fence", server.dsn(), "--account", account)
        assert (code, document) == (0, {"messages": 3, "accounts": {account: 3}})
        assert await ledger.summary() == Summary(unknown=3)
        await fill(server, account, ledger, messages(2, first=3))
        code, document, _ = await run(sandbox, "postgres", "fence", server.dsn())
        assert (code, document["accounts"][account]) == (0, 2)


@pytest.mark.parametrize("command", ["resume", "fence"])
async def test_an_account_that_does_not_exist(server: Server, account: str, command: str) -> None:
    """A misspelt account is an error of `postgres resume` and `fence`, and is not created."""
    done = await anyio.run_process(
        [*COMMAND, "postgres", command, server.dsn(), "--account", account], check=False
    )
    assert done.returncode == 2
    assert f"there is no account '{account}'".encode() in done.stderr
    assert server.rows("SELECT 1 FROM smsapi.accounts WHERE name = %s", account) == []


def _read(terminal: int) -> str:
    """Return what a process has written to its terminal, or "" after the end of the process."""
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:
        return ""


async def test_the_line_on_a_terminal(server: Server, place: Place, account: str) -> None:
    """On a terminal, a worker shows its state and its counts, and wraps no line of 60 columns."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    shown = ""
    async with run_sandbox() as sandbox, place() as ledger:
        await fill(server, account, ledger, messages(7))
        size = {"COLUMNS": "60", "TERM": "xterm", "NO_COLOR": "1"}
        process = await anyio.open_process(
            [*COMMAND, "worker", server.dsn(), "--account", account],
            env={**environment(sandbox), **size}, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        try:
            with anyio.fail_after(30):
                while "accepted 7" not in shown:
                    shown += await anyio.to_thread.run_sync(_read, ours)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            os.close(theirs)
            os.close(ours)
            await process.aclose()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", each) for each in re.split(r"[\r\n]+", shown)]
    assert max(map(len, lines)) < 60
    assert any(re.search(r"accepted 7 +rejected 0 +unknown 0", each) for each in lines)
    assert PASSWORD not in shown
