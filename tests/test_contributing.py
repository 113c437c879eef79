"""Tests that the documents in .github name only files, nox sessions and layers that exist."""

import ast
import re
from pathlib import Path

import pytest

from smsapi_async import __version__
from smsapi_async.sandbox.tables import RESOURCES
from tests.public.test_rooms import LAYERS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted((ROOT / ".github").glob("*.md"))
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
CHANGELOG = (ROOT / ".github" / "CHANGELOG.md").read_text()
LIMITS = {"CONTRIBUTING.md": 150, "SECURITY.md": 60}

_PATH = re.compile(r"`((?:[.\w-]+/)+[.\w-]*|[.\w-]+\.(?:py|toml|yaml|md))`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.name))
def test_every_path_exists(document: Path) -> None:
    """Each path in backticks in a document exists, in the repository or in the folder of the path before."""
    # A resource of the gateway looks like a path.
    folder = ROOT
    for path in _PATH.findall(document.read_text()):
        if path.lower() in RESOURCES:
            continue
        if not (ROOT / path).exists():
            assert (folder / path).exists(), path
        else:
            folder = (ROOT / path).parent


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.name))
def test_the_documents_are_short(document: Path) -> None:
    """Each document in .github has at most as many lines as `LIMITS` allows for this document."""
    assert len(document.read_text().splitlines()) <= LIMITS.get(document.name, 1000)


def test_every_session_of_nox_exists_and_is_explained() -> None:
    """CONTRIBUTING.md contains a command for every session in noxfile.py, and for no other session."""
    functions = [
        node
        for node in ast.parse((ROOT / "noxfile.py").read_text()).body
        if isinstance(node, ast.FunctionDef)
    ]
    sessions = {function.name for function in functions if function.decorator_list}
    named = {name for names in re.findall(r"nox -s ([a-z ]+)", CONTRIBUTING) for name in names.split()}
    assert named | {"check"} == sessions


def test_every_room_is_explained_in_order() -> None:
    """The table of rooms (packages) has one row for each layer of imports, from the highest to the lowest."""
    table = CONTRIBUTING.split("\n## The rooms\n")[1]
    rows = re.findall(r"^\| (`[a-z`, ()]+`) \| .+ \|$", table, re.MULTILINE)
    assert [set(re.findall(r"`([^`]+)`", row)) for row in rows] == [*reversed(LAYERS)][1:]


def test_the_version_has_a_section() -> None:
    """The changelog has a section for the version of the package."""
    assert f"\n## {__version__}\n" in CHANGELOG
