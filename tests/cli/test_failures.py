"""Tests of the exit codes of the command line, and of the error line for each exit code."""

import builtins
import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from cyclopts import CycloptsError

from smsapi_async import AsyncSmsClient, ClientClosed
from smsapi_async.cli import ledger_lists, main
from smsapi_async.cli.exit_codes import ExitCode, explain
from smsapi_async.errors import LedgerError
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import PASSWORD, Cli

TO = "79037776655"
TEXT = "A text that nobody else may read"


def failed(cli: Cli, *argv: str) -> tuple[int, str]:
    """Run a command that must fail, and return its exit code and its error line.

    The command must print nothing on standard output. The error line must contain neither the phone number
    nor the text of the message.
    """
    outcome = cli(*argv)
    assert outcome.out == ""
    assert outcome.err.startswith("smsapi-async: ")
    assert outcome.err.count("\n") == 1
    assert TO not in outcome.err
    assert TEXT not in outcome.err
    return outcome.code, outcome.err


USAGE = [
    (["nothing"], "no such command: nothing;"),
    (["blance"], "no such command: blance (did you mean balance?)"),
    (["79031234567"], "no such command;"),
    (["Password", "hunter2"], "no such command;"),
    (["--verison"], "no such option: --verison (did you mean --version?)"),
    (["ledger", "sumary", "run.db"], "no such command: sumary (did you mean summary?)"),
    (["ledger", "summary", "run.db", "--jsno"], "no such option: --jsno (did you mean --json?)"),
    (["send", TO, TEXT, "--password", PASSWORD], "no such option: --password; set the environment"),
    (["send", TO, TEXT, "--password=" + PASSWORD], "no such option: --password; set the environment"),
    (["send", TO, TEXT, f"--lgoin={TO}"], "no such option: --lgoin (did you mean --login?)"),
    (["send", TO, TEXT, "-login", "x"], "no such option (did you mean --login?)"),
    (["send", TO, TEXT, f"--x{TO}"], "no such option; put"),
    (["send", TO, "--" + TEXT], "no such option; put a text that begins with a hyphen after --"),
    (["batch", "list.csv", "--ledgr", "run.db"], "no such option: --ledgr (did you mean --ledger?)"),
    (["batch", "--ledgr", "run.db", "list.csv"], "no such option: --ledgr (did you mean --ledger?)"),
    (["batch", "--txt", TEXT], "no such option: --txt (did you mean --text?)"),
    (["bulk", TEXT, TO, "--jsn"], "no such option: --jsn (did you mean --json?)"),
    (["balance", "extra"], "more arguments"),
    (["send", TO], "TEXT"),
    (["send", TO, *TEXT.split()], "in quotes"),
    (["send", TO, TEXT, "--validity", "soon"], "--validity"),
    (["send", TO, TEXT, "--validity"], "--validity"),
    (["send", TO, TEXT, "--json=" + TO], "--json: the value"),
    (["send", TO, TEXT, "--validity", TEXT], "--validity: the value cannot be used; pass a whole number"),
    (["track", "run.db", "--for", TO + "s"], "--for: the value cannot be used; pass a number"),
    (["track", "run.db", "--for", "0"], "--for: 0.0"),
    (
        ["batch", "list.csv", "--duplicates", TEXT],
        "--duplicates: the value cannot be used; choose from: skip",
    ),
    (["batch", "list.csv", "--price", "3,20"], "--price: the value cannot be used; pass an amount"),
    (["send", TO, TEXT, "--proxy", f"http://user:{PASSWORD}@host:99999"], "--proxy"),
    (["send", TO, TEXT, "--proxy", f"http://user:{PASSWORD}@host/path"], "--proxy"),
    (["send", TO, TEXT, "--ca-file", "/no/such/file.pem"], "--ca-file"),
    (["sandbox", "--price", "-1"], "--price: the value cannot be used; pass an amount"),
    (["sandbox", "--balance", "nan"], "--balance: the value cannot be used; pass an amount"),
    (
        ["sandbox", "--dialect", "newest"],
        "--dialect: the value cannot be used; choose from: contract, latest",
    ),
    (
        ["sandbox", "--source-address", "Ромашка"],
        "--source-address: the value cannot be used; pass at most 15",
    ),
    (["sandbox", "--source-address", ""], "--source-address: the value cannot be used; pass at most 15"),
    (["sandbox", "--latency", "soon"], "--latency: the value cannot be used; pass seconds"),
    (["sandbox", "--latency", "2h"], "--latency"),
    (["sandbox", "--port", "0", "--push-url", "http://example.com/sms"], "must be on this computer"),
    (["sandbox", "--port", "0", "--push-url", "127.0.0.1:8000"], "--push-url"),
    (["sandbox", "--latency", "3601"], "--latency"),
    (["send", TO, TEXT, "--login", "a", "--login", "b"], "multiple times"),
    (["demo", "--backend", "curio"], "trio"),
    (["demo", "--speed", "0"], "--speed"),
    (["sandbox", "--speed", "nan"], "--speed"),
    (["sandbox", "--speed", "-1"], "--speed"),
    (["sandbox", "--port", "65536"], "--port"),
    (["send", TO, TEXT, "--validity", "-1"], "--validity"),
    (["send", TO, TEXT, "--send-date", "2026-01-28T16:00:00"], "without an offset"),
    (["send", TO, TEXT, "--send-date", "tomorrow"], "--send-date"),
    (["send", TO, TEXT, "--by-time-zone"], "--send-date"),
    (["send", TO, TEXT, "--send-date", "2031-01-28"], "--send-date: a date without a time"),
    (
        ["send", TO, TEXT, "--send-date", "2026-01-28T16:00:00Z"],
        "--send-date: '2026-01-28T16:00:00Z' (in the past)",
    ),
    (["bulk", TEXT, TO, "--send-date", "2026-01-28T16:00:00Z"], "(in the past)"),
    (["batch", "list.csv", "--text", TEXT, "--send-date", "2026-01-28T16:00:00Z"], "(in the past)"),
    (["send", TO, TEXT, "--by-time-zone", "--send-date", "2026-01-28T16:00:00"], "(in the past)"),
    (["send", TO, TEXT, "--by-time-zone", "--send-date", "2026-01-28T16:00:00Z"], "with an offset"),
    (["send", TO, "", "--source-address", "ACME"], "TEXT"),
    (["send", "12", TEXT], "TO"),
    (["send", TO, TEXT, "--source-address", "Отправитель"], "--source-address"),
    (["bulk", TEXT, TO, "12"], "TO[1]"),
    (["bulk", TEXT, "-"], "TO"),
    (["bulk", TEXT], "TO"),
    (["state", ""], "SEGMENT_ID"),
    (["state"], "SEGMENT"),
    (["incoming", "--since", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"], "--since"),
    (["statistics", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"], "START"),
    (["statistics", "2026-01-02", "2026-01-01"], "START"),
    (["statistics", "2026-01-32", "2026-02-01"], "START"),
    (["statistics", "2026-01-01", "9999-12-31"], "END"),
    (["statistics", "02.01.2026", "2026-02-01"], "START: the value cannot be used; pass a date such as"),
    (["incoming", "--since", "2026-01-02T00:00:00"], "without an offset"),
    (["incoming", "--since", "20260102"], "without an offset"),
    (["incoming", "--stop-words", "STOP"], "--append"),
    (["incoming", "--append", "stop.csv"], "--stop-words"),
    (["incoming", "--append", "stop.csv", "--stop-words", "!, ."], "--stop-words"),
    (["balance", "--base-url", "http://gateway.example/rest"], "--allow-plain-http"),
    (["balance", "--base-url", "gateway"], "--base-url"),
]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("argv", "words"), USAGE, ids=lambda value: " ".join(value)[:50])
def test_bad_input(cli: Cli, gateway: Sandbox, argv: list[str], words: str) -> None:
    """If an argument is invalid, a command prints one error line, exits with 2, and makes no request."""
    code, line = failed(cli, *argv)
    assert code == ExitCode.BAD_INPUT
    assert words in line
    assert gateway.account.arrivals == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("variable", ["SMSAPI_LOGIN", "SMSAPI_PASSWORD", "SMSAPI_SOURCE_ADDRESS"])
@pytest.mark.parametrize("value", ["", None])
def test_missing_setting(cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None) -> None:
    """If a setting is missing, the error line names the environment variable, and the exit code is 2."""
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    code, line = failed(cli, "send", TO, TEXT)
    assert code == ExitCode.BAD_INPUT
    assert variable in line


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("variable", ["SMSAPI_LOGIN", "SMSAPI_PASSWORD", "SMSAPI_SOURCE_ADDRESS"])
@pytest.mark.parametrize("form", ['"{}"', "{} # comment"])
def test_setting_of_an_env_file(
    cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch, variable: str, form: str
) -> None:
    """If a variable still has the quotation marks or the comment of an env file, nothing is sent."""
    monkeypatch.setenv(variable, form.format("secret"))
    code, line = failed(cli, "send", TO, TEXT)
    assert code == ExitCode.BAD_INPUT
    assert variable in line
    assert "secret" not in line
    assert gateway.account.arrivals == []


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return True, as the `isatty` of a terminal does."""
        return True


@pytest.mark.usefixtures("environment")
def test_password_prompt(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `SMSAPI_PASSWORD`, a command on a terminal asks for the password with `getpass`."""
    prompts = []

    def getpass(prompt: str) -> str:
        prompts.append(prompt)
        return PASSWORD

    monkeypatch.delenv("SMSAPI_PASSWORD")
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", getpass)
    assert cli("balance").code == 0
    assert prompts == ["Password of somebody: "]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("ending", "code"), [(EOFError, ExitCode.BAD_INPUT), (KeyboardInterrupt, ExitCode.INTERRUPTED)]
)
def test_password_prompt_ended(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, ending: type[BaseException], code: ExitCode
) -> None:
    """If the user presses Ctrl-D at the password prompt, the exit code is 2.

    If the user presses Ctrl-C at the password prompt, the exit code is 130.
    """

    def getpass(prompt: str) -> str:
        raise ending

    monkeypatch.delenv("SMSAPI_PASSWORD")
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", getpass)
    found, line = failed(cli, "send", TO, TEXT)
    assert found == code
    assert "OUTCOME UNKNOWN" not in line


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("code", "words"), [(5, "code 5"), (6, "code 6"), (7, "code 7")])
def test_rejected(cli: Cli, gateway: Sandbox, code: int, words: str) -> None:
    """If the gateway refuses a send, the exit code is 3.

    The error line of a refused send contains the error code of the gateway.
    """
    gateway.refuse_next("Sms/Send", code)
    found, line = failed(cli, "send", TO, TEXT)
    assert found == ExitCode.REJECTED
    assert words in line
    assert gateway.account.messages == []


@pytest.mark.usefixtures("environment")
def test_wrong_password(cli: Cli, gateway: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the gateway refuses the password, the command logs in only once and returns exit code 3."""
    monkeypatch.setenv("SMSAPI_PASSWORD", "another-password")
    code, line = failed(cli, "balance")
    assert code == ExitCode.REJECTED
    assert "another-password" not in line
    assert gateway.account.logins == 1


@pytest.mark.usefixtures("environment", "once")
def test_nobody_listens(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no gateway listens at the base URL, `send` returns exit code 4 (not sent).

    If no gateway listens at the base URL, `balance` returns exit code 6 (read failed).
    """
    monkeypatch.setenv("SMSAPI_BASE_URL", "http://127.0.0.1:1/rest")
    code, line = failed(cli, "send", TO, TEXT)
    assert (code, "safe to send again" in line) == (ExitCode.NOT_SENT, True)
    assert failed(cli, "balance")[0] == ExitCode.READ_FAILED


@pytest.mark.usefixtures("environment")
def test_outcome_unknown(cli: Cli, gateway: Sandbox) -> None:
    """If the response to a send is invalid, `send` reports an unknown outcome and does not send again."""
    gateway.answer_next("Sms/Send", body=b"<html>", accept=True)
    code, line = failed(cli, "send", TO, TEXT)
    assert code == ExitCode.OUTCOME_UNKNOWN
    assert "OUTCOME UNKNOWN" in line
    assert gateway.account.count("Sms/Send") == len(gateway.account.messages) == 1


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("as_json", [False, True])
def test_ids_unattributed(cli: Cli, gateway: Sandbox, *, as_json: bool) -> None:
    """If the gateway returns 3 segment ids for 2 messages, `bulk` prints the ids and returns exit code 7."""
    gateway.answer_next("Sms/SendBulk", body=b'["11","12","13"]')
    outcome = cli("bulk", TEXT, TO, "79031234568", *["--json"] * as_json)
    assert outcome.code == ExitCode.IDS_UNATTRIBUTED
    assert "do not send the messages again" in outcome.err
    found = outcome.document["error"]["segment_ids"] if as_json else outcome.out.split()
    assert found == ["11", "12", "13"]


ERRORS: list[tuple[list[str], dict[str, object]]] = [
    (["send", TO, TEXT, "--jsno", "--json"], {"exit_code": 2, "name": "bad_input", "parameter": "--jsno"}),
    (["nothing", "--json"], {"exit_code": 2, "name": "bad_input", "parameter": None}),
    (["balance", "--json=true", "--base-url", "x"], {"exit_code": 2, "parameter": "--base-url"}),
    (["send", "12", TEXT, "--json"], {"exit_code": 2, "parameter": "TO", "code": None}),
    (["send", TO, TEXT, "--json", "--validity", "a"], {"exit_code": 2, "parameter": "--validity"}),
    (["send", TO, TEXT, "--json"], {"exit_code": 3, "name": "rejected", "code": 6, "segment_ids": []}),
    (["track", "no.db", "--json"], {"exit_code": 2, "parameter": "LEDGER"}),
    (["ledger", "unknown", "no.db", "--json"], {"exit_code": 2, "parameter": "LEDGER"}),
    (["incoming", "--follow", "--json", "--ledger", "/no/such/in.db"], {"exit_code": 2}),
]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("argv", "expected"), ERRORS, ids=lambda value: " ".join(value)[:50])
def test_errors_for_programs(
    cli: Cli, gateway: Sandbox, argv: list[str], expected: dict[str, object]
) -> None:
    """With `--json`, standard output has exactly one document with the error, also for wrong arguments."""
    gateway.refuse_next("Sms/Send", 6)
    outcome = cli(*argv)
    error = outcome.document["error"]
    assert expected.items() <= error.items()
    assert outcome.code == error["exit_code"]
    assert outcome.err == f"smsapi-async: {error['message']}\n"
    assert TO not in outcome.out
    assert TEXT not in outcome.out


@pytest.mark.parametrize(
    "argv", [["send", TO, TEXT, "--jsno", "--", "--json"], ["send", TO, "--", "--json=1"]]
)
def test_a_text_is_not_the_option_json(cli: Cli, argv: list[str]) -> None:
    """If `--json` stands after `--` as a text, the error is not printed as JSON."""
    assert failed(cli, *argv)[0] == ExitCode.BAD_INPUT


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("command", [["batch", "--text", "Hello"], ["batch", "--text", "Hello", "--dry-run"]])
def test_the_document_of_a_result_contains_the_error(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    """If some rows of `batch` fail, the one JSON document has the counts and the error."""
    table = tmp_path / "list.csv"
    table.write_text(f"phone\n{TO}\n12\n")
    outcome = cli(*command, str(table), "--json")
    assert outcome.code == outcome.document["error"]["exit_code"] == ExitCode.REJECTED
    assert len(outcome.document) > 1
    assert outcome.err.endswith(f"smsapi-async: {outcome.document['error']['message']}\n")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_an_error_completes_a_list(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    """If a ledger fails while its list is printed, the items and the error are one JSON document."""
    anyio.run(_fill, tmp_path / "run.db")

    async def documents(_: object) -> AsyncIterator[dict[str, int]]:
        for number in range(count):
            yield {"number": number}
        raise LedgerError("the disk failed")

    monkeypatch.setattr(ledger_lists, "_unknown_documents", documents)
    outcome = cli("ledger", "unknown", str(tmp_path / "run.db"), "--json")
    assert outcome.document["error"]["exit_code"] == outcome.code == ExitCode.BAD_INPUT
    assert outcome.document.get("unknown", []) == [{"number": number} for number in range(count)]
    assert cli("nothing", "--json").document["error"]["exit_code"] == ExitCode.BAD_INPUT


async def _fill(path: Path) -> None:
    async with Ledger.sqlite(path):
        pass


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("command", "code", "doubt"),
    [
        (["balance"], ExitCode.UNEXPECTED, False),
        (["send", TO, TEXT], ExitCode.OUTCOME_UNKNOWN, True),
    ],
)
def test_defect(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    code: ExitCode,
    *,
    doubt: bool,
) -> None:
    """For an unexpected exception, the error line contains the class of the exception and the line of code.

    The error line of an unexpected exception contains neither a phone number nor a text.
    """
    real = AsyncSmsClient.balance

    async def broken(sms: AsyncSmsClient, *args: Any, **options: Any) -> None:
        await real(sms)
        raise LookupError(f"{TO} {TEXT}")

    monkeypatch.setattr(AsyncSmsClient, command[0], broken)
    found, line = failed(cli, *command)
    assert found == code
    assert "LookupError at broken, line" in line
    assert ("OUTCOME UNKNOWN" in line) is doubt


def test_groups_are_unwrapped() -> None:
    """If a command raises an exception group, the exit code is that of the exception in the group.

    A `KeyboardInterrupt` in the group has priority over other exceptions.
    """
    wrapped = BaseExceptionGroup("", [ExceptionGroup("", [ClientClosed()])])
    assert explain(wrapped, in_doubt=False).code == ExitCode.BAD_INPUT
    interrupted = BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [KeyboardInterrupt()])])
    assert explain(interrupted, in_doubt=False).code == ExitCode.INTERRUPTED


@pytest.mark.parametrize("missing", ["cyclopts", "rich.console", "uvicorn"])
def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    """If the extra `cli` is not installed, the error line has the command that installs the extra."""
    monkeypatch.delitem(sys.modules, "smsapi_async.cli.run", raising=False)
    real = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name == "smsapi_async.cli.run":
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert main(["balance"]) == ExitCode.BAD_INPUT
    captured = capsys.readouterr()
    assert captured.err.endswith("pip install 'smsapi-async[cli]'\n")
    assert captured.err.count("\n") == 1


def test_without_a_module_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a module of smsapi_async is missing, the command line does not suggest the extra `cli`."""
    monkeypatch.setitem(sys.modules, "smsapi_async.cli.run", None)
    with pytest.raises(ModuleNotFoundError):
        main(["balance"])


def test_other_usage_errors() -> None:
    """For a `CycloptsError` of an unknown kind, the exit code is 2, and the error line quotes no argument."""
    failure = explain(CycloptsError(TEXT), in_doubt=False)
    assert failure.code == ExitCode.BAD_INPUT
    assert TEXT not in failure.line
