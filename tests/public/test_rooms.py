"""The rooms of the package: which module may import which, and how large each may be."""

import ast
from collections import Counter
from pathlib import Path

import pytest

import smsapi_async

PACKAGE = Path(smsapi_async.__file__).parent
ROOT = PACKAGE.parent

# Lowest first; rooms on one floor do not import one another.
FLOORS = [
    {"version", "privacy", "clock", "states"},
    {"models"},
    {"errors"},
    {"outcomes", "settings", "session", "streams"},
    {"protocol"},
    {"http"},
    {"calls"},
    {"inbox", "tracking"},
    {"ledger"},
    {"batch"},
    {"client"},
    {"__init__"},
]
HEIGHTS = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
# They stand beside the rooms: the gateway that plays the other side, and the command line over the package.
OUTSIDE = {"sandbox", "cli", "__main__"}
FILES = sorted(PACKAGE.rglob("*.py"))
# A room that needs an extra imports its library; nothing else does.
OWN_EXTRAS = {"ledger": {"sqlalchemy"}, "http": {"aiohttp", "socksio"}}
EXTRAS = {"aiohttp", "socksio", "starlette", "uvicorn", "cyclopts", "rich", "sqlalchemy", "trio", "jinja2"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def _room(module: str) -> str:
    """The room of a dotted name: the part after the package's name; the package itself is its root."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _imports(file: Path) -> set[str]:
    """The modules a file imports, also within functions and for type checkers only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
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
    return {name for name in names if name.split(".")[0] == PACKAGE.name}


def _files(*, outside: bool) -> list[Path]:
    return [file for file in FILES if (_room(_module(file)) in OUTSIDE) is outside]


def test_every_module_has_a_room() -> None:
    """A module that nobody has given a place is noticed, and so is a place without a module."""
    assert {_room(_module(file)) for file in _files(outside=False)} == set(HEIGHTS)


@pytest.mark.parametrize("file", _files(outside=False), ids=_module)
def test_arrows_go_down(file: Path) -> None:
    """A module imports only from its own room and from lower floors."""
    room = _room(_module(file))
    wrong = {
        name
        for name in _own(_imports(file))
        if _room(name) != room and HEIGHTS.get(_room(name), len(FLOORS)) >= HEIGHTS.get(room, 0)
    }
    assert not wrong


def test_no_circles() -> None:
    """All modules can be put in an order in which each imports only those before it.

    Imports within functions and for type checkers count. The package's `__init__` names all that is public
    for type checkers, so it comes last, and no module imports from it.
    """
    waiting = {
        _module(file).removesuffix(".__init__"): _own(_imports(file))
        - {_module(file).removesuffix(".__init__")}
        for file in FILES
    }
    while waiting:
        ready = [module for module, needed in waiting.items() if not needed & waiting.keys()]
        assert ready, f"they import each other: {sorted(waiting)}"
        for module in ready:
            del waiting[module]


def test_a_name_means_one_thing() -> None:
    """No two classes have one name, nor two modules, but for the stream of each room that has one."""
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
    """Only `http/` uses httpx and httpcore; the client's constructor names httpx in its annotations."""
    libraries = {name.split(".")[0] for name in _imports(file)} & {"httpx", "httpcore"}
    room = _room(_module(file))
    if room == "client":
        assert libraries <= {"httpx"}
        assert _uses_outside_annotations(file, "httpx") == []
    elif room != "http":
        assert not libraries


def _uses_outside_annotations(file: Path, name: str) -> list[int]:
    """The lines on which a name is used at run time."""
    tree = ast.parse(file.read_text())
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if isinstance(annotation, ast.AST)
        for part in ast.walk(annotation)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == name and id(node) not in annotations
    ]


@pytest.mark.parametrize("file", sorted((PACKAGE / "sandbox").rglob("*.py")), ids=_module)
def test_the_sandbox_shares_nothing_with_the_client(file: Path) -> None:
    """The sandbox imports nothing of the rest of the package: a mistake cannot pass both sides."""
    assert {_room(name) for name in _own(_imports(file))} <= {"sandbox"}


@pytest.mark.parametrize("file", _files(outside=False), ids=_module)
def test_the_client_knows_nothing_of_what_stands_beside_it(file: Path) -> None:
    """Neither the sandbox, nor the command line, nor a library of the extras is imported by the core."""
    names = _imports(file)
    assert not {_room(name) for name in _own(names)} & OUTSIDE
    allowed = OWN_EXTRAS.get(_room(_module(file)), set())
    assert not {name.split(".")[0] for name in names} & (EXTRAS - allowed)


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_modules_are_short(file: Path) -> None:
    """No module is longer than 600 lines: it is cut by subject and not by length."""
    assert len(file.read_text().splitlines()) <= 600


@pytest.mark.parametrize("file", FILES, ids=_module)
def test_functions_are_short(file: Path) -> None:
    """No function has more than 40 lines beside its docstring, or more than 60 with it."""
    functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Function)]
    too_long = {node.name: _lines(node) for node in functions if _lines(node) > 40 or _whole(node) > 60}
    assert not too_long


def _whole(function: Function) -> int:
    return (function.end_lineno or 0) - function.body[0].lineno + 1


def _lines(function: Function) -> int:
    first = function.body[0]
    if ast.get_docstring(function) is None:
        return _whole(function)
    return (function.end_lineno or 0) - (first.end_lineno or 0)
