"""Tests of the options for a gateway that differs from the contract."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.cli.conftest import PASSWORD, Cli

NUMBER = "79031234567"
MORNING = datetime(2030, 1, 28, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["available", "absent"])
def latest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Yield a sandbox with the later dialect, and set the environment variables for its account."""
    dialect = Dialect.LATEST.with_(bulk_by_time_zone=request.param)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(run_sandbox(password=PASSWORD, dialect=dialect)) as sandbox,
    ):
        monkeypatch.setenv("SMSAPI_LOGIN", sandbox.login)
        monkeypatch.setenv("SMSAPI_PASSWORD", PASSWORD)
        monkeypatch.setenv("SMSAPI_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("SMSAPI_SOURCE_ADDRESS", "ACME")
        yield sandbox


def test_version_2_makes_no_login(cli: Cli, latest: Sandbox) -> None:
    """With `--api-version 2`, commands work without a login."""
    assert cli("balance", "--api-version", "2").out == "10000.00\n"
    assert cli("send", NUMBER, "Hello", "--api-version", "2").code == 0
    assert (latest.account.logins, len(latest.account.messages)) == (0, 1)
    assert {arrival.version for arrival in latest.account.arrivals} == {2}


def test_version_2_with_a_wrong_password(cli: Cli, latest: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--api-version 2`, a wrong password ends a command as it does after a login."""
    monkeypatch.setenv("SMSAPI_PASSWORD", "a guess")
    outcome = cli("send", NUMBER, "Hello", "--api-version", "2")
    assert outcome.code == ExitCode.REJECTED
    assert "Invalid user login or password" in outcome.err
    assert "a guess" not in outcome.err


def test_an_unknown_version(cli: Cli, latest: Sandbox) -> None:
    """Another version than 1 and 2 is refused before any request."""
    outcome = cli("balance", "--api-version", "3")
    assert (outcome.code, latest.account.count()) == (ExitCode.BAD_INPUT, 0)


def test_version_1_at_the_url_of_version_2(cli: Cli, latest: Sandbox) -> None:
    """The error for the URL of version 2 names the option, and not the parameter of the client."""
    outcome = cli("balance", "--base-url", f"{latest.base_url}/v2")
    assert (outcome.code, latest.account.count()) == (ExitCode.BAD_INPUT, 0)
    assert "pass --api-version 2" in outcome.err
    assert "api_version" not in outcome.err


def test_a_date_that_the_time_zone_has_twice(cli: Cli, latest: Sandbox) -> None:
    """The error for a send date in the hour that occurs twice names both options."""
    outcome = cli(
        "send", NUMBER, "Hello", "--send-date", "2030-10-27T00:30:00+00:00",
        "--gateway-time-zone", "Europe/Berlin",
    )  # fmt: skip
    assert (outcome.code, latest.account.count()) == (ExitCode.BAD_INPUT, 0)
    assert "--send-date: " in outcome.err
    assert "or a --gateway-time-zone with a fixed offset" in outcome.err


@pytest.mark.parametrize("zone", ["+00:00", "UTC"])
def test_the_time_zone_of_the_gateway(cli: Cli, latest: Sandbox, zone: str) -> None:
    """With `--gateway-time-zone`, the gateway sends at the given time; without it, three hours late."""
    arguments = ("send", NUMBER, "Hello", "--send-date", MORNING.isoformat())
    assert cli(*arguments, "--gateway-time-zone", zone).code == 0
    assert cli(*arguments).code == 0
    dates = [message.send_date for message in latest.account.messages]
    assert dates == [MORNING, MORNING + timedelta(hours=3)]


@pytest.mark.parametrize("zone", ["3", "+3", "+25:00", "Nowhere/City", "../etc/passwd", ""])
def test_a_wrong_time_zone(cli: Cli, latest: Sandbox, zone: str) -> None:
    """A value that is no time zone is refused before any request, with the name of the option."""
    outcome = cli("balance", "--gateway-time-zone", zone)
    assert outcome.code == ExitCode.BAD_INPUT
    assert "--gateway-time-zone" in outcome.err
    assert latest.account.count() == 0


def test_bulk_at_the_local_time(cli: Cli, latest: Sandbox) -> None:
    """`bulk --by-time-zone` sends at the local time of each recipient, or says that the gateway cannot."""
    outcome = cli(
        "bulk", "Hello", NUMBER, "79131234567", "--by-time-zone", "--send-date", "2030-01-28T09:00:00"
    )
    if latest.dialect.bulk_by_time_zone == "absent":
        assert outcome.code == ExitCode.REJECTED
        assert "the gateway has no resource Sms/SendByTimeZoneToAddresses" in outcome.err
        assert not latest.account.messages
    else:
        assert outcome.code == 0
        assert [message.send_date for message in latest.account.messages] == [
            MORNING - timedelta(hours=3),
            MORNING - timedelta(hours=7),
        ]


def test_batch_at_the_local_time(cli: Cli, latest: Sandbox, tmp_path: Path) -> None:
    """`batch --bulk-by-time-zone` sends each row once, in bulks if the gateway can do this."""
    table = tmp_path / "list.csv"
    table.write_text("phone\n" + "".join(f"7903{index:05}12\n" for index in range(20)))
    outcome = cli(
        "batch", str(table), "--text", "Hello", "--by-time-zone", "--bulk-by-time-zone",
        "--send-date", "2030-01-28T09:00:00", "--api-version", "2", "--json",
    )  # fmt: skip
    assert (outcome.code, outcome.document["accepted"]) == (0, 20)
    assert len({message.destination_address for message in latest.account.messages}) == 20
    singles = latest.account.count("Sms/SendByTimeZone")
    assert singles == (0 if latest.dialect.bulk_by_time_zone == "available" else 20)


def test_options_in_the_configuration(cli: Cli, latest: Sandbox, tmp_path: Path) -> None:
    """A configuration file can contain the version, the time zone, and whether bulks are possible."""
    file = tmp_path / "settings.toml"
    file.write_text("api_version = 2\ngateway_time_zone = '+00:00'\nbulk_by_time_zone = true\n")
    arguments = ("send", NUMBER, "Hello", "--send-date", MORNING.isoformat(), "--config", str(file))
    assert cli(*arguments).code == 0
    assert [message.send_date for message in latest.account.messages] == [MORNING]
    assert latest.account.logins == 0
