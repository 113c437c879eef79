"""Tests of `incoming --stop-words --append`: who is added to the table, and how the table is written."""

import csv
import json
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsapi_async.cli import main
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.cli.stop_list import plain_words
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_process import started

SENDER = "79037654321"
WORDS = ["--stop-words", "СТОП, STOP,не слать"]

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return the path of the table. The file does not exist yet."""
    return tmp_path / "stop.csv"


def receive(gateway: Sandbox, *messages: tuple[str, str]) -> None:
    """Store incoming messages in the gateway: pairs of the sender and the text."""
    for second, (sender, text) in enumerate(messages):
        gateway.receive(sender, text=text, at=datetime(2026, 1, 28, 0, 0, second, tzinfo=UTC))


STOPS = [
    "СТОП", "стоп", "Стоп.", " stop!!! ", "STOP\n", "\u00a0Stop\u200b", "«СТОП»", "ＳＴＯＰ", "Не  слать",
    "не\nслать…",
]  # fmt: skip
OTHERS = ["стоп-кран", "стоп слать", "не стоп", "st op", "", "!", "STOPP", "остановка"]


@pytest.mark.parametrize("text", STOPS)
def test_stop_words(
    cli: Cli, gateway: Sandbox, table: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A text that is a stop word in any case, with spaces and punctuation around it, adds its sender."""
    receive(gateway, (SENDER, text))
    monkeypatch.chdir(table.parent)
    outcome = cli("incoming", *WORDS, "--append", "stop.csv")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("\n1 number was added to 'stop.csv'\n")
    assert table.read_bytes() == b"phone\n79037654321\n"
    assert stat.S_IMODE(table.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", OTHERS)
def test_other_texts(cli: Cli, gateway: Sandbox, table: Path, text: str) -> None:
    """A text that only contains or resembles a stop word adds nobody; the table is created all the same."""
    receive(gateway, (SENDER, text))
    document = cli("incoming", *WORDS, "--append", str(table), "--json").document
    assert document["stop_list"] == {"added": 0, "without_number": 0}
    assert document["incoming"][0]["text"] == text
    assert table.read_bytes() == b"phone\n"


@given(st.text())
def test_the_plain_form_is_stable(text: str) -> None:
    """The form in which texts are compared does not depend on case, and is its own plain form."""
    assert plain_words(f" {text}. ") == plain_words(text)
    assert plain_words(plain_words(text)) == plain_words(text)


def test_a_number_is_added_once(cli: Cli, gateway: Sandbox, table: Path) -> None:
    """A number is added once, in one run and in the next; a sender without a number is counted."""
    receive(gateway, (SENDER, "STOP"), ("+" + SENDER, "СТОП"), ("BANK", "стоп"), ("79037654322", "stop"))
    for added in (2, 0):
        document = cli("incoming", *WORDS, "--append", str(table), "--json").document
        assert document["stop_list"] == {"added": added, "without_number": 1}
    assert table.read_text() == f"phone\n{SENDER}\n79037654322\n"


TABLES = [
    (b"", b"phone\n79037654321\n"),
    (b"phone\n", b"phone\n79037654321\n"),
    (b"phone", b"phone\n79037654321\n"),
    (b"phone\r\n79031112233", b"phone\r\n79031112233\r\n79037654321\r\n"),
    (b"phone\n+7 903 765-43-21\n", None),
    (b"\xef\xbb\xbfname;Phone\r\n", b"\xef\xbb\xbfname;Phone\r\n;79037654321\r\n"),
    (b'"a, b",Mobile Phone,c\nx,1,y\n', b'"a, b",Mobile Phone,c\nx,1,y\n,79037654321,\n'),
    ("Имя\tТелефон\n".encode("cp1251"), "Имя\tТелефон\n\t79037654321\n".encode("cp1251")),
    ("Номер телефона\n".encode(), "Номер телефона\n79037654321\n".encode()),
]


@pytest.mark.parametrize(("before", "after"), TABLES, ids=lambda value: repr(value)[:40])
def test_an_existing_table(
    cli: Cli, gateway: Sandbox, table: Path, before: bytes, after: bytes | None
) -> None:
    """A table keeps its columns, delimiter, encoding, line breaks and mode; the number goes to its column."""
    table.write_bytes(before)
    table.chmod(0o640)
    receive(gateway, (SENDER, "STOP"))
    assert cli("incoming", *WORDS, "--append", str(table)).code == 0
    assert table.read_bytes() == (before if after is None else after)
    assert stat.S_IMODE(table.stat().st_mode) == 0o640


REFUSED = [
    (b"79031112233\n", "exactly one column"),
    (b"name,date\n", "exactly one column"),
    (b"phone,mobile\n", "exactly one column"),
    (b"phone;a,phone\n", "exactly one column"),
    (b'phone\n"79031112233\n', "correct the CSV"),
    ("phone\n".encode("utf-16"), "save the file as CSV"),
    (b"PK\x03\x04rest", "save the file as CSV"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=[words for _, words in REFUSED])
@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_a_refused_table(
    cli: Cli, gateway: Sandbox, table: Path, content: bytes, words: str, follow: list[str]
) -> None:
    """If the column with the numbers is not certain, nothing is requested, and the file is unchanged."""
    table.write_bytes(content)
    outcome = cli("incoming", *WORDS, "--append", str(table), *follow)
    assert (outcome.code, outcome.out) == (ExitCode.BAD_INPUT, "")
    assert f"--append: '{table}' cannot be used; " in outcome.err
    assert words in outcome.err
    assert "79031112233" not in outcome.err
    assert table.read_bytes() == content
    assert gateway.account.arrivals == []


@pytest.mark.parametrize("place", ["missing/stop.csv", "."])
def test_a_file_that_cannot_be_written(cli: Cli, gateway: Sandbox, tmp_path: Path, place: str) -> None:
    """If the file cannot be written, nothing is requested."""
    outcome = cli("incoming", *WORDS, "--append", str(tmp_path / place))
    assert (outcome.code, outcome.err.count("\n")) == (ExitCode.BAD_INPUT, 1)
    assert "--append" in outcome.err
    assert gateway.account.arrivals == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"phone\n", b"a;phone\n", b""]))
def test_any_file_is_kept(cli: Cli, gateway: Sandbox, table: Path, content: bytes, header: bytes) -> None:
    """Any file is refused and unchanged, or it keeps its content, and a reader of CSV finds the number."""
    if not gateway.account.arrivals:
        receive(gateway, (SENDER, "STOP"))
    table.write_bytes(header + content)
    outcome = cli("incoming", *WORDS, "--append", str(table))
    written = table.read_bytes()
    assert written.startswith(header + content)
    if outcome.code:
        assert (outcome.code, written) == (ExitCode.BAD_INPUT, header + content)
    else:
        assert SENDER in "".join(filter(str.isdigit, written.decode("cp1251", "replace")))


def test_follow(gateway: Sandbox, table: Path, tmp_path: Path) -> None:
    """With `--follow`, a number is in the table before the message is printed; the next run adds nothing."""
    command = ["incoming", "--follow", "--every", "0.05", "--json", "--since", gateway.now().isoformat()]
    command += ["--ledger", str(tmp_path / "in.db"), *WORDS, "--append", str(table)]
    for sender, added in ((SENDER, "1 number was"), ("79037654322", "1 number was")):
        process = started(*command)
        assert process.stdout is not None
        gateway.receive(sender, text="Стоп!")
        assert json.loads(process.stdout.readline())["source_address"] == sender
        with table.open(newline="") as file:
            assert [sender] in list(csv.reader(file))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (process.returncode, out) == (ExitCode.DONE, "")
        assert err == f"smsapi-async: {added} added to '{table}'\n"
    assert table.read_text() == f"phone\n{SENDER}\n79037654322\n"


def test_follow_with_a_table_that_breaks(
    gateway: Sandbox, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the table cannot be written any more, the command ends, and the next run adds the number."""
    command = ["incoming", "--follow", "--every", "0.05", "--json", "--since", gateway.now().isoformat()]
    command += ["--ledger", str(tmp_path / "in.db"), *WORDS, "--append", str(table)]
    process = started(*command)
    assert process.stdout is not None
    gateway.receive("79031112233", text="hello")
    assert process.stdout.readline()
    table.write_text("no heading\n")
    gateway.receive(SENDER, text="STOP")
    out, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.UNEXPECTED
    assert json.loads(out)["error"]["exit_code"] == ExitCode.UNEXPECTED
    assert "--append" in err
    table.unlink()
    process = started(*command)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["source_address"] in {"79031112233", SENDER}
    while not table.read_text().endswith(f"{SENDER}\n"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate()


def test_the_printed_message_is_added(
    gateway: Sandbox, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the message cannot be printed, its sender is in the table nevertheless."""
    since = gateway.now().isoformat()
    gateway.receive(SENDER, text="STOP")
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        code = main(["incoming", "--follow", "--since", since, *WORDS, "--append", str(table)])
    assert code == ExitCode.UNEXPECTED
    assert table.read_text() == f"phone\n{SENDER}\n"
    assert "could not be written" in capsys.readouterr().err
