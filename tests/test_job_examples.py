"""The programs in tests/examples/jobs send each message once: tasks of Celery, a cron job and a notebook."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from tests.postgres.server import shared_server, skip_without_server
from tests.web_servers import PATIENCE, ROOT, environment_of, new_database

JOBS = ROOT / "tests" / "examples" / "jobs"
DAY = "2026-03-02"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a sandbox, whose deliveries take a moment."""
    with run_sandbox(speed=50) as served:
        yield served


def need(library: str) -> None:
    """Skip the test if a library is not installed, unless the test runs in CI."""
    if find_spec(library) is None and not os.environ.get("CI"):
        pytest.skip(f"install {library}")


def numbers(sandbox: Sandbox) -> Counter[str]:
    """Return how many messages each number got."""
    return Counter(message.destination_address for message in sandbox.account.messages)


@pytest.fixture
def appointments(tmp_path: Path) -> Path:
    """Write a table with 600 appointments of the day and one of another day."""
    path = tmp_path / "appointments.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "day", "time", "phone"])
        rows.writerows([index, DAY, f"{9 + index % 9}:00", f"79031{index:03}012"] for index in range(600))
        rows.writerow([600, "2026-03-03", "9:00", "79031600012"])
    return path


def _start(sandbox: Sandbox, appointments: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", str(JOBS / "cron_job.py"), appointments.name, DAY]
    environment = environment_of(sandbox)
    return subprocess.Popen(
        command, env=environment, cwd=appointments.parent, stderr=subprocess.PIPE, text=True
    )


def _ended(run: "subprocess.Popen[str]") -> tuple[int, str]:
    _, errors = run.communicate(timeout=PATIENCE)
    return run.returncode, errors


def test_a_cron_job_runs_again(sandbox: Sandbox, appointments: Path) -> None:
    """A cron job sends the reminders of the day once, however often it runs."""
    for _ in range(2):
        assert _ended(_start(sandbox, appointments)) == (0, "")
    assert numbers(sandbox) == {f"79031{index:03}012": 1 for index in range(600)}
    assert sandbox.account.messages[0].text.startswith("See you tomorrow at ")


def test_a_cron_job_is_killed(sandbox: Sandbox, appointments: Path) -> None:
    """A cron job that is killed leaves unknown messages, which the next run names and does not send."""
    with sandbox.hold("Sms/SendBulk") as gate:
        first = _start(sandbox, appointments)
        anyio.run(gate.arrived, 9)  # one request for each text
        # A second run during the first run sends nothing, and does not fail.
        assert _ended(_start(sandbox, appointments)) == (0, "an earlier run has not ended\n")
        first.kill()
        _ended(first)
    code, errors = _ended(_start(sandbox, appointments))
    assert (code, errors.count("Unknown(")) == (1, 600)
    assert numbers(sandbox) == {f"79031{index:03}012": 1 for index in range(600)}


def test_a_cron_job_without_credits(sandbox: Sandbox, appointments: Path) -> None:
    """A cron job that cannot send fails with the reason, and sends the reminders once there are credits."""
    balance, sandbox.balance = sandbox.balance, 0
    code, errors = _ended(_start(sandbox, appointments))
    assert code == 1
    assert "credits" in errors
    sandbox.balance = balance
    assert _ended(_start(sandbox, appointments)) == (0, "")
    assert len(numbers(sandbox)) == sum(numbers(sandbox).values()) == 600


# Lets the processes pass tasks through files, because the test has no other broker.
_WITH_FILES = """
import os, sys
from tests.examples.jobs.celery_tasks import app, notify

folder = os.environ["TASKS"]
names = "data_folder_in", "data_folder_out", "control_folder"
app.conf.broker_transport_options = dict.fromkeys(names, folder)
"""
_ENQUEUE = f"{_WITH_FILES}\nfor index in range(40): notify.delay(index % 10)"
_WORK = f"{_WITH_FILES}\napp.worker_main(['worker', '--concurrency=2', '--loglevel=info'])"


def test_tasks_of_celery(sandbox: Sandbox, tmp_path: Path) -> None:
    """Forty tasks for ten orders, in two worker processes, send ten messages, and log nothing private."""
    need("celery")
    skip_without_server()
    (tmp_path / "tasks").mkdir()
    log = tmp_path / "log"
    with new_database(shared_server(), "job_examples") as dsn, log.open("w") as output:
        environment = environment_of(
            sandbox,
            SMSAPI_POSTGRES_DSN=dsn,
            CELERY_BROKER="filesystem://",
            TASKS=str(tmp_path / "tasks"),
            PYTHONPATH=str(ROOT),
        )
        enqueue, work = [sys.executable, "-c", _ENQUEUE], [sys.executable, "-c", _WORK]
        subprocess.run(enqueue, env=environment, cwd=tmp_path, check=True, timeout=PATIENCE)
        with subprocess.Popen(
            work, env=environment, cwd=tmp_path, stdout=output, stderr=output, start_new_session=True
        ) as worker:
            try:
                end = time.monotonic() + PATIENCE
                while log.read_text().count("succeeded") < 40:
                    assert time.monotonic() < end, log.read_text()
                    time.sleep(0.05)
            finally:
                # The worker began a session, and its child processes are in its process group.
                os.killpg(worker.pid, signal.SIGKILL)
    assert numbers(sandbox) == {f"7903123{order:04}": 1 for order in range(10)}
    assert sum(arrival.resource == "User/SessionId" for arrival in sandbox.account.arrivals) <= 2
    assert "7903123" not in log.read_text()
    assert "Your order" not in log.read_text()


def test_the_notebook(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells of the notebook run one after the other, and show the receipt and the delivery."""
    for library in ("nbclient", "ipykernel"):
        need(library)
    import nbformat  # noqa: PLC0415 - the package may be missing
    from nbclient import NotebookClient  # noqa: PLC0415 - the package may be missing

    for name, value in environment_of(sandbox).items():
        monkeypatch.setenv(name, value)
    notebook: Any = cast("Any", nbformat).read(JOBS / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3").execute()
    shown = [output["data"]["text/plain"] for cell in notebook.cells for output in cell.get("outputs", [])]
    assert shown[0].startswith("Decimal(")
    assert shown[1].startswith("Receipt(")
    assert "79031234567" not in shown[1]
    assert shown[2] == "<Phase.DELIVERED: 'delivered'>"
    assert numbers(sandbox) == {"79031234567": 1}
