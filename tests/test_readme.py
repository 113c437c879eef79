"""Tests that the README quotes or links each program in tests/examples, and that each program runs."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.text import TextReceiveStream
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from smsapi_async.sandbox import Sandbox, run_sandbox

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BOT = ROOT / "tests" / "examples" / "bot.py"
EXAMPLES = sorted(path for path in (ROOT / "tests" / "examples").glob("*.py") if path.name != "__init__.py")
# The other examples are tests, which tests/testing runs.
PROGRAMS = [path for path in EXAMPLES if not path.name.startswith("test_")]


def _blocks() -> list[str]:
    """Return the Python programs in the README."""
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(README)
    return [str(example.parsed).strip() for example in document.examples()]


def test_every_python_block_is_an_example_that_runs() -> None:
    """Each Python program in the README is identical to a program in tests/examples."""
    blocks = _blocks()
    assert len(blocks) == 4
    assert {*blocks} <= {path.read_text().strip() for path in EXAMPLES}


def test_every_example_is_shown_or_linked() -> None:
    """The README quotes each program in tests/examples or contains a link to the program."""
    text, blocks = README.read_text(), _blocks()
    for path in EXAMPLES:
        assert path.read_text().strip() in blocks or f"({path.relative_to(ROOT)})" in text


def test_every_part_is_in_an_example() -> None:
    """Each part of a program in the README stands, with other indentation, in a program of many machines."""
    parts = re.findall(r"^```py\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len(parts) == 4
    programs = [
        " ".join(path.read_text().split()) for path in (ROOT / "tests/examples/machines").glob("*.py")
    ]
    for part in parts:
        assert any(" ".join(part.split()) in program for program in programs), part


def test_every_link_leads_somewhere() -> None:
    """Each link in the README to a file or a folder of the repository is valid."""
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_is_short() -> None:
    """The README has at most 320 lines."""
    assert len(README.read_text().splitlines()) <= 320


def _environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the environment variables of this process, and variables with the account of the sandbox."""
    return {
        **os.environ,
        "SMSAPI_LOGIN": sandbox.login,
        "SMSAPI_PASSWORD": sandbox.password,
        "SMSAPI_BASE_URL": sandbox.base_url,
        "SMSAPI_SOURCE_ADDRESS": "ACME",
    }


@pytest.mark.anyio
@pytest.mark.parametrize("example", [path for path in PROGRAMS if path != BOT], ids=lambda path: path.stem)
async def test_an_example_runs_against_the_sandbox(example: Path, anyio_backend: str, tmp_path: Path) -> None:
    """Each program in tests/examples, except the bot, runs against the sandbox without an error."""
    async with run_sandbox(speed=20) as sandbox:
        done = await anyio.run_process(
            [sys.executable, "-W", "error", str(example)],
            env=_environment(sandbox),
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        has_own_sandbox = example.stem in {"own_tests", "receive"}
        assert has_own_sandbox or sandbox.account.messages


@asynccontextmanager
async def _running_bot(sandbox: Sandbox, directory: Path) -> AsyncIterator[TextReceiveStream]:
    """Start the bot in `directory`, yield its output as a stream, and kill the bot after the `with` block."""
    command = [sys.executable, "-u", "-W", "error", str(BOT)]
    async with await anyio.open_process(command, env=_environment(sandbox), cwd=directory) as bot:
        assert bot.stdout is not None
        try:
            yield TextReceiveStream(bot.stdout)
        finally:
            bot.kill()


@pytest.mark.anyio
async def test_the_bot_answers_once_over_restarts(anyio_backend: str, tmp_path: Path) -> None:
    """A bot that is killed while it sends a reply does not send this reply again after a restart."""
    async with run_sandbox() as sandbox:
        sandbox.receive("79031234567", text="call me", destination_address="79160000000")
        with sandbox.hold("Sms/Send") as gate:
            async with _running_bot(sandbox, tmp_path):
                await gate.arrived()
        async with _running_bot(sandbox, tmp_path) as lines:
            assert (await lines.receive()).startswith("Unknown(")
        sandbox.receive("79161234567", text="me, too", destination_address="79160000000")
        async with _running_bot(sandbox, tmp_path) as lines:
            while "Accepted(" not in await lines.receive():
                pass
        answered = [message.destination_address for message in sandbox.account.messages]
        assert answered == ["79031234567", "79161234567"]


@pytest.mark.anyio
async def test_the_bot_ends_with_an_error(anyio_backend: str, tmp_path: Path) -> None:
    """A bot with a wrong password does not stay silent: the process ends with an error and a log record."""
    async with run_sandbox() as sandbox:
        done = await anyio.run_process(
            [sys.executable, "-W", "error", str(BOT)],
            env={**_environment(sandbox), "SMSAPI_PASSWORD": "wrong"},
            cwd=tmp_path,
            check=False,
        )
    assert done.returncode == 1
    assert b"the watcher ended, and the bot ends: InvalidCredentials" in done.stderr


def test_the_ci_script_finds_the_test_command() -> None:
    """The README contains the same test command as the script `.ci/run`."""
    match = re.search(r"<!-- tests -->\n```sh\n(.+)\n```", README.read_text())
    assert match is not None
    assert "nox" in match[1]
