"""The error lines for wrong arguments. A line shows no value: no text, no phone number and no password."""

import difflib
import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Literal, Union, get_args, get_origin

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from smsapi_async.cli.output import one_line
from smsapi_async.privacy import scrub

_END_OF_OPTIONS = "--"
_SEE_HELP = "see --help"
_PUT_AFTER = "put a text that begins with a hyphen after --"
# An argument that looks like the name of an option or of a command. Other arguments are not shown, because
# they may be a text, a number or a password.
_NAME = re.compile(r"(?:--)?[a-z][a-z0-9-]{0,39}", re.ASCII)
_LONG_NUMBER = re.compile(r"[0-9]{5}", re.ASCII)
_OPTION = re.compile(r"--?[^\W\d]")
_CLOSE = 0.7
_PASSWORD = re.compile(r"--?(pass|pw|secret)", re.ASCII)
_KINDS = {
    "int": "pass a whole number",
    "float": "pass a number",
    "Decimal": "pass an amount that is not negative, for example 3.20",
}


def wants_json(argv: Sequence[str]) -> bool:
    """Return whether the arguments contain ``--json``. The function also accepts wrong arguments."""
    return any(each in {"--json", "--json=true"} for each in _options(argv))


def safe_name(word: str) -> str:
    """Return the name of an option or command; "" if the word may be something else, for example a text."""
    name = word.partition("=")[0]
    return name if _NAME.fullmatch(name) and not _LONG_NUMBER.search(name) else ""


def closest(word: str, names: Iterable[str]) -> str:
    """Return the name that is most similar to a word; "" if no name is similar.

    Args:
        word: the word of the user. A value after ``=`` is ignored.
        names: the names to choose from.
    """
    name = word.partition("=")[0].lower()
    # `-ledger` and `ledger` are similar to `--ledger`.
    by_words = {each.lstrip("-"): each for each in names}
    found = difflib.get_close_matches(name.lstrip("-"), by_words, n=1, cutoff=_CLOSE)
    return by_words[found[0]] if found else ""


def named(what: str, word: str, names: Iterable[str]) -> str:
    """Return the sentence that there is no such option, command or key, with the most similar name.

    Args:
        what: what the word should name, for example ``option``.
        word: the word of the user. The sentence shows the word only if the word is certainly a name.
        names: the existing names.
    """
    shown, neighbour = safe_name(word), closest(word, names)
    sentence = f"there is no such {what}" + (f": {shown}" if shown else "")
    return f"{sentence} (did you mean {neighbour}?)" if neighbour else sentence


def unknown_option(app: App, argv: Sequence[str]) -> tuple[str, str] | None:
    """Look for the first argument that looks like an option and is no option of the command.

    Args:
        app: the application, or the command itself.
        argv: the arguments.

    Returns:
        The error line, and the name of the option ("" if the argument may be something else). None if there
        is no such argument.
    """
    _, apps, rest = app.parse_commands(argv)
    known = {name for each in apps[-1].assemble_argument_collection() for name in each.names}
    return next(
        (
            _no_option(each, known)
            for each in _options(rest)
            if _OPTION.match(each) and each.partition("=")[0] not in known
        ),
        None,
    )


def usage_line(error: CycloptsError) -> tuple[str, str | None]:
    """Return the error line for wrong arguments, and the name of the wrong option or argument, if known."""
    if isinstance(error, UnknownOptionError):
        known = [name for each in error.argument_collection for name in each.names]
        line, name = _no_option(error.token.keyword or error.token.value, known)
        return line, name or None
    if isinstance(error, UnknownCommandError):
        return _no_command(error), None
    if isinstance(error, UnusedCliTokensError):
        return _too_many(error)
    if isinstance(error, CoercionError):
        return _no_value(error)
    if isinstance(error, MissingArgumentError | RepeatArgumentError):
        # The message of cyclopts contains the name of the parameter. `scrub` masks numbers in the message.
        line = scrub(one_line(str(error)), ()).rstrip(".")
        return f"{line}; {_SEE_HELP}", None if error.argument is None else _shown(error.argument.name)
    return f"the arguments cannot be understood; {_SEE_HELP}", None


def _options(argv: Iterable[str]) -> list[str]:
    """Return the arguments before ``--``."""
    words = list(argv)
    return words[: words.index(_END_OF_OPTIONS)] if _END_OF_OPTIONS in words else words


def _no_option(word: str, known: Iterable[str]) -> tuple[str, str]:
    sentence = named("option", word, known)
    if _PASSWORD.match(word):
        advice = "set the environment variable SMSAPI_PASSWORD to pass a password"
    else:
        advice = _PUT_AFTER
    return f"{sentence}; {advice}; {_SEE_HELP}", safe_name(word)


def _too_many(error: UnusedCliTokensError) -> tuple[str, str | None]:
    found = None if error.app is None else unknown_option(error.app, error.root_input_tokens or ())
    if found is not None:
        return found[0], found[1] or None
    words = "there are more arguments than the command accepts; put a text of several words in quotes"
    return f"{words}; {_SEE_HELP}", None


def _no_command(error: CycloptsError) -> str:
    word = (error.unused_tokens or [""])[0]
    names = () if error.app is None else [each for each in error.app if not each.startswith("-")]
    if _OPTION.match(word):
        return f"{named('option', word, ('--help', '--version'))}; {_SEE_HELP}"
    return f"{named('command', word, names)}; {_SEE_HELP}"


def _no_value(error: CoercionError) -> tuple[str, str | None]:
    keyword = None if error.token is None else error.token.keyword
    name = keyword or (None if error.argument is None else _shown(error.argument.name))
    kind = error.target_type or (None if error.argument is None else error.argument.hint)
    # `X | None` is the type of an option without a default value.
    kind = (
        next((each for each in get_args(kind) if each is not type(None)), kind) if _is_union(kind) else kind
    )
    if get_origin(kind) is Literal:
        hint = f"choose from: {', '.join(map(str, get_args(kind)))}"
    else:
        hint = _KINDS.get(getattr(kind, "__name__", ""), "leave out the value")
    return f"{name or 'an argument'}: the value cannot be used; {hint}; {_SEE_HELP}", name


def _is_union(kind: object) -> bool:
    return get_origin(kind) in {Union, UnionType}


def _shown(name: str) -> str:
    return name if name.startswith("-") else name.upper()
