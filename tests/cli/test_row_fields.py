"""Fields of rows, exclusions, repeated rows, the window and the pace of the command `batch`."""

from collections import Counter
from datetime import UTC, datetime, time
from pathlib import Path

import anyio
import pytest

from smsapi_async import AsyncSmsClient
from smsapi_async.cli.batch.batch_options import LedgerOptions, PaceOptions
from smsapi_async.cli.batch.batch_run import BatchPlan, run_batch
from smsapi_async.cli.batch.row_converter import SharedFields
from smsapi_async.cli.batch.send_window import SendGate, SendWindow
from smsapi_async.cli.batch.template import Template
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.errors import ValidationError
from smsapi_async.outcomes import Accepted
from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.cli.conftest import Cli
from tests.cli.test_batch import read_report
from tests.client.tools import ManualClock

FIRST, SECOND, THIRD = "79031234561", "79031234562", "79031234563"


def written(path: Path, *lines: str) -> str:
    """Write the lines to a file in UTF-8, and return its path."""
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


@pytest.mark.usefixtures("environment")
def test_columns_set_fields(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """The columns `Send Date`, `source_address` and `validity` set the fields of each row.

    Options set the other fields. A wrong value costs its row, and the reason names the column.
    """
    table = written(
        tmp_path / "rows.csv",
        "phone;Send Date;source_address;validity;text",
        f"{FIRST};2031-01-28T16:00:00+03:00;OTHER;10;one",
        f"{SECOND};;;;two",
        f"{THIRD};2031-01-28T16:00:00;;;three",
        f"{THIRD};2011-01-28T16:00:00+03:00;;;four",
        f"{THIRD};tomorrow;;;five",
        f"{THIRD};;Отправитель;;six",
        f"{THIRD};;;soon;seven",
        f"{THIRD};;;99999999999;eight",
    )
    outcome = cli("batch", table, "--validity", "7", "--json")
    assert outcome.code == ExitCode.REJECTED
    sent = {
        m.text: (m.source_address, m.validity, None if m.send_date is None else f"{m.send_date:%H:%M}")
        for m in gateway.account.messages
    }
    assert sent == {"one": ("OTHER", 10, "13:00"), "two": ("ACME", 7, None)}
    reasons = {row["line"]: row["reason"] for row in outcome.document["first_bad_rows"]}
    assert [reasons[line].partition(":")[0] for line in (4, 5, 6)] == ["Send Date"] * 3
    assert "without an offset" in reasons[4]
    assert "past" in reasons[5] or "passed" in reasons[5]
    assert reasons[7].startswith("source_address: ")
    assert [reasons[line].partition(":")[0] for line in (8, 9)] == ["validity"] * 2


@pytest.mark.usefixtures("environment")
def test_local_times_from_a_column(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """With `--by-time-zone`, the local times may come from a column; a row without a time is not sent."""
    table = written(tmp_path / "rows.csv", "phone;send_date", f"{FIRST};2031-01-28T09:00:00", f"{SECOND};")
    outcome = cli("batch", table, "--text", "Hi", "--by-time-zone", "--json")
    assert (outcome.document["accepted"], outcome.document["rejected"] + outcome.document["bad_rows"]) == (
        1,
        1,
    )
    assert [m.destination_address for m in gateway.account.messages] == [FIRST]
    without = cli("batch", written(tmp_path / "a.csv", "phone", FIRST), "--text", "Hi", "--by-time-zone")
    assert (without.code, "--send-date" in without.err) == (ExitCode.BAD_INPUT, True)


@pytest.mark.usefixtures("environment")
def test_two_columns_for_one_field(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """Two columns for the same field are refused before any request."""
    table = written(tmp_path / "rows.csv", "phone;send_date;Send Date", f"{FIRST};;")
    outcome = cli("batch", table, "--text", "Hi")
    assert outcome.code == ExitCode.BAD_INPUT
    assert "a second column 'Send Date'" in outcome.err
    assert gateway.account.count() == 0


BLANK = [
    ("{name}", "name: an empty value"),
    (" {name|} ", "text: an empty text"),
    ("{name|\u00a0}", "text: an empty text"),
]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("text", "reason"), BLANK, ids=["no default", "spaces", "a no-break space"])
def test_blank_values(cli: Cli, gateway: Sandbox, tmp_path: Path, text: str, reason: str) -> None:
    """A row with an empty value or an empty text is not sent; the values of other rows lose outer spaces."""
    table = written(tmp_path / "rows.csv", "phone;name", f"{FIRST};\u00a0", f"{SECOND};\u00a0Anna\u200b ")
    outcome = cli("batch", table, "--text", text, "--json")
    assert [m.text.strip() for m in gateway.account.messages] == ["Anna"]
    assert outcome.document["first_bad_rows"][0]["reason"].startswith(reason)


@pytest.mark.usefixtures("environment")
def test_a_blank_text_for_all(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """A text of spaces is refused before any request."""
    outcome = cli("batch", written(tmp_path / "a.csv", "phone", FIRST), "--text", " \u00a0")
    assert (outcome.code, gateway.account.count()) == (ExitCode.BAD_INPUT, 0)


ROWS = ("phone;name", f"{FIRST};a", f"8{FIRST[1:]};a", f"{SECOND};a", f"+{FIRST};b", f"{FIRST}; a ")
duplicates = pytest.mark.parametrize("with_ledger", [False, True], ids=["without ledger", "with ledger"])


@pytest.mark.usefixtures("environment")
@duplicates
def test_a_repeated_row_is_sent_once(
    cli: Cli, gateway: Sandbox, tmp_path: Path, *, with_ledger: bool
) -> None:
    """A row with the number and the text of an earlier row is not sent; the output and the report say so."""
    options = ["--ledger", str(tmp_path / "run.db")] if with_ledger else []
    table = written(tmp_path / "rows.csv", *ROWS)
    report = tmp_path / "out.csv"
    outcome = cli("batch", table, "--text", "Hi {name}", "--report", str(report), *options, "--json")
    assert (outcome.code, outcome.document["accepted"]) == (ExitCode.DONE, 3)
    assert Counter(m.text for m in gateway.account.messages) == {"Hi a": 2, "Hi b": 1}
    assert [row["outcome"] for row in read_report(report)].count("duplicate") == 2


@pytest.mark.usefixtures("environment")
@duplicates
def test_repeated_rows_may_be_sent(cli: Cli, gateway: Sandbox, tmp_path: Path, *, with_ledger: bool) -> None:
    """With `--duplicates send`, each row is sent once, and with a ledger a second run sends nothing."""
    options = ["--ledger", str(tmp_path / "run.db")] if with_ledger else []
    table = written(tmp_path / "rows.csv", *ROWS)
    for _ in range(1 + with_ledger):
        outcome = cli("batch", table, "--text", "Hi {name}", "--duplicates", "send", *options, "--json")
        assert outcome.code == ExitCode.DONE
        assert outcome.document["accepted"] == 5
    assert len(gateway.account.messages) == 5


@pytest.mark.usefixtures("environment")
def test_excluded_numbers(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """No message goes to a number in a table of `--exclude`, however the number is written there."""
    stop = written(tmp_path / "stop.csv", "phone;when", f"8 ({FIRST[1:4]}) {FIRST[4:]};2026")
    other = written(tmp_path / "other.csv", f"+{SECOND}")  # a list without a header
    table = written(tmp_path / "rows.csv", "phone", FIRST, SECOND, THIRD)
    report = tmp_path / "out.csv"
    outcome = cli(
        "batch",
        table,
        "--text",
        "Hi",
        "--exclude",
        stop,
        "--exclude",
        other,
        "--report",
        str(report),
        "--json",
    )
    assert outcome.code == ExitCode.DONE
    assert [m.destination_address for m in gateway.account.messages] == [THIRD]
    assert [row["outcome"] for row in read_report(report)] == ["excluded", "excluded", "accepted"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("phone", FIRST, "7903123456"), "line 3 of"),
        (("phone;mobile", f"{FIRST};{SECOND}"), "--exclude"),
        ((), "--exclude"),
    ],
    ids=["a number", "two columns", "empty"],
)
def test_an_uncertain_exclusion(
    cli: Cli, gateway: Sandbox, tmp_path: Path, lines: tuple[str, ...], words: str
) -> None:
    """If a table of `--exclude` is not certain, nothing is sent."""
    stop = written(tmp_path / "stop.csv", *lines)
    table = written(tmp_path / "rows.csv", "phone", THIRD)
    outcome = cli("batch", table, "--text", "Hi", "--exclude", stop)
    assert (outcome.code, words in outcome.err) == (ExitCode.BAD_INPUT, True)
    assert "7903123456" not in outcome.err.replace("+79031234567", "")
    assert gateway.account.count() == 0


@pytest.mark.usefixtures("environment")
def test_a_text_from_a_file(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """`--text-file` reads a template in UTF-8, without its byte order mark and its last line break."""
    (tmp_path / "text.txt").write_bytes("\ufeffПривет, {name}!\r\nПока\r\n".encode())
    table = written(tmp_path / "rows.csv", "phone;name", f"{FIRST};Анна")
    assert cli("batch", table, "--text-file", str(tmp_path / "text.txt")).code == ExitCode.DONE
    assert [m.text for m in gateway.account.messages] == ["Привет, Анна!\nПока"]


TEXT_FILES = [
    (b"\xcf\xf0\xe8\xe2\xe5\xf2", [], "UTF-8"),
    (b"Hi", ["--text", "Hi"], "--text"),
    (b"", [], "an empty text"),
    (b"{nam}", [], "--text-file: the column 'nam'"),
    (b"x" * ((1 << 20) + 1), [], "at most 1048576 bytes"),
    (None, [], "No such file"),
]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("content", "options", "words"), TEXT_FILES, ids=[each[2] for each in TEXT_FILES])
def test_a_file_without_a_text(
    cli: Cli, gateway: Sandbox, tmp_path: Path, content: bytes | None, options: list[str], words: str
) -> None:
    """A file that holds no text in UTF-8 is refused before any request."""
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    table = written(tmp_path / "rows.csv", "phone", FIRST)
    outcome = cli("batch", table, "--text-file", str(path), *options)
    assert (outcome.code, words in outcome.err) == (ExitCode.BAD_INPUT, True), outcome.err
    assert gateway.account.count() == 0


@pytest.mark.parametrize(
    ("words", "moment", "wait"),
    [
        ("10:00-20:00", datetime(2026, 3, 1, 6, 59, tzinfo=UTC), 60),
        ("10:00-20:00", datetime(2026, 3, 1, 7, 0, tzinfo=UTC), 0),
        ("10:00-20:00", datetime(2026, 3, 1, 16, 59, 59, tzinfo=UTC), 0),
        ("10:00-20:00", datetime(2026, 3, 1, 17, 0, tzinfo=UTC), 14 * 3600),
        ("9:30 - 9:45", datetime(2026, 3, 1, 21, 30, tzinfo=UTC), 9 * 3600),
        ("22:00-06:00", datetime(2026, 3, 1, 19, 0, tzinfo=UTC), 0),
        ("22:00-06:00", datetime(2026, 3, 1, 2, 0, tzinfo=UTC), 0),
        ("22:00-06:00", datetime(2026, 3, 1, 3, 0, tzinfo=UTC), 16 * 3600),
    ],
)
def test_the_window_in_the_time_of_the_gateway(words: str, moment: datetime, wait: float) -> None:
    """The window opens and closes in GMT+03:00, and may contain midnight."""
    window = SendWindow.parse(words)
    assert window.wait(moment) == wait
    assert window.holds(moment) is (wait == 0)


@pytest.mark.parametrize(
    "words", ["", "10-20", "10:00", "10:00-10:00", "24:00-25:00", "10:60-20:00", "20:00"]
)
def test_no_window(words: str) -> None:
    """Words that are no window are refused with an example."""
    with pytest.raises(ValidationError, match=r"--window.*10:00-20:00"):
        SendWindow.parse(words)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("local", [False, True], ids=["gateway", "recipient"])
def test_send_dates_in_the_window(cli: Cli, gateway: Sandbox, tmp_path: Path, *, local: bool) -> None:
    """A send date outside of the window is refused: in an option at once, and in a column with its row."""
    offset, option = ("", ["--by-time-zone"]) if local else ("+03:00", [])
    window = ["--text", "Hi", "--window", "10:00-20:00", *option]
    table = written(tmp_path / "rows.csv", "phone", FIRST)
    late = cli("batch", table, *window, "--send-date", f"2031-01-28T20:00:00{offset}")
    assert (late.code, "10:00-20:00" in late.err) == (ExitCode.BAD_INPUT, True)
    assert gateway.account.count() == 0
    dates = [f"{FIRST};2031-01-28T19:59:59{offset}", f"{SECOND};2031-01-28T09:59:59{offset}"]
    # Outside of the window, a batch without `--by-time-zone` would wait for the window.
    run = [] if local else ["--dry-run"]
    outcome = cli("batch", written(tmp_path / "b.csv", "phone;send_date", *dates), *window, *run, "--json")
    assert "10:00-20:00" in outcome.document["first_bad_rows"][0]["reason"]
    if local:
        assert [m.destination_address for m in gateway.account.messages] == [FIRST]


def plan_of(folder: Path, clock: ManualClock, count: int, window: str | None, pace: PaceOptions) -> BatchPlan:
    """Return the plan of a batch with `count` rows."""
    rows = [str(int(FIRST) + index) for index in range(count)]
    return BatchPlan(
        recipients=written(folder / "rows.csv", "phone", *rows),
        template=Template.parse("Hi"),
        common=SharedFields(source_address="ACME"),
        window=None if window is None else SendWindow.parse(window),
        record=LedgerOptions(ledger=str(folder / "run.db")),
        pace=pace,
        clock=clock,
    )


@pytest.mark.anyio
async def test_a_batch_waits_for_the_window(tmp_path: Path) -> None:
    """A batch that begins before the window sends its messages when the window opens."""
    clock = ManualClock()  # 12:00 UTC is 15:00 in the time of the gateway.
    plan = plan_of(tmp_path, clock, 3, "16:00-20:00", PaceOptions())
    async with run_sandbox() as sandbox:
        client = AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url)
        tally = await run_batch(plan, client)
    assert tally.counts[Accepted] == 3
    assert clock.moment == datetime(2026, 3, 1, 13, 0, tzinfo=UTC)


@pytest.mark.anyio
async def test_a_batch_that_waits_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation ends the wait for the window; no message was sent, and none is lost."""
    clock = ManualClock()

    async def sleep(_: float) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(clock, "sleep", sleep)
    plan = plan_of(tmp_path, clock, 3, "16:00-20:00", PaceOptions())
    async with run_sandbox() as sandbox:
        client = AsyncSmsClient(sandbox.login, sandbox.password, base_url=sandbox.base_url)
        with anyio.move_on_after(0.3):
            await run_batch(plan, client)
        assert sandbox.account.messages == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("per_minute", "count", "seconds"),
    [(60, 5, 4.0), (30, 3, 4.0), (0.5, 2, 120.0), (6000, 250, 2.0), (90, 4, 2.0)],
)
async def test_the_pace(per_minute: float, count: int, seconds: float) -> None:
    """`count` messages pass in the time that the highest number per minute allows, and not faster."""
    clock = ManualClock()
    gate = SendGate(None, per_minute, clock)
    began = clock.monotonic()
    for _ in range(count):
        await gate.passed()
    assert clock.monotonic() - began == pytest.approx(seconds)


@pytest.mark.anyio
async def test_the_pace_does_not_make_up_for_a_pause() -> None:
    """After a pause, no burst of messages passes."""
    clock = ManualClock()
    gate = SendGate(None, 60, clock)
    await gate.passed()
    clock.advance(seconds=600)
    began = clock.monotonic()
    for _ in range(4):
        await gate.passed()
    assert clock.monotonic() - began == pytest.approx(3.0)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("pace", ["0", "-1", "nan", "inf"])
def test_no_pace(cli: Cli, gateway: Sandbox, tmp_path: Path, pace: str) -> None:
    """A pace that is no positive number is refused before any request."""
    table = written(tmp_path / "rows.csv", "phone", FIRST)
    outcome = cli("batch", table, "--text", "Hi", f"--messages-per-minute={pace}")
    assert (outcome.code, "--messages-per-minute" in outcome.err) == (ExitCode.BAD_INPUT, True)
    assert gateway.account.count() == 0


@pytest.mark.usefixtures("environment")
def test_a_region(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """`--region` is the country of numbers without a country code. An unknown region is refused."""
    table = written(tmp_path / "rows.csv", "phone", "0170 1234567")
    assert cli("batch", table, "--text", "Hi").code == ExitCode.REJECTED
    assert cli("batch", table, "--text", "Hi", "--region", "DE").code == ExitCode.DONE
    assert [m.destination_address for m in gateway.account.messages] == ["491701234567"]
    wrong = cli("batch", table, "--text", "Hi", "--region", "XX")
    assert (wrong.code, "--region" in wrong.err) == (ExitCode.BAD_INPUT, True)


def test_windows_are_times() -> None:
    """A window has the two times of the day that its words name."""
    assert SendWindow.parse("08:05-23:59") == SendWindow(time(8, 5), time(23, 59))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("heading", ["SendDate", "send.date", "Send_Date:"])
def test_writings_of_a_column(cli: Cli, gateway: Sandbox, tmp_path: Path, heading: str) -> None:
    """A heading in another writing sets the field, too, and is not ignored."""
    table = written(tmp_path / "rows.csv", f"phone;{heading}", f"{FIRST};2031-01-28T16:00:00+03:00")
    assert cli("batch", table, "--text", "Hi").code == ExitCode.DONE
    assert [m.send_date is not None for m in gateway.account.messages] == [True]


@pytest.mark.usefixtures("environment")
def test_keys_do_not_repeat_a_text(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """Rows with the same number and text but different keys are sent once; `--duplicates send` sends each."""
    table = written(tmp_path / "rows.csv", "phone;key", f"{FIRST};a", f"{FIRST};b")
    assert cli("batch", table, "--text", "Hi").code == ExitCode.DONE
    assert len(gateway.account.messages) == 1
    assert cli("batch", table, "--text", "Hello", "--duplicates", "send").code == ExitCode.DONE
    assert len(gateway.account.messages) == 3
