"""Only mypy checks the other modules of this folder.

The tests here check that these modules use all public names.
"""

import ast
import inspect
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import smsapi_async
from smsapi_async import blocking, ledger, observers, sandbox
from smsapi_async.sandbox import faults

MODULES = (smsapi_async, blocking, ledger, observers, sandbox, faults)
FILES = sorted(
    {*Path(__file__).parent.glob("*.py")} - {Path(__file__), Path(__file__).with_name("__init__.py")}
)
PUBLIC = {f"{module.__name__}.{name}": getattr(module, name) for module in MODULES for name in module.__all__}
# `run_sandbox` passes its keyword arguments on to `Sandbox`, and `with_` to `Dialect`. Therefore these
# arguments have the annotation `Any`.
WITH_ANY = {"smsapi_async.sandbox.run_sandbox", "smsapi_async.sandbox.Dialect.with_"}


def _imported(file: Path) -> dict[str, set[str]]:
    """Return the names that a file imports, as a dictionary from each module to its names."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found.setdefault(node.module, set()).update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_each_public_name_is_mentioned(module: ModuleType) -> None:
    """The modules of this folder import all public names.

    Ruff reports an import without a use, so each name is also used.
    """
    assert {name for file in FILES for name in _imported(file).get(module.__name__, ())} == {*module.__all__}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_any_is_an_error(file: Path) -> None:
    """Each module of this folder tells mypy to report every expression of type `Any`."""
    assert file.read_text().startswith("# mypy: disallow-any-expr\n")


def _functions() -> dict[str, Any]:
    """Return all public functions, constructors, methods and properties. The keys are their full names."""
    functions = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
    for name, kind in PUBLIC.items():
        for member, value in vars(kind).items() if inspect.isclass(kind) else ():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(function) and (not member.startswith("_") or member == "__init__"):
                functions[f"{name}.{member}"] = function
    return functions


@pytest.mark.parametrize("name", [name for name in _functions() if name not in WITH_ANY])
def test_no_annotation_is_any(name: str) -> None:
    """No annotation of a public function or method contains `Any`."""
    # Some modules import names only under `TYPE_CHECKING`. `get_type_hints` finds these names in `localns`.
    names = {full_name.rpartition(".")[2]: value for full_name, value in PUBLIC.items()}
    hints = typing.get_type_hints(_functions()[name], localns=names)
    assert not [parameter for parameter, hint in hints.items() if _has_any(hint)]


def _has_any(hint: object) -> bool:
    """Return whether an annotation is `Any` or contains `Any`."""
    return hint is Any or any(map(_has_any, typing.get_args(hint)))
