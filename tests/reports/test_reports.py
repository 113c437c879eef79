"""Tests that reports of failed sends to Sentry and with structlog contain no private value."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.served import served_in_thread

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _with_libraries() -> None:
    """Skip the tests without the libraries, but fail in CI."""
    for name in ("sentry_sdk", "structlog"):
        if find_spec(name) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")


class SentryServer(ThreadingHTTPServer):
    """A server that keeps the envelopes which the SDK of Sentry sends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dsn = f"http://key@127.0.0.1:{self.server_port}/1"
        self.envelopes: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: SentryServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.envelopes.append((gzip.decompress(body) if is_packed else body).decode())
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Write no log."""


def reports(configuration: str, frames: str, directory: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Run the program with the failures, and return its reports and its private values."""
    with served_in_thread(SentryServer()) as server:
        done = subprocess.run(
            [sys.executable, "-m", "tests.reports.failures", configuration, frames, "private.json"],
            env={**os.environ, "SENTRY_DSN": server.dsn, "PYTHONPATH": str(ROOT), "COLUMNS": "1000"},
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        texts = [*server.envelopes, done.stdout, done.stderr]
    values: dict[str, list[str]] = json.loads((directory / "private.json").read_text())
    assert all(values.values())
    return texts, values


def leaks(texts: list[str], values: dict[str, list[str]]) -> set[str]:
    """Return the names of the private values that a text contains."""
    return {
        name
        for name, secrets in values.items()
        if any(secret in text for text in texts for secret in secrets)
    }


def frames(value: Any) -> Iterator[dict[str, Any]]:
    """Return the frames with local variables in a value of an envelope."""
    if isinstance(value, dict):
        if "vars" in value and "module" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from frames(each)


def assert_named(texts: list[str]) -> None:
    """Assert that the reports name the errors of the failed sends."""
    together = "\n".join(texts)
    for name in ("NotSent", "OutcomeUnknown", "Forbidden", "InvalidCredentials", "ClientClosed"):
        assert name in together


@pytest.mark.parametrize("configuration", ["sentry-recipe", "structlog-recipe"])
def test_a_recipe_reports_all_failures_without_private_values(configuration: str, tmp_path: Path) -> None:
    """The reports of each recipe name the failures, and show no private value, also not of own frames."""
    texts, values = reports(configuration, "careless", tmp_path)
    assert leaks(texts, values) == set()
    assert_named(texts)


WITH_LOCALS = ["sentry-with-locals", "json-with-locals", "console-with-locals"]


@pytest.mark.parametrize("configuration", WITH_LOCALS)
def test_the_package_shows_no_private_value(configuration: str, tmp_path: Path) -> None:
    """With local variables in each report, the frames, log records and spans of the package are clean."""
    texts, values = reports(configuration, "private", tmp_path)
    assert leaks(texts, values) == set()
    assert_named(texts)


@pytest.mark.parametrize("configuration", ["json-with-locals", "console-with-locals"])
def test_the_search_finds_private_values_of_own_frames(configuration: str, tmp_path: Path) -> None:
    """Without the setting of the recipe, the reports show the number and text of the user's own frames."""
    texts, values = reports(configuration, "careless", tmp_path)
    assert leaks(texts, values) == {"number", "text"}


def test_only_own_frames_show_private_values_to_sentry(tmp_path: Path) -> None:
    """Without the setting of the recipe, Sentry gets the number and text, but not from the package."""
    texts, values = reports("sentry-with-locals", "careless", tmp_path)
    assert leaks(texts, values) == {"number", "text"}
    lines = [line for text in texts for line in text.splitlines() if line.startswith("{")]
    shown = [frame for line in lines for frame in frames(json.loads(line))]
    assert "smsapi_async.client" in {frame["module"] for frame in shown}
    showing = {frame["module"] for frame in shown if leaks([json.dumps(frame["vars"])], values)}
    assert showing == {"tests.examples.reports.sentry_reports"}
