"""The fixture `project`: a project of a user of this package, whose tests run in a process of their own."""

import os
import re
import subprocess
import sys
import textwrap
from importlib.metadata import entry_points
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
# pytest loads the plugin by itself only if the package is installed from this folder.
LOADED = any(entry.name == "smsapi_async" for entry in entry_points(group="pytest11"))
PLUGIN = () if LOADED else ("-p", "smsapi_async.testing.plugin")


@attrs.frozen
class Run:
    """The end of a run of pytest.

    Attributes:
        code: the exit code of pytest.
        output: the standard output and the standard error of pytest.
    """

    code: int
    output: str

    @property
    def counts(self) -> dict[str, int]:
        """The number of tests for each result, for example ``{"passed": 2}``."""
        last = self.output.strip().splitlines()[-1]
        found = re.findall(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed)", last)
        return {result: int(number) for number, result in found}


@attrs.frozen
class Project:
    """A folder with tests and a configuration of pytest.

    Attributes:
        folder: the folder.
    """

    folder: Path

    def write(self, source: str, name: str = "test_user.py") -> None:
        """Write a file of the project."""
        (self.folder / name).write_text(textwrap.dedent(source))

    def run(self, *arguments: str, with_asyncio: bool = False, **variables: str) -> Run:
        """Run the tests of the project in another process.

        Args:
            arguments: the arguments of pytest.
            with_asyncio: whether pytest-asyncio is loaded.
            variables: further environment variables.
        """
        plugins = PLUGIN if with_asyncio else (*PLUGIN, "-p", "no:asyncio")
        return self.python("-m", "pytest", "-q", "-p", "no:randomly", *plugins, *arguments, **variables)

    def python(self, *arguments: str, **variables: str) -> Run:
        """Run Python in the folder of the project.

        Args:
            arguments: the arguments of Python.
            variables: further environment variables.
        """
        dropped = ("PYTEST", "SMSAPI", "COV")
        own = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        path = os.pathsep.join(filter(None, [str(ROOT), own.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**own, "PYTHONPATH": path, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project with a strict configuration of pytest."""
    made = Project(tmp_path)
    made.write(
        """
        [pytest]
        addopts = --strict-markers --strict-config
        filterwarnings = error
        """,
        "pytest.ini",
    )
    return made
