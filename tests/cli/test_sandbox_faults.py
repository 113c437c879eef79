"""Tests of a sandbox with a fault plan: ``run_sandbox(faults=...)`` and ``smsapi-async sandbox --faults``."""

import json
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from smsapi_async import AsyncSmsClient, OutcomeUnknown
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan, FaultPlanError
from tests.cli.conftest import Cli
from tests.cli.test_process import running_sandbox

PLAN = FaultPlan.script([Fault.RESET_AFTER_PASS], resource="Sms/Send")


@pytest.mark.anyio
@pytest.mark.parametrize("as_file", [None, "plan.json", "plan.toml"])
async def test_faults(tmp_path: Path, as_file: str | None) -> None:
    """Requests to `base_url` get the faults of the plan, and the proxy records the fault of each request."""
    faults: FaultPlan | Path = PLAN
    if as_file:
        faults = tmp_path / as_file
        PLAN.dump(faults)
    own = Sandbox()
    async with run_sandbox(own, faults=faults) as sandbox:
        assert sandbox.proxy is not None
        assert sandbox.base_url == sandbox.proxy.base_url
        async with AsyncSmsClient(
            sandbox.login, sandbox.password, base_url=sandbox.base_url, source_address="ACME"
        ) as sms:
            with pytest.raises(OutcomeUnknown):
                await sms.send("79031234567", "One")
            await sms.send("79031234567", "Two")
        assert [message.text for message in sandbox.account.messages] == ["One", "Two"]
        sends = [entry.fault for entry in sandbox.proxy.history if entry.resource == "Sms/Send"]
        assert sends == [Fault.RESET_AFTER_PASS, Fault.PASS]
        url = sandbox.base_url
    assert own.proxy is None
    assert own.base_url != url
    async with httpx.AsyncClient(timeout=60) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


@pytest.mark.anyio
async def test_no_faults(tmp_path: Path) -> None:
    """A sandbox has a fault proxy only while it runs with a fault plan."""
    own = Sandbox()
    async with run_sandbox(own) as sandbox:
        assert sandbox.proxy is None
    async with run_sandbox(own, faults=FaultPlan()) as sandbox:
        assert sandbox.proxy is not None
    (tmp_path / "plan.json").write_text('{"faults": ["explode"]}', "utf-8")
    with pytest.raises(FaultPlanError):
        async with run_sandbox(faults=str(tmp_path / "plan.json")):
            pytest.fail("the sandbox started")


def test_the_command(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sandbox --faults` prints two addresses: `base_url` is without faults.

    A send to `faults_url` gets the fault of the plan.
    """
    PLAN.dump(tmp_path / "plan.json")
    with running_sandbox("--json", "--faults", str(tmp_path / "plan.json")) as (_, announced):
        document = json.loads(announced)
        monkeypatch.setenv("SMSAPI_PASSWORD", document["password"])
        send = ["send", "79031234567", "Hi", "--source-address", "ACME", "--login", document["login"]]
        assert cli(*send, "--base-url", document["base_url"]).code == ExitCode.DONE
        send += ["--base-url", document["faults_url"]]
        assert cli(*send).code == ExitCode.OUTCOME_UNKNOWN
        assert cli(*send).code == ExitCode.DONE


def test_the_command_says_that_it_misbehaves(tmp_path: Path) -> None:
    """`sandbox --faults` prints that the faulty line produces the faults of the plan."""
    PLAN.dump(tmp_path / "plan.toml")
    with running_sandbox("--faults", str(tmp_path / "plan.toml")) as (_, announced):
        assert "It produces the faults of the fault plan." in announced


def test_the_ports_of_the_command(cli: Cli) -> None:
    """The faulty line has the port after `--port`. A port that is in use is named in one line."""
    port = _free_pair()
    with running_sandbox("--json", "--port", str(port)) as (_, announced):
        assert _ports(announced) == (port, port + 1)
        for options in (["--faults-port", str(port + 1), "--port", "0"], ["--port", str(port)]):
            outcome = cli("sandbox", *options)
            assert (outcome.code, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, 1)
            assert f"{options[0]}: " in outcome.err


def test_another_port_for_the_faulty_line() -> None:
    """If the port after `--port` is in use, the faulty line has a free port. `--faults-port` chooses one."""
    port = _free_pair()
    with (
        socket.create_server(("127.0.0.1", port + 1)),
        running_sandbox("--json", "--port", str(port)) as (_, announced),
    ):
        good, faulty = _ports(announced)
    assert good == port
    assert faulty not in {port, port + 1}
    with running_sandbox("--json", "--faults-port", str(port)) as (_, announced):
        assert _ports(announced)[1] == port


def _free_pair() -> int:
    """Return a port that is free now and whose next port is free, too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server, suppress(OSError, OverflowError):
            port: int = server.getsockname()[1]
            socket.create_server(("127.0.0.1", port + 1)).close()
            return port


def _ports(announced: str) -> tuple[int | None, int | None]:
    document = json.loads(announced)
    return httpx.URL(document["base_url"]).port, httpx.URL(document["faults_url"]).port


@pytest.mark.parametrize(
    "options", [["--port", "8099", "--faults-port", "8099"], ["--faults-port", "65536"], ["--keep", "0"]]
)
def test_no_such_options(cli: Cli, options: list[str]) -> None:
    """A port that is out of range or used twice, and a limit of 0, give one line and exit code 2."""
    outcome = cli("sandbox", *options)
    assert (outcome.code, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, 1)
    assert options[-2] in outcome.err


def test_the_command_has_a_limit() -> None:
    """The command `sandbox` stores 1,000 messages, or as many as `--keep` says."""
    with running_sandbox("--json") as (_, announced):
        assert json.loads(announced)["keep"] == 1000
    with running_sandbox("--json", "--keep", "7") as (_, announced):
        assert json.loads(announced)["keep"] == 7


@pytest.mark.parametrize("content", [None, '{"faults": ["explode"]}', "{"])
def test_no_plan(cli: Cli, tmp_path: Path, content: str | None) -> None:
    """If the file contains no valid fault plan, `sandbox` prints one line and returns exit code 2."""
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content, "utf-8")
    outcome = cli("sandbox", "--port", "0", "--faults", str(path))
    assert (outcome.code, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, 1)
    assert "--faults" in outcome.err
