"""The login-code tests in JavaScript and PHP work, where their runtimes are installed."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox

LOGIN = Path(__file__).parent / "examples" / "login"
PATIENCE = 60


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox with its control API."""
    with run_sandbox() as running:
        yield running


@pytest.fixture
def environment(sandbox: Sandbox) -> Iterator[dict[str, str]]:
    """Run the web application, and return the environment variables of a test of the application."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    account = {
        "SMSAPI_BASE_URL": sandbox.base_url,
        "SMSAPI_LOGIN": sandbox.login,
        "SMSAPI_PASSWORD": sandbox.password,
        "SMSAPI_SOURCE_ADDRESS": "ACME",
    }
    command = [sys.executable, str(LOGIN / "login_app.py"), str(port)]
    with subprocess.Popen(command, env={**os.environ, **account}) as application:
        try:
            _wait_for(port)
            api = sandbox.base_url.replace("/rest", "/api/v1")
            yield {**os.environ, "APP_URL": f"http://127.0.0.1:{port}", "SANDBOX_API": api}
        finally:
            application.terminate()


def _wait_for(port: int) -> None:
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            subprocess.run([sys.executable, "-c", "import time; time.sleep(0.02)"], check=True)
        else:
            return
    raise AssertionError("the application does not listen")


def _run(
    command: list[str], environment: dict[str, str], directory: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_php(environment: dict[str, str], sandbox: Sandbox) -> None:
    """The script in PHP reads the code of the message, and logs in."""
    php = shutil.which("php")
    if php is None:
        pytest.skip("PHP is not installed")
    done = _run([php, str(LOGIN / "login_code.php")], environment)
    assert done.returncode == 0, done.stderr
    assert sandbox.account.messages[-1].text.split()[-1] in done.stdout


def test_playwright(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """The test in JavaScript reads the code of the message in a browser, and logs in."""
    node, chromium = shutil.which("node"), shutil.which("chromium")
    modules = os.environ.get("NODE_PATH", "")
    if node is None or chromium is None or not Path(modules, "@playwright", "test").exists():
        pytest.skip("Playwright for JavaScript is not installed; set NODE_PATH to its folder")
    shutil.copy(LOGIN / "login_code.spec.js", tmp_path)
    launch = f'{{ executablePath: "{chromium}", args: ["--no-sandbox"] }}'
    (tmp_path / "playwright.config.js").write_text(
        f"module.exports = {{ use: {{ launchOptions: {launch} }} }};"
    )
    (tmp_path / "node_modules").symlink_to(modules)
    done = _run([node, str(Path(modules, "@playwright", "test", "cli.js")), "test"], environment, tmp_path)
    assert done.returncode == 0, done.stdout
    assert len(sandbox.account.messages) == 1
