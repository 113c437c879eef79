"""The modules of the package obey limits on imports, names and length.

A room is a top-level module or subpackage of `smsapi_async`.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

import smsapi_async

PACKAGE = Path(smsapi_async.__file__).parent
ROOT = PACKAGE.parent

# Each set in `LAYERS` is a layer of rooms, from the lowest layer to the highest. A module imports from its
# own room and from rooms in lower layers, but not from another room in the same layer.
LAYERS = [
    {"version", "privacy", "clock", "datetimes", "states", "eventloop", "pace", "deferred"},
    {"models", "observers"},
    {"errors"},
    {"outcomes", "settings", "session", "streams", "guard", "schedule"},
    {"postgres", "portal", "variables"},
    {"protocol", "json"},
    {"http"},
    {"calls"},
    {"inbox", "tracking"},
    {"ledger"},
    {"postgres (public)"},
    {"batch"},
    {"loading"},
    {"parameters"},
    {"client"},
    {"blocking"},
    {"__init__"},
]
# The folder `postgres` contains two rooms. The ledger uses the modules of the room `postgres`. The modules of
# the room `postgres (public)` use the ledger.
PUBLIC_POSTGRES = {"__init__", "outbox", "outbox_connections", "outbox_failures", "outbox_messages", "shared"}
HEIGHTS = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}
# The rooms in `OUTSIDE` are in no layer: the sandbox imitates the gateway, the command line uses the public
# names, each module of `contrib` needs a library, and `testing` is the pytest plugin.
OUTSIDE = {"sandbox", "cli", "contrib", "testing", "__main__"}
FILES = sorted(PACKAGE.rglob("*.py"))
# `OWN_EXTRAS` maps a room to the libraries of optional extras that only this room may import.
OWN_EXTRAS = {"http": {"httptools", "socksio"}, "postgres": {"psycopg"}}
EXTRAS = {
    "aiohttp",
    "charset_normalizer",
    "httptools",
    "cyclopts",
    "fastapi",
    "jinja2",
    "opentelemetry",
    "phonenumbers",
    "platformdirs",
    "procrastinate",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "pydantic_core",
    "python_calamine",
    "pytest",
    "rich",
    "socksio",
    "sqlalchemy",
    "starlette",
    "structlog",
    "tomli_w",
    "trio",
    "uvicorn",
    "xlsxwriter",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def _room(module: str) -> str:
    """Return the room of a module: the name after `smsapi_async.`, or `__init__` for `smsapi_async`."""
    parts = module.split(".")
    if parts[1:2] == ["postgres"] and (parts[2] if len(parts) > 2 else "__init__") in PUBLIC_POSTGRES:
        return "postgres (public)"
    return parts[1] if len(parts) > 1 else "__init__"


def _imports(file: Path) -> set[str]:
    """Return the modules that a file imports, including imports in functions and under `TYPE_CHECKING`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports are not allowed"
            assert node.module is not None
            names.update(
                f"{node.module}.{alias.name}" if _is_module(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            )
    return names


def _is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def _own(names: set[str]) -> set[str]:
    """Return the modules that belong to `smsapi_async`."""
    return {name for name in names if name.split(".")[0] == PACKAGE.name}


def _files(*, outside: bool) -> list[Path]:
    """Return the files of the rooms in `OUTSIDE`, or the files of all other rooms."""
    return [file for file in FILES if (_room(_module(file)) in OUTSIDE) is outside]


def test_every_module_has_a_room() -> None:
    """Every top-level module or subpackage is in `LAYERS` or in `OUTSIDE`.

    Each name in `LAYERS` exists.
    """
    assert {_room(_module(file)) for file in _files(outside=False)} == set(HEIGHTS)


@pytest.mark.parametrize("file", _files(outside=False), ids=_module)
def test_arrows_go_down(file: Path) -> None:
    """A module imports only modules of its own room and of rooms in lower layers."""
    room = _room(_module(file))
    wrong = {
        name
        for name in _own(_imports(file))
        if _room(name) != room and HEIGHTS.get(_room(name), len(LAYERS)) >= HEIGHTS.get(room, 0)
    }
    assert not wrong


def test_no_circles() -> None:
    """The imports between the modules contain no cycle."""
    # Imports in functions and under `TYPE_CHECKING` count as imports. `smsapi_async/__init__.py` imports
    # every public name under `TYPE_CHECKING`. If a module with a public name imported `smsapi_async`, the
    # imports would contain a cycle.
    waiting = {
        _module(file).removesuffix(".__init__"): _own(_imports(file))
        - {_module(file).removesuffix(".__init__")}
        for file in FILES
    }
    while waiting:
        ready = [module for module, needed in waiting.items() if not needed & waiting.keys()]
        assert ready, f"these modules import each other in a cycle: {sorted(waiting)}"
        for module in ready:
            del waiting[module]


def test_a_name_means_one_thing() -> None:
    """No two classes and no two modules have the same name, except the modules `stream` and `__init__`."""
    classes = Counter(
        node.name
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    modules = Counter(file.stem for file in FILES if file.stem not in {"__init__", "stream"})
    assert [name for name, count in (classes + modules).items() if count > 1] == []


@pytest.mark.parametrize("file", _files(outside=False), ids=_module)
def test_who_may_import_httpx(file: Path) -> None:
    """Only the room `http` uses httpx, httpx2 and the packages below them."""
    libraries = {name.split(".")[0] for name in _imports(file)}
    if _room(_module(file)) != "http":
        assert not libraries & {"httpx", "httpcore", "httpx2", "httpcore2"}


@pytest.mark.parametrize("file", sorted((PACKAGE / "sandbox").rglob("*.py")), ids=_module)
def test_the_sandbox_shares_nothing_with_the_client(file: Path) -> None:
    """The sandbox imports no other room.

    With shared code, the sandbox could repeat a mistake of the client, so that no test would fail.
    """
    assert {_room(name) for name in _own(_imports(file))} <= {"sandbox"}


@pytest.mark.parametrize("file", _files(outside=False), ids=_module)
def test_the_client_knows_nothing_of_what_stands_beside_it(file: Path) -> None:
    """A room in `LAYERS` imports no room in `OUTSIDE`.

    The room imports only the optional libraries that `OWN_EXTRAS` allows.
    """
    names = _imports(file)
    assert not {_room(name) for name in _own(names)} & OUTSIDE
    allowed = OWN_EXTRAS.get(_room(_module(file)), set())
    assert not {name.split(".")[0] for name in names} & (EXTRAS - allowed)


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_modules_are_short(file: Path) -> None:
    """A module has at most 600 lines."""
    assert len(file.read_text().splitlines()) <= 600


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_functions_are_short(file: Path) -> None:
    """A function has at most 40 lines without its docstring, and at most 60 lines with its docstring."""
    functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Function)]
    too_long = {node.name: _lines(node) for node in functions if _lines(node) > 40 or _whole(node) > 60}
    assert not too_long


def _whole(function: Function) -> int:
    """Return the number of lines in the body of a function, including the docstring."""
    return (function.end_lineno or 0) - function.body[0].lineno + 1


def _lines(function: Function) -> int:
    """Return the number of lines in the body of a function, without the docstring."""
    first = function.body[0]
    if ast.get_docstring(function) is None:
        return _whole(function)
    return (function.end_lineno or 0) - (first.end_lineno or 0)
