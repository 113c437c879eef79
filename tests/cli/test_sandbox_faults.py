"""Tests of a sandbox with a fault plan: ``run_sandbox(faults=...)`` and ``smsapi-async sandbox --faults``."""

import json
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
    """`sandbox --faults` prints the address of the fault proxy.

    A send to the address of the fault proxy gets the fault of the plan.
    """
    PLAN.dump(tmp_path / "plan.json")
    with running_sandbox("--json", "--faults", str(tmp_path / "plan.json")) as (_, announced):
        document = json.loads(announced)
        monkeypatch.setenv("SMSAPI_PASSWORD", document["password"])
        options = ["--base-url", document["base_url"], "--login", document["login"]]
        send = ["send", "79031234567", "Hi", "--source-address", "ACME", *options]
        assert cli(*send).code == ExitCode.OUTCOME_UNKNOWN
        assert cli(*send).code == ExitCode.DONE


def test_the_command_says_that_it_misbehaves(tmp_path: Path) -> None:
    """`sandbox --faults` prints that the sandbox produces the faults of the plan."""
    PLAN.dump(tmp_path / "plan.toml")
    with running_sandbox("--faults", str(tmp_path / "plan.toml")) as (_, announced):
        assert "It produces the faults of the fault plan." in announced


@pytest.mark.parametrize("content", [None, '{"faults": ["explode"]}', "{"])
def test_no_plan(cli: Cli, tmp_path: Path, content: str | None) -> None:
    """If the file contains no valid fault plan, `sandbox` prints one line and returns exit code 2."""
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content, "utf-8")
    outcome = cli("sandbox", "--port", "0", "--faults", str(path))
    assert (outcome.code, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, 1)
    assert "--faults" in outcome.err
