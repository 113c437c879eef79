"""Checks: `nox` runs them all here, `nox -s tests` runs the tests on each interpreter of pyproject.toml."""

import pathlib
import sys

import nox

nox.needs_version = ">=2025.10"
nox.options.sessions = ["check"]
nox.options.error_on_missing_interpreters = False

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """Lint, types, tests and coverage with the interpreter that runs nox, installing nothing."""
    _lint(session)
    _types(session)
    _tests(session)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, on each interpreter found."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style."""
    _lint(session)


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Types."""
    _types(session)


@nox.session(venv_backend="none")
def chaos(session: nox.Session) -> None:
    """Thousands of fault scripts and hundreds of kills; prints messages, faults, duplicates and losses."""
    for backend, transport in (("asyncio", "aiohttp"), ("asyncio", "httpcore"), ("trio", "httpcore")):
        options = ("--scripts", "2000", "--backend", backend, "--transport", transport)
        session.run(sys.executable, "-m", "tests.batch.chaos", *options)
    session.run(sys.executable, "-m", "tests.batch.kills", "40", "5", "1")


@nox.session(venv_backend="none")
def memory(session: nox.Session) -> None:
    """Peak memory of a batch of 10,000 and of one of 1,000,000 messages."""
    session.run(sys.executable, "-m", "tests.batch.memory")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Side by side with what one would write by hand: tables, and the JSON and PNG files that it names."""
    session.install("--editable", ".[benchmarks]")
    folder = pathlib.Path(session.create_tmp())
    files = {"--json": folder / "benchmarks.json", "--plot": folder / "benchmarks.png"}
    options = [str(part) for pair in files.items() for part in pair]
    session.run("python", "-m", "benchmarks", *options, *session.posargs)
    session.log("wrote %s", " and ".join(map(str, files.values())))


def _lint(session: nox.Session) -> None:
    session.run(sys.executable, "-m", "ruff", "check", ".")
    session.run(sys.executable, "-m", "ruff", "format", "--check", ".")


def _types(session: nox.Session) -> None:
    session.run(sys.executable, "-m", "mypy")


def _tests(session: nox.Session) -> None:
    session.run(sys.executable, "-m", "coverage", "erase")
    session.run(sys.executable, "-m", "coverage", "run", "-m", "pytest", *session.posargs)
    session.run(sys.executable, "-m", "coverage", "combine", "--quiet")
    session.run(sys.executable, "-m", "coverage", "report", "--fail-under=95")
