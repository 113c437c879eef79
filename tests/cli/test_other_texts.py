"""Tests that `batch` sends no second text to a number of its ledger unless the user agrees."""

import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from smsapi_async.cli.batch.other_texts import ask
from smsapi_async.cli.exit_codes import ExitCode
from smsapi_async.sandbox import Sandbox
from tests.cli.conftest import Cli
from tests.cli.test_batch import FIRST, counts, read_report, sent, table
from tests.cli.test_process import read_until, started


@pytest.fixture
def ledger(cli: Cli, environment: dict[str, str], tmp_path: Path) -> str:
    """Return the path of a ledger with twelve accepted messages."""
    path = str(tmp_path / "run.db")
    assert cli("batch", str(table(tmp_path, 12)), "--text", "One", "--ledger", path).code == 0
    return path


def test_a_changed_text(cli: Cli, gateway: Sandbox, ledger: str, tmp_path: Path) -> None:
    """If a word of the text was changed, a second run sends nothing, until the user passes `--again`."""
    rows, out = str(table(tmp_path, 13)), tmp_path / "out.csv"
    command = ["batch", rows, "--text", "Two", "--ledger", ledger, "--report", str(out), "--json"]
    refused = cli(*command)
    assert refused.code == ExitCode.REJECTED
    assert "12 of the 13 rows read so far" in refused.err
    assert "for example line 2; these rows were not sent; to send them, too, pass --again" in refused.err
    assert "to continue" not in refused.err
    assert (counts(refused), refused.document["other_texts"]) == ({"pending": 13}, 12)
    assert {row["outcome"] for row in read_report(out)} == {"pending"}
    assert len(sent(gateway)) == 12
    again = cli(*command, "--again")
    assert (again.code, counts(again), again.document["other_texts"]) == (0, {"accepted": 13}, 0)
    assert len(sent(gateway)) == 25
    assert counts(cli(*command)) == {"accepted": 13}


def test_far_down(cli: Cli, gateway: Sandbox, ledger: str, tmp_path: Path) -> None:
    """A row of a long table that would send a second text to its number is not sent, either."""
    gateway.balance = Decimal(10_000)
    path = tmp_path / "long.csv"
    # The sandbox gives numbers with certain last digits, from 800 on, another outcome.
    numbers = [FIRST + thousand + index for thousand in (1000, 2000) for index in range(700)]
    numbers.append(FIRST)
    path.write_text("phone\n" + "".join(f"{number}\n" for number in numbers), "utf-8")
    outcome = cli("batch", str(path), "--text", "Two", "--ledger", ledger, "--json")
    assert outcome.code == ExitCode.REJECTED
    assert "1 of the 1,401 rows read so far" in outcome.err
    assert "for example line 1402;" in outcome.err
    assert len(set(sent(gateway))) == len(sent(gateway)) >= 12 + 1000


def test_two_texts_in_one_table(
    cli: Cli, gateway: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    """A table with two texts for each number is sent in the first run without a question."""
    gateway.balance = Decimal(10_000)
    path = tmp_path / "two.csv"
    rows = [f"{FIRST + index},{text}" for text in ("one", "two") for index in range(600)]
    path.write_text("\n".join(["phone,text", *rows]), "utf-8")
    assert cli("batch", str(path), "--ledger", str(tmp_path / "run.db")).code == 0
    assert len(sent(gateway)) == 1200


def test_standard_input(gateway: Sandbox, ledger: str, tmp_path: Path) -> None:
    """Rows from standard input are compared, too, and no question is asked."""
    with table(tmp_path, 12).open(encoding="utf-8") as rows:
        process = started("batch", "-", "--text", "Two", "--ledger", ledger, stdin=rows)
        _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.REJECTED
    assert "pass --again" in err
    assert "[y/N]" not in err
    assert len(sent(gateway)) == 12


@pytest.mark.parametrize(
    ("keys", "code", "messages"),
    [
        (b"y\n", ExitCode.DONE, 24),
        (b"\n", ExitCode.REJECTED, 12),
        (b"\x04", ExitCode.REJECTED, 12),
        (b"\x03", ExitCode.INTERRUPTED, 12),
    ],
)
def test_the_question(
    gateway: Sandbox, ledger: str, tmp_path: Path, keys: bytes, code: ExitCode, messages: int
) -> None:
    """In a terminal, `batch` asks once. Only the answer yes sends the rows; Ctrl-C and Ctrl-D do not."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = ["batch", str(table(tmp_path, 12)), "--text", "Two", "--ledger", ledger]
    process = started(
        *command, stdin=theirs, stderr=theirs, start_new_session=True, preexec_fn=_take_terminal
    )
    os.close(theirs)
    read_until(ours, "[y/N] ")
    os.write(ours, keys)
    process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == code
    assert len(sent(gateway)) == messages


def _take_terminal() -> None:
    """Make the terminal on standard input the terminal of this process, so that Ctrl-C sends SIGINT."""
    fcntl = pytest.importorskip("fcntl")
    fcntl.ioctl(0, pytest.importorskip("termios").TIOCSCTTY, 0)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Make a terminal standard input, and yield the descriptor of its other end."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours
    os.close(ours)


@pytest.mark.anyio
async def test_the_answer_on_either_loop(terminal: int) -> None:
    """The question ends with the answer, or with a cancellation; a later question reads its own answer."""
    with anyio.move_on_after(0.05) as scope:
        await ask("Really? ")
    assert scope.cancelled_caught
    for answer, expected in ((b"yesterday\n", False), (b"YES\n", True), (b"n\n", False)):
        os.write(terminal, answer)
        assert await ask("Really? ") is expected
