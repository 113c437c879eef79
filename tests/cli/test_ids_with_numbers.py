"""Tests of commands with a gateway whose segment ids contain the number of the recipient."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from smsapi_async.sandbox import Dialect, Sandbox, run_sandbox
from tests.cli.conftest import PASSWORD, Cli

NUMBERS = ("79031234567", "79161234567")


@pytest.fixture
def gateway() -> Iterator[Sandbox]:
    """Serve a sandbox whose segment ids contain the number of the recipient."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            run_sandbox(login="somebody", password=PASSWORD, dialect=Dialect(id_style="number"))
        ) as sandbox,
    ):
        yield sandbox


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Return the path of a table with two numbers."""
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(("phone", *NUMBERS)))
    return path


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("is_redacted", [True, False])
def test_redacted_reports(cli: Cli, gateway: Sandbox, tmp_path: Path, rows: Path, is_redacted: bool) -> None:
    """With `--redact`, no segment id in a report shows a full number, whatever the ledger contains."""
    ledger, report = tmp_path / "run.db", tmp_path / "report.csv"
    options = ("--redact",) if is_redacted else ()
    batch = cli(
        "batch", str(rows), "--text", "Hello", "--ledger", str(ledger), "--report", str(report), *options
    )
    assert batch.code == 0
    later = cli("ledger", "report", str(ledger), "--rows", str(rows), "--text", "Hello", "--redact")
    assert later.code == 0
    ids = [each for message in gateway.account.messages for each in message.segment_ids]
    assert len(ids) == 2
    for text in (report.read_text(), later.out) if is_redacted else (later.out,):
        assert not [number for number in NUMBERS if number[1:] in text]
        assert text.count("SAR-GW") == 2
    if not is_redacted:
        assert all(each in report.read_text() for each in ids)


@pytest.mark.usefixtures("environment")
def test_errors(cli: Cli, gateway: Sandbox) -> None:
    """The error of `state` shows no full number, also if the gateway repeats the segment id."""
    segment_id = f"SAR-GW01+{NUMBERS[0]}-5f3b1972-2-1"
    gateway.refuse_next("Sms/State", 2, f"no message {segment_id}")
    for argument in (segment_id, f"{segment_id}\ud800"):
        outcome = cli("state", argument)
        assert outcome.code != 0
        assert NUMBERS[0][1:] not in outcome.out + outcome.err
