"""The checks of this repository.

`nox` runs all checks with its own interpreter. `nox -s tests` runs the tests with each Python version that
pyproject.toml lists.
"""

import os
import pathlib
import sys

import nox

nox.needs_version = ">=2025.10"
nox.options.sessions = ["check"]
nox.options.error_on_missing_interpreters = False

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
# The number of workers is one more than the number of cores, so that each core is busy while some tests wait
# for sockets and timeouts.
PARALLEL = ("-n", str(1 + (os.cpu_count() or 1)), "--dist", "worksteal")


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """Run ruff, mypy, the tests and the coverage check with the interpreter that runs nox."""
    _lint(session)
    _types(session)
    _tests(session)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with each listed Python version that is installed."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", *PARALLEL, *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check the style of the code with ruff."""
    _lint(session)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check the types with mypy."""
    _types(session)


@nox.session(venv_backend="none")
def chaos(session: nox.Session) -> None:
    """Run batches with thousands of fault scripts and 1,600 killed processes. Print the counts."""
    for backend, transport in (("asyncio", "asyncio"), ("asyncio", "httpcore"), ("trio", "httpcore")):
        options = ("--backend", backend, "--transport", transport)
        session.run(sys.executable, "-m", "tests.batch.chaos", "--scripts", "2000", *options)
        session.run(sys.executable, "-m", "tests.postgres.worker.kills", "--kills", "170", *options)
    session.run(sys.executable, "-m", "tests.batch.chaos", "--scripts", "2000", "--ledger", "postgres")
    session.run(sys.executable, "-m", "tests.batch.kills", "110", "10", "1")


@nox.session(venv_backend="none")
def memory(session: nox.Session) -> None:
    """Measure the peak memory of a batch of 10,000 messages and of a batch of 1,000,000 messages."""
    session.run(sys.executable, "-m", "tests.batch.memory")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Compare this package with hand-written code. Print tables, and write a JSON file and a PNG file."""
    session.install("--editable", ".[benchmarks]")
    folder = pathlib.Path(session.create_tmp())
    files = {"--json": folder / "benchmarks.json", "--plot": folder / "benchmarks.png"}
    options = [str(part) for pair in files.items() for part in pair]
    session.run("python", "-m", "benchmarks", *options, *session.posargs)
    session.log("wrote %s", " and ".join(map(str, files.values())))


@nox.session
def docs(session: nox.Session) -> None:
    """Render the public modules as HTML pages; fail if a public name has no docstring."""
    session.install("--editable", ".[docs]")
    folder = pathlib.Path(session.create_tmp())
    session.run("python", "-W", "error", ".ci/docs.py", str(folder))
    session.log("open %s", folder / "index.html")


def _lint(session: nox.Session) -> None:
    session.run(sys.executable, "-m", "ruff", "check", ".")
    session.run(sys.executable, "-m", "ruff", "format", "--check", ".")


def _types(session: nox.Session) -> None:
    session.run(sys.executable, "-m", "mypy")


def _tests(session: nox.Session) -> None:
    # Coverage doubles the time of a test, so it measures only some cases of each test: see tests/measured.py.
    tests = ("-m", "pytest", *PARALLEL, *session.posargs)
    session.run(sys.executable, "-m", "coverage", "erase")
    session.run(sys.executable, "-m", "coverage", "run", *tests, "-m", "measured")
    # pytest exits with 5 if the arguments of the command select only measured tests.
    session.run(sys.executable, *tests, "-m", "not measured", success_codes=(0, 5))
    session.run(sys.executable, "-m", "coverage", "combine", "--quiet")
    session.run(sys.executable, "-m", "coverage", "report", "--fail-under=95")
