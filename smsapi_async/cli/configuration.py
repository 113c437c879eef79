"""The configuration file: default values of options, for the commands that use an account.

Cyclopts calls `Configuration` after it has read the options of the command line and before it converts the
values. No request has been made at this time. The errors show the names of keys and profiles, and no value.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NoReturn, Union, get_args, get_origin

import platformdirs
from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from smsapi_async.cli.usage_errors import closest, safe_name
from smsapi_async.errors import ValidationError
from smsapi_async.variables import ALLOW_PLAIN_HTTP, environment_value

REFUSED_KEYS = ("again", "exclude", "text", "text_file", "send_date")
"""The options that decide what one run sends. They stay on the command line.

The same option on the command line would replace `exclude` of the file, and excluded numbers would get
messages.
"""

_PROFILES = "profiles"
_CHOICE = ("config", "profile")
_FILE_VARIABLE = "SMSAPI_CONFIG"
_PROFILE_VARIABLE = "SMSAPI_PROFILE"
# These options have an environment variable, which the commands read after the configuration.
_VARIABLES = {
    "allow_plain_http": ALLOW_PLAIN_HTTP,
    "base_url": "SMSAPI_BASE_URL",
    "login": "SMSAPI_LOGIN",
    "source_address": "SMSAPI_SOURCE_ADDRESS",
}
_PATHS = frozenset({"append", "ca_file", "exclude", "ledger", "report"})
_PASSWORD = re.compile(r"pass(word|wd|phrase)?|smsapi_pass(word)?|pwd", re.IGNORECASE | re.ASCII)
_POSITION = re.compile(r"\(at (line \d+, column \d+|end of document)\)", re.ASCII)
_LARGEST = 1 << 20
_STANDARD_INPUT = "-"


def usual_path() -> Path:
    """Return the path of the configuration file that is read without ``--config``."""
    return platformdirs.user_config_path("smsapi-async", appauthor=False) / "config.toml"


class Configuration:
    """Sets the options of a command from the configuration file, unless they are set already.

    Args:
        root: the application, whose commands determine the valid keys.
    """

    def __init__(self, root: App) -> None:
        self._root = root
        self._sources: dict[str, str] = {}

    def source(self, option: str | None) -> str | None:
        """Return the name of the file that set an option of the last command; None for other options."""
        return None if option is None else self._sources.get(option)

    def __call__(self, command: App, names: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Set the options of a command.

        Args:
            command: the command that was called.
            names: the names of the command, from the root.
            arguments: the options and arguments of the command.

        Raises:
            ValidationError: if the file cannot be read, or a key, a value or a profile is wrong.
        """
        self._sources = {}
        given = {key: _given(arguments, key) for key in _CHOICE}
        if given["config"] is None:
            return  # The command uses no account.
        path, is_chosen = _path(given["config"])
        profile = given["profile"] or environment_value(_PROFILE_VARIABLE)
        document = _read(path, is_needed=is_chosen or bool(profile))
        if document is None:
            return
        values = _Checker(path, self._kinds()).values(document, profile or None)
        here = {
            key: value
            for key, value in values.items()
            if _is_unset(arguments, _option(key)) and not _is_in_environment(key)
        }
        self._sources = {_option(key): _name(path) for key in here}
        nested: dict[str, Any] = here
        for name in reversed(names):
            nested = {name: nested}
        Dict(nested, source=str(path))(command, names, arguments)

    def _kinds(self) -> dict[str, object]:
        """Return the type of each option of the commands that use an account, by key."""
        kinds: dict[str, object] = {}
        for collection in _collections(self._root):
            if _option("profile") in _names(collection):
                for argument in collection:
                    kinds |= {
                        each[2:].replace("-", "_"): argument.hint
                        for each in argument.names
                        if each.startswith("--") and each not in argument.negatives
                    }
        return kinds


class _Checker:
    """Checks the whole content of a configuration file.

    Args:
        path: the path of the file.
        kinds: the type of each valid key.
    """

    def __init__(self, path: Path, kinds: Mapping[str, object]) -> None:
        self._path = path
        self._kinds = {key: kind for key, kind in kinds.items() if key not in _CHOICE}

    def values(self, document: Mapping[str, object], profile: str | None) -> dict[str, object]:
        """Return the values of the file, with those of the profile, by key."""
        profiles = document.get(_PROFILES, {})
        if not isinstance(profiles, dict) or not all(isinstance(each, dict) for each in profiles.values()):
            self._refuse(f"the key {_PROFILES}", "write one table [profiles.NAME] for each profile")
        top = {key: value for key, value in document.items() if key != _PROFILES}
        found = self._table(top, "")
        tables = {
            name: self._table(table, f" of the profile {safe_name(name) or 'with an unusual name'}")
            for name, table in profiles.items()
        }
        if profile is None:
            return found
        if profile not in tables:
            shown, neighbour = safe_name(profile), closest(profile, tables)
            what = f"the profile {shown}".rstrip() if shown else "the name of the profile"
            known = ", ".join(sorted(filter(None, map(safe_name, tables)))) or "no profile"
            advice = f"did you mean {neighbour}? " if safe_name(neighbour) else ""
            self._refuse(what, f"{advice}the file has: {known}")
        return found | tables[profile]

    def _table(self, table: Mapping[str, object], where: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in table.items():
            key = name.replace("-", "_")
            shown = f"the key {safe_name(key.replace('_', '-')) and key}".rstrip() + where
            if _PASSWORD.fullmatch(key):
                hint = "remove the key, and set the environment variable SMSAPI_PASSWORD"
                self._refuse(f"the key {key.lower()}{where}", hint)
            if key in REFUSED_KEYS:
                self._refuse(shown, f"remove the key, and pass --{key.replace('_', '-')} on the command line")
            if key not in self._kinds:
                self._refuse(shown, self._advice(key))
            if key in found:
                self._refuse(shown, "write the key once")
            found[key] = self._value(key, value, shown)
        return found

    def _advice(self, key: str) -> str:
        neighbour = closest(key, self._kinds)
        meant = f"did you mean {neighbour}? " if neighbour else ""
        return f"{meant}pass the name of an option of a command that uses an account"

    def _value(self, key: str, value: object, shown: str) -> object:
        problem = _problem(value, next(_plain(self._kinds[key])))
        if problem:
            self._refuse(shown, problem)
        if key not in _PATHS:
            return value
        return [self._resolved(each) for each in value] if isinstance(value, list) else self._resolved(value)

    def _resolved(self, value: object) -> str:
        """Return a path relative to the directory of the file as an absolute path."""
        if value == _STANDARD_INPUT:
            return _STANDARD_INPUT
        return os.path.join(self._path.absolute().parent, os.path.expanduser(str(value)))

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise ValidationError(_name(self._path), what, hint)


def _collections(app: App) -> Iterator[ArgumentCollection]:
    """Yield the options and arguments of each command, also of the commands below a command."""
    if app.default_command is not None:
        yield app.assemble_argument_collection()
    for name in app:
        if not name.startswith("-"):  # `--help` and `--version` are commands of cyclopts, too.
            yield from _collections(app[name])


def _name(path: Path) -> str:
    return f"configuration file {str(path)!r}"


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _names(arguments: ArgumentCollection) -> set[str]:
    return {name for argument in arguments for name in argument.names}


def _given(arguments: ArgumentCollection, key: str) -> str | None:
    """Return the value of an option on the command line, "" without a value; None if there is no option."""
    for argument in arguments:
        if _option(key) in argument.names:
            return argument.tokens[0].value if argument.tokens else ""
    return None


def _is_unset(arguments: ArgumentCollection, option: str) -> bool:
    """Return whether the command has an option that is not on the command line."""
    return any(option in argument.names and not argument.tokens for argument in arguments)


def _is_in_environment(key: str) -> bool:
    return key in _VARIABLES and environment_value(_VARIABLES[key]) is not None


def _path(given: str | None) -> tuple[Path, bool]:
    """Return the path of the file, and whether the user chose the path."""
    chosen = given or environment_value(_FILE_VARIABLE)
    return (Path(chosen).expanduser(), True) if chosen else (usual_path(), False)


def _read(path: Path, *, is_needed: bool) -> dict[str, object] | None:
    """Return the content of the file; None if the file does not exist and is not needed."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not is_needed:
            return None
        reason = getattr(error, "strerror", None) or type(error).__name__
        hint = f"pass a readable file with --config or {_FILE_VARIABLE} ({reason})"
        raise ValidationError(_name(path), "the file", hint) from None
    if len(content) > _LARGEST:
        raise ValidationError(_name(path), "the file", f"pass a file of at most {_LARGEST} bytes")
    try:
        # Some editors write a byte order mark, which TOML does not allow.
        return tomllib.loads(content.decode("utf-8-sig"), parse_float=Decimal)
    except UnicodeDecodeError:
        raise ValidationError(_name(path), "the file", "save the file in UTF-8") from None
    except (ValueError, RecursionError) as error:
        # The error shows the position, because the message of the parser may contain a value.
        found = _POSITION.search(str(error))
        what = f"the text at {found[1]}" if found else "the text"
        hint = 'write TOML, for example login = "acme", with each key once in a table'
        raise ValidationError(_name(path), what, hint) from None


def _plain(hint: object) -> Iterator[object]:
    """Yield the types of a type hint, without `Annotated`, `Union` and None."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _plain(get_args(hint)[0])
    elif origin in {Union, UnionType}:
        for each in get_args(hint):
            yield from _plain(each)
    elif hint is not NoneType:
        yield hint


def _problem(value: object, kind: object) -> str | None:
    """Return what to write instead of a value; None if the value has the type."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if kind is bool:
        is_right, hint = isinstance(value, bool), "write true or false without quotation marks"
    elif kind is int:
        is_right, hint = is_whole, "write a whole number without quotation marks"
    elif kind in {float, Decimal}:
        is_right = is_whole or (isinstance(value, Decimal) and value.is_finite())
        hint = "write a number without quotation marks"
    elif get_origin(kind) is Literal:
        choices = get_args(kind)
        # `True == 1` in Python.
        is_right = value in choices and not isinstance(value, bool)
        kind_of_value = "in" if isinstance(choices[0], str) else "without"
        hint = f"write one of these {kind_of_value} quotation marks: {', '.join(map(str, choices))}"
    elif get_origin(kind) is list:
        is_right = isinstance(value, list) and all(isinstance(each, str) for each in value)
        hint = 'write a list of texts, for example ["a", "b"]'
    else:
        is_right, hint = isinstance(value, str), "write a text in quotation marks"
    return None if is_right else hint
