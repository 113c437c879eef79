"""Tests of the tables at several widths of the terminal: no line is too wide, and no word is broken."""

import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from smsapi_async.cli import output
from smsapi_async.cli.batch.batch_counts import BatchCounts
from smsapi_async.cli.batch.batch_view import batch_view
from smsapi_async.cli.ledger_results import summary_view
from smsapi_async.cli.tables.rows import BadRow
from smsapi_async.cli.tracking_counts import TrackingCounts, tracking_view
from smsapi_async.ledger import Summary
from smsapi_async.models import IncomingMessage, SegmentState, Statistics
from smsapi_async.outcomes import Accepted, Rejected, Unknown
from smsapi_async.sandbox import Sandbox
from smsapi_async.states import Phase, State
from tests.cli.conftest import Cli

WIDTHS = [40, 80, 120]
WIDE = 1000
MOMENT = datetime(2026, 11, 28, 10, 15, tzinfo=UTC)
IDS = ["0c4f8d0e-6f5f-4d8a-9a59-5b0d8d9f2f01", "0c4f8d0e-6f5f-4d8a-9a59-5b0d8d9f2f02"]


def _tracking() -> TrackingCounts:
    counts = {Phase.DELIVERED: 18_000, Phase.FAILED: 1_200, Phase.UNKNOWN: 3, Phase.ENROUTE: 790}
    failed = {
        State.DESTINATION_ADDRESS_NOT_ALLOWED: 700,
        State.REJECTED_BY_SMS_CENTRE: 499,
        State.EXPIRED: 1,
    }
    return TrackingCounts(
        counts=Counter(counts),
        failed_by_state=Counter({int(state): count for state, count in failed.items()}),
        without_ids=4,
        unknown_sends=7,
        requests=91_234,
    )


def _batch() -> BatchCounts:
    counts = BatchCounts(total=20_000, segments=41_812, bad_rows=1_234)
    counts.counts.update({Accepted: 11_990, Rejected: 8, Unknown: 2})
    counts.recorded.update({Accepted: 4_000})
    reason = "the number has an extension; remove the extension, or write it in a column of its own"
    counts.first_bad = [BadRow(3, reason), BadRow(19_999, "the text is empty")]
    counts.following = _tracking()
    return counts


def _incoming(text: str) -> IncomingMessage:
    return IncomingMessage(
        id="1",
        text=text,
        source_address="79031234567",
        destination_address="79160000000",
        creation_date=MOMENT,
    )


SCREENS: dict[str, RenderableType] = {
    "batch": batch_view(_batch()),
    "track": tracking_view(_tracking(), 1_234.5),
    "ledger summary": summary_view(Summary(pending=8_000, accepted=11_990, rejected=8, segments=41_812)),
    "state": output.states_view(
        [
            SegmentState(IDS[0], State.NOT_IN_DATABASE, price=None),
            SegmentState(IDS[1], State.DELIVERED, reported_date=MOMENT, price=Decimal("3.2")),
        ]
    ),
    "incoming": output.incoming_view(
        [
            _incoming("СТОП"),
            _incoming("Please call me tomorrow between ten and eleven o'clock in the morning.\nThank you"),
            _incoming("Подробности на https://example.com/a/page"),
        ],
        title="Replies",
    ),
    "statistics": output.statistics_view(
        Statistics(
            sent=20_000,
            delivered=18_000,
            errors=1_000,
            in_process=700,
            expired=200,
            rejected=100,
            total=20_000,
            total_with_errors=21_000,
            delivery_ratio=Decimal("0.9"),
        )
    ),
}


def printed(view: RenderableType, width: int) -> str:
    """Return the text of a view in a terminal of so many columns."""
    console = Console(width=width, file=StringIO(), highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def words(screen: str) -> Counter[str]:
    """Return the words of a screen. In a list, a heading ends with a colon and may occur several times."""
    return Counter(word.rstrip(":") for word in screen.split() if not re.fullmatch("[─ ]+", word))


# A list does not have the headings of empty columns.
EMPTY = {"Reported,", "UTC", "Price"}


def check(screen: str, wide: str, width: int) -> None:
    """Assert that a screen has no line that is too wide, and all words of the wide screen."""
    assert max(cell_len(line) for line in screen.splitlines()) <= width
    assert set(words(wide) - words(screen)) <= EMPTY


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_views(name: str, width: int) -> None:
    """At 40, 80 and 120 columns, each table fits the terminal, and all its words are whole."""
    check(printed(SCREENS[name], width), printed(SCREENS[name], WIDE), width)


@pytest.mark.parametrize(
    ("name", "width", "cell"),
    [
        ("state", 120, "not yet in the database, or older than 48 hours"),
        ("ledger summary", 80, "not sent yet; the next run sends the messages"),
        ("track", 80, "destination address not allowed"),
        ("statistics", 120, "Total with errors"),
        ("batch", 40, "Known before"),
    ],
)
def test_no_needless_line_breaks(name: str, width: int, cell: str) -> None:
    """In a terminal that is wide enough, each cell is on one line."""
    assert cell in printed(SCREENS[name], width)


@pytest.mark.parametrize("width", WIDTHS)
def test_commands(
    cli: Cli,
    gateway: Sandbox,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
) -> None:
    """At 40, 80 and 120 columns, each command prints whole words and lines that fit the terminal.

    No line ends with spaces, which would get into a copy of the text.
    """
    path, ledger = tmp_path / "people.csv", str(tmp_path / "run.db")
    rows = ["phone,name", "79031230001,Anna", "79031230002,Пётр", "7903,Boris", ",Eve", "79031230001,Anna"]
    path.write_text("\n".join(rows), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", str(width))
    sending = ["batch", str(path), "--text", "Dear {name}, your parcel has arrived.", "--ledger", ledger]
    assert cli(*sending).code != 2
    segment_ids = [each for message in gateway.account.messages for each in message.segment_ids]
    gateway.receive("79031234567", text="Please call me tomorrow between ten and eleven o'clock")
    since = f"{gateway.now():%Y-%m-%d}T00:00:00Z"
    # The states must not change between two calls of a command.
    gateway.pause()
    for argv in (
        [*sending, "--dry-run", "--price", "3.20"],
        sending,
        ["ledger", "summary", ledger],
        ["state", *segment_ids],
        ["incoming", "--since", since],
        ["balance"],
    ):
        monkeypatch.setenv("COLUMNS", str(width))
        narrow = cli(*argv)
        assert not re.search(r" (\n|$)", narrow.out)
        monkeypatch.setenv("COLUMNS", str(WIDE))
        check(narrow.out, cli(*argv).out, width)


def test_a_list() -> None:
    """If the columns do not fit, each row is a list of headings and values; empty cells are left out."""
    assert printed(SCREENS["state"], 40) == (
        f"Segment id:\n  {IDS[0]}\nState:\n  not yet in the database, or older than\n  48 hours\n"
        f"\nSegment id:\n  {IDS[1]}\nState: delivered to the subscriber\n"
        "Reported, UTC: 2026-11-28 10:15:00\nPrice: 3.20\n"
    )


def test_a_word_that_is_too_long() -> None:
    """A word that is wider than the terminal is broken, but nothing is cut off."""
    address = f"https://example.com/{'a' * 200}"
    for width in WIDTHS:
        screen = printed(output.incoming_view([_incoming(address)]), width)
        assert max(map(len, screen.splitlines())) <= width
        assert screen.count("a") >= 200


_CELLS = st.text(st.sampled_from("abЖ漢 \n"), max_size=60)


@given(
    rows=st.lists(st.tuples(_CELLS, _CELLS, _CELLS), min_size=1, max_size=3),
    width=st.integers(24, 130),
)
def test_any_cells(rows: list[tuple[str, str, str]], width: int) -> None:
    """For any texts, no line is too wide, and no character is lost."""
    table = output.table("One", "Two words", "Three", right=["Two words"], title="A title")
    for row in rows:
        table.add_row(*row)
    screen = printed(table, width)
    assert max(map(cell_len, screen.splitlines())) <= width
    for character in "bЖ漢":
        headings = sum(map(printed(table, WIDE).count, character))
        assert screen.count(character) == headings


def test_no_spaces_at_the_end_of_a_coloured_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In colours, too, no line ends with spaces, and the codes that end the colours stay."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    rows = output.table("Line", "Reason", title="Bad rows")
    rows.add_row("1", Text("a short text", style="red"))
    rows.add_row("2", "a text that is much longer than the other text", style="bold")
    output.write_view(rows)
    shown = capsys.readouterr().out
    assert "\x1b[31ma short text\x1b[0m" in shown
    assert not re.search(r" (\x1b\[[0-9;]*m)*\n", shown)
