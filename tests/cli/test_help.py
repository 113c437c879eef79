"""Tests of the help, of its topics, and of the completion scripts."""

import re
import shutil
import subprocess
import sys

import pytest

from smsapi_async.cli.exit_codes import EXIT_CODE_MEANINGS, ExitCode
from tests.cli.conftest import Cli

BASH = shutil.which("bash") or ""
ACCOUNT_COMMANDS = ["balance", "batch", "bulk", "incoming", "send", "state", "statistics", "track"]
COMMANDS = [*ACCOUNT_COMMANDS, "completion", "demo", "help", "ledger", "sandbox"]
SUBCOMMANDS = ["accept-copy", "report", "resolve", "retry", "summary", "unknown"]


def test_exit_codes_are_one_topic(cli: Cli) -> None:
    """`help exit-codes` explains each exit code; the help names the topic, and repeats no exit code."""
    assert list(EXIT_CODE_MEANINGS) == list(ExitCode)
    out = " ".join(cli("help", "exit-codes").out.split())
    for code, meaning in EXIT_CODE_MEANINGS.items():
        assert f"{int(code)} {meaning}" in out
    assert "help exit-codes" in " ".join(cli("--help").out.split())
    for command in COMMANDS:
        shown = cli(command, "--help").out
        assert "130" not in shown.replace("21:00", "")
        assert "Exit codes" not in shown


def test_topic_of_the_configuration(cli: Cli) -> None:
    """`help configuration` names the usual file, the variables, and the options that the file cannot have."""
    out = cli("help", "configuration").out
    for words in (
        "config.toml",
        "SMSAPI_CONFIG",
        "SMSAPI_PROFILE",
        "SMSAPI_PASSWORD",
        "--again",
        "--text-file",
    ):
        assert words in out


@pytest.mark.parametrize("command", [["send"], ["ledger"], ["ledger", "resolve"], []])
def test_help_of_a_command(cli: Cli, command: list[str]) -> None:
    """`help COMMAND` prints the same text as `COMMAND --help`."""
    outcome = cli("help", *command)
    assert outcome == cli(*command, "--help")
    assert outcome.code == 0
    assert "Usage:" in outcome.out


def test_help_of_an_unknown_topic(cli: Cli) -> None:
    """If the topic is misspelt, the error names the similar topic and all topics."""
    outcome = cli("help", "exit-code")
    assert (outcome.code, outcome.out) == (ExitCode.BAD_INPUT, "")
    assert "no such topic: exit-code (did you mean exit-codes?)" in outcome.err
    assert "configuration" in outcome.err


@pytest.mark.parametrize(
    "command", [*([each] for each in COMMANDS), *(["ledger", each] for each in SUBCOMMANDS)], ids=" ".join
)
def test_help_fits_the_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """With 80 columns, no line of the help is wider, and no word of an option is broken."""
    monkeypatch.setenv("COLUMNS", "80")
    out = cli(*command, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    if command[0] in ACCOUNT_COMMANDS:
        assert {"--config", "--profile", "--proxy", "--ca-file"} <= set(re.findall(r"--[a-z-]*[a-z]", out))
    # The name of an option that is broken over two lines leaves a hyphen at the end of a line.
    assert not re.search(r"--[a-z-]*[a-z]-\s*│$", out, re.MULTILINE)


ALL_HELP = """
from smsapi_async.cli import main
for command in ([], ["send"], ["batch"], ["ledger"], ["ledger", "resolve"]):
    main([*command, "--help"])
"""


def test_help_without_docstrings() -> None:
    """With `python -OO`, which removes docstrings, the help is identical to the help without this option."""
    helps = [
        subprocess.run([sys.executable, *flags, "-c", ALL_HELP], capture_output=True, check=True).stdout
        for flags in ([], ["-OO"])
    ]
    assert helps[0] == helps[1]
    assert helps[0].count(b"Usage: ") == 5


def test_help_and_version(cli: Cli) -> None:
    """Without arguments, `smsapi-async` lists its commands. With `--version`, it prints one line."""
    out = cli().out
    assert all(f" {name} " in out for name in COMMANDS)
    assert re.fullmatch(r"\d+\.\d+.*\n", cli("--version").out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion(cli: Cli, shell: str) -> None:
    """`completion SHELL` prints a script that knows all commands and the options of `batch`."""
    outcome = cli("completion", shell)
    assert (outcome.code, outcome.err) == (0, "")
    assert "smsapi-async" in outcome.out
    for word in (*COMMANDS, *SUBCOMMANDS, "messages-per-minute"):
        assert word in outcome.out


@pytest.mark.skipif(not BASH, reason="needs bash")
def test_completion_in_bash(cli: Cli) -> None:
    """Bash completes a command and an option with the script."""
    script = cli("completion", "bash").out
    program = script + (
        '\ncomplete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*";'
        ' COMP_POINT=${#COMP_LINE}; COMPREPLY=(); _smsapi_async; echo "${COMPREPLY[@]}"; }'
        "\ncomplete_words smsapi-async sta\ncomplete_words smsapi-async batch --messages\n"
    )
    finished = subprocess.run([BASH, "-c", program], capture_output=True, text=True, check=True)
    commands, options = finished.stdout.splitlines()
    assert {"state", "statistics"} <= set(commands.split())
    assert options.split() == ["--messages-per-minute"]
