"""The README's examples are the files in tests/examples, and each runs against the sandbox."""

import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from smsapi_async.sandbox import run_sandbox

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
EXAMPLES = sorted(path for path in (ROOT / "tests" / "examples").glob("*.py") if path.name != "__init__.py")


def _blocks() -> list[str]:
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(README)
    return [str(example.parsed).strip() for example in document.examples()]


def test_every_python_block_is_an_example_that_runs() -> None:
    """What the README shows is, word for word, what is tested below."""
    assert sorted(_blocks()) == sorted(path.read_text().strip() for path in EXAMPLES)


@pytest.mark.anyio
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
async def test_an_example_runs_against_the_sandbox(example: Path, anyio_backend: str, tmp_path: Path) -> None:
    """An example copied out of the README works with only the environment set."""
    async with run_sandbox(speed=20) as sandbox:
        sandbox.receive("79031234567", "call me", destination_address="79160000000")
        environment = {
            **os.environ,
            "SMSAPI_LOGIN": sandbox.login,
            "SMSAPI_PASSWORD": sandbox.password,
            "SMSAPI_BASE_URL": sandbox.base_url,
            "SMSAPI_SOURCE_ADDRESS": "ACME",
        }
        done = await anyio.run_process(
            [sys.executable, "-W", "error", str(example)],
            env=environment,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert example.stem == "local_gateway" or sandbox.account.messages


def test_the_ci_script_finds_the_test_command() -> None:
    """The command behind `.ci/run` is the README's own."""
    match = re.search(r"<!-- tests -->\n```sh\n(.+)\n```", README.read_text())
    assert match is not None
    assert "nox" in match[1]
