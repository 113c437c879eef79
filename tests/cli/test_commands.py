"""Tests of the output of each command, as text and as JSON, against a sandbox on a socket."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli, Outcome

pytestmark = pytest.mark.usefixtures("environment")

TO = "79031234567"


def succeeded(outcome: Outcome) -> Outcome:
    """Check that the command returned 0 and printed no error and no control code, and return `outcome`."""
    assert (outcome.code, outcome.err) == (0, "")
    assert "\x1b" not in outcome.out
    return outcome


def test_balance(cli: Cli) -> None:
    """`balance` prints the amount with two decimals; `--json` prints the exact amount as a string."""
    assert succeeded(cli("balance")).out.strip() == "100.00"
    assert succeeded(cli("balance", "--json")).document == {"balance": "100"}


def test_send_for_people(cli: Cli, gateway: Sandbox) -> None:
    """`send` prints the segment count, the encoding and the ids, but not the phone number or the text."""
    out = succeeded(cli("send", TO, "Привет! " * 10)).out
    (message,) = gateway.account.messages
    assert "1 message, 2 segments, UCS-2" in out
    assert all(segment_id in out for segment_id in message.segment_ids)
    assert TO not in out
    assert "Привет" not in out


def test_send_for_programs(cli: Cli, gateway: Sandbox) -> None:
    """`send --json` prints the addresses, the segment ids and the time of acceptance in UTC."""
    document = succeeded(cli("send", "+" + TO, "Hello", "--json")).document
    (message,) = gateway.account.messages
    assert datetime.fromisoformat(document.pop("accepted_at")).utcoffset() == timedelta(0)
    assert document == {
        "destination_address": TO,
        "source_address": "ACME",
        "segment_ids": list(message.segment_ids),
        "segments": 1,
        "encoding": "GSM 03.38",
    }


def test_send_options(cli: Cli, gateway: Sandbox) -> None:
    """The source address, the send date and the validity in the options reach the gateway."""
    options = ["--source-address", "OTHER", "--send-date", "2031-01-28T16:00:00+03:00", "--validity", "10"]
    succeeded(cli("send", TO, "Hello", *options))
    (message,) = gateway.account.messages
    assert message.source_address == "OTHER"
    assert message.send_date == datetime(2031, 1, 28, 13, tzinfo=UTC)
    assert message.validity == 10


def test_send_by_time_zone(cli: Cli, gateway: Sandbox) -> None:
    """With `--by-time-zone`, `--send-date` is a time in the time zone of the recipient."""
    succeeded(cli("send", "79141234567", "Hello", "--by-time-zone", "--send-date", "2031-01-28T09:00:00"))
    (message,) = gateway.account.messages
    assert message.resource == "Sms/SendByTimeZone"
    assert message.send_date == datetime(2031, 1, 27, 23, tzinfo=UTC)


def test_text_with_a_hyphen(cli: Cli, gateway: Sandbox) -> None:
    """`send` accepts a text that begins with a hyphen only if the argument `--` precedes the text."""
    refused = cli("send", TO, "--jsn")
    assert (refused.code, gateway.account.messages) == (2, [])
    succeeded(cli("send", TO, "--", "--jsn"))
    assert [message.text for message in gateway.account.messages] == ["--jsn"]


def test_bulk_for_people(cli: Cli, gateway: Sandbox) -> None:
    """`bulk` makes one request and prints the segment ids of each message beside the masked number."""
    out = succeeded(cli("bulk", "Hello", TO, "79031234568", "--validity", "5")).out
    first, second = gateway.account.messages
    assert gateway.account.count("Sms/SendBulk") == 1
    assert "2 messages, 2 segments" in out
    assert f"***67  1/1      {first.segment_ids[0]}" in out
    assert f"***68  1/1      {second.segment_ids[0]}" in out


def test_bulk_from_standard_input(cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an argument of `bulk` is a hyphen, the phone numbers in standard input replace the hyphen."""
    monkeypatch.setattr("sys.stdin", io.StringIO("79031234568\n\n 79031234569 \n"))
    document = succeeded(cli("bulk", "Hello", TO, "-", "--json")).document
    sent = [(message.destination_address, list(message.segment_ids)) for message in gateway.account.messages]
    assert [number for number, _ in sent] == [TO, "79031234568", "79031234569"]
    assert [(each["destination_address"], each["segment_ids"]) for each in document["receipts"]] == sent


def test_state(cli: Cli, gateway: Sandbox) -> None:
    """`state` prints a description of each state.

    With `--json`, the output of `state` also contains the number, name, phase, price and dates of the state.
    """
    ids = succeeded(cli("bulk", "Hello", TO, "79031234946", "--json")).document["receipts"]
    first, second = (each["segment_ids"][0] for each in ids)
    gateway.advance(seconds=10)
    out = succeeded(cli("state", first, second)).out
    assert f"{first}  delivered to the subscriber" in out
    assert f"{second}  expired: validity ran out" in out
    delivered, expired = succeeded(cli("state", first, second, "--json")).document["states"]
    expected = {"segment_id": first, "state": 0, "state_name": "DELIVERED", "phase": "delivered"}
    assert expected.items() <= delivered.items()
    assert (delivered["price"], delivered["is_final"]) == ("1.50", True)
    assert delivered["reported_date"].endswith("+00:00")
    assert (expired["state"], expired["phase"]) == (46, "failed")


def test_state_outside_the_table(cli: Cli, gateway: Sandbox) -> None:
    """If a state is not in the contract, `state` prints the number of the state.

    With `--json`, the name of a state that is not in the contract is null.
    """
    for _ in range(2):
        gateway.answer_next("Sms/State", body=b'{"State": 77, "StateDescription": "?", "Price": null}')
    assert "state 77, not in the contract" in succeeded(cli("state", "1")).out
    (state,) = succeeded(cli("state", "1", "--json")).document["states"]
    assert (state["state"], state["state_name"], state["price"]) == (77, None, None)


def test_incoming(cli: Cli, gateway: Sandbox) -> None:
    """`incoming` prints the full number and the unchanged text of each message."""
    at = datetime(2026, 1, 28, 13, 0, 5, tzinfo=UTC)
    gateway.receive("79037654321", text="Да [red]x[/red]", at=at)
    out = succeeded(cli("incoming", "--since", "2026-01-28T16:00:00+03:00")).out
    assert "2026-01-28 13:00:05" in out
    assert "79037654321" in out
    assert "Да [red]x[/red]" in out
    (message,) = succeeded(cli("incoming", "--json")).document["incoming"]
    assert message["text"] == "Да [red]x[/red]"
    assert datetime.fromisoformat(message["creation_date"]) == at


def test_incoming_period(cli: Cli, gateway: Sandbox) -> None:
    """`incoming` prints only the messages that arrived in the given period.

    If there are no messages, `incoming` says so, and the list in JSON is empty.
    """
    gateway.receive("79037654321", text="Yes", at=datetime(2026, 1, 28, tzinfo=UTC))
    assert succeeded(cli("incoming", "--until", "2026-01-27T00:00:00Z")).out == "no incoming messages\n"
    assert succeeded(cli("incoming", "--until", "2026-01-27T00:00:00Z", "--json")).document == {
        "incoming": []
    }


def test_incoming_cannot_steer_the_terminal(cli: Cli, gateway: Sandbox) -> None:
    """`incoming` prints control characters in a text as escape sequences."""
    gateway.receive("79037654321", text="a\x1b[2Jb\rc", at=datetime(2026, 1, 28, tzinfo=UTC))
    assert r"a\x1b[2Jb\rc" in succeeded(cli("incoming")).out


def test_invisible_characters_in_json(cli: Cli, gateway: Sandbox) -> None:
    """`incoming --json` keeps a text exactly, and writes its invisible characters as JSON escapes."""
    text = "a\x1b[2J\x7f\x9b31m\u202eb\u2028c\u2066\ufeff\u200d\U000e0041 Привет, 10\u00a0000 🙂"
    gateway.receive("79037654321", text=text, at=datetime(2026, 1, 28, tzinfo=UTC))
    outcome = succeeded(cli("incoming", "--json"))
    assert outcome.document["incoming"][0]["text"] == text
    assert outcome.out.replace("\n", "").replace("\u00a0", "").isprintable()
    assert "Привет" in outcome.out
    assert succeeded(cli("incoming")).out.replace("\n", "").replace("\u00a0", "").isprintable()


def test_the_words_of_a_refusal_stay_on_one_line(cli: Cli, gateway: Sandbox) -> None:
    """A refusal cannot forge a second line of the output, or change the display of the terminal."""
    gateway.refuse_next("Sms/Send", 2, desc="bad\r\nsmsapi-async: accepted\x1b[2J\x9b31m\u202e\u2028")
    outcome = cli("send", TO, "Hello")
    assert outcome.err.count("\n") == 1
    assert outcome.err[:-1].isprintable()


def test_statistics(cli: Cli, gateway: Sandbox) -> None:
    """`statistics` prints one row of counts, even for a period of two years.

    No line of the output of `statistics` has more than 80 characters.
    """
    for number in (TO, "79031234946"):
        succeeded(cli("send", number, "Hello"))
    gateway.advance(seconds=10)
    now = gateway.now()
    period = [(now - timedelta(days=730)).isoformat(), (now + timedelta(days=1)).isoformat()]
    lines = succeeded(cli("statistics", *period)).out.splitlines()
    assert lines[-1].split() == ["0", "1", "0", "0", "1", "0", "2", "2", "50.00"]
    assert max(map(len, lines)) <= 80
    document = succeeded(cli("statistics", *period, "--json")).document
    assert (document["delivered"], document["expired"], document["total"]) == (1, 1, 2)
    assert float(document["delivery_ratio"]) == 50


def test_statistics_with_counts_left_out(cli: Cli, gateway: Sandbox) -> None:
    """A count that the gateway does not return has no column in the table and is null in JSON."""
    body = b'{"Sent":1,"Delivered":2,"Errors":3,"InProcess":4,"Expired":5,"Rejected":6}'
    gateway.answer_next("Sms/Statistics", body=body, times=2)
    period = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    out = succeeded(cli("statistics", *period)).out
    assert "Ratio" not in out
    assert out.splitlines()[-1].split() == ["1", "2", "3", "4", "5", "6"]
    document = succeeded(cli("statistics", *period, "--json")).document
    assert (document["total"], document["delivery_ratio"]) == (None, None)


def test_account_by_options(cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options `--login` and `--base-url` have priority over the environment variables."""
    monkeypatch.setenv("SMSAPI_LOGIN", "nobody")
    monkeypatch.setenv("SMSAPI_BASE_URL", "http://127.0.0.1:1/rest")
    assert cli("balance", "--login", gateway.login, "--base-url", gateway.base_url).code == 0


NUMBERS = [
    ("8 (903) 123-45-61", [], "79031234561"),
    ("9031234561", [], "79031234561"),
    ("0170 1234567", ["--region", "DE"], "491701234567"),
]


@pytest.mark.parametrize(("number", "options", "sent"), NUMBERS)
def test_numbers_as_people_write_them(
    cli: Cli, gateway: Sandbox, number: str, options: list[str], sent: str
) -> None:
    """`send` and `bulk` read a number in the usual writings, in the country of `--region`."""
    assert cli("send", number, "Hi", *options).code == ExitCode.DONE
    assert cli("bulk", "Hi", number, *options).code == ExitCode.DONE
    assert [message.destination_address for message in gateway.account.messages] == [sent] * 2


def test_lists_on_standard_input(cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`bulk -` reads a number per line, and several numbers without spaces on one line."""
    monkeypatch.setattr("sys.stdin", io.StringIO("8 903 123-45-61\n\n79031234562 +79031234563\n"))
    assert cli("bulk", "Hi", "-").code == ExitCode.DONE
    assert sorted(message.destination_address[-2:] for message in gateway.account.messages) == [
        "61",
        "62",
        "63",
    ]


@pytest.mark.parametrize(
    "command", [["send", "7903123456", "Hi"], ["bulk", "Hi", "79031234561", "7903123456"]]
)
def test_an_uncertain_number(cli: Cli, gateway: Sandbox, command: list[str]) -> None:
    """A number that lacks a digit is refused before any request."""
    outcome = cli(*command)
    assert (outcome.code, outcome.err.startswith("smsapi-async: TO")) == (ExitCode.BAD_INPUT, True)
    assert "10 digits does not exist" in outcome.err
    assert gateway.account.count() == 0


def test_stop_words_exclude(cli: Cli, gateway: Sandbox, tmp_path: Path) -> None:
    """The numbers that `incoming --append` collects get no message of `batch --exclude`."""
    gateway.receive("+79031234561", text="Стоп!")
    gateway.receive("4443", text="STOP")
    stop, table = tmp_path / "stop.csv", tmp_path / "rows.csv"
    table.write_text("phone\n79031234561\n79031234562\n")
    assert cli("incoming", "--stop-words", "СТОП,STOP", "--append", str(stop)).code == ExitCode.DONE
    assert cli("batch", str(table), "--text", "Hi", "--exclude", str(stop)).code == ExitCode.DONE
    assert [message.destination_address for message in gateway.account.messages] == ["79031234562"]
