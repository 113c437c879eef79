"""The environment variables that `AsyncSmsClient.from_env` and the command line read."""

import os
import re
from collections.abc import Mapping
from typing import Any

from smsapi_async import guard
from smsapi_async.errors import ValidationError
from smsapi_async.privacy import sealed

ALLOW_PLAIN_HTTP = "SMSAPI_ALLOW_PLAIN_HTTP"
"""The environment variable with the value of the parameter ``allow_plain_http``."""

_TEXTS = {
    "login": "SMSAPI_LOGIN",
    "password": "SMSAPI_PASSWORD",
    "base_url": "SMSAPI_BASE_URL",
    "source_address": "SMSAPI_SOURCE_ADDRESS",
}
_REQUIRED = {"login", "password"}
_ON = {"1", "true", "yes", "on", "t", "y"}
_OFF = guard.OFF - {""}
_QUOTED = re.compile(r"""\s*(["']).*\1\s*""", re.DOTALL)
_COMMENT = re.compile(r"\s#|\A#\s")


@sealed
def with_environment(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a client, completed from environment variables.

    Args:
        given: the parameters that the caller passed. A variable for one of them is not read.

    Raises:
        ValidationError: if the login or the password is missing, `environment_value` refuses a variable, or a
            switch has neither the value on nor the value off.
    """
    names = {option: name for option, name in _TEXTS.items() if option not in given}
    # All variables are checked before the first value is in a local variable, which a traceback may show.
    for option, name in names.items():
        if environment_value(name) is None and option in _REQUIRED:
            raise ValidationError(name, "an unset variable", "set this environment variable")
    # The guard reads its variable itself. The check here finds a misspelt value.
    environment_switch(guard.VARIABLE)
    switches = {}
    if "allow_plain_http" not in given:
        switches["allow_plain_http"] = environment_switch(ALLOW_PLAIN_HTTP)
    found = {option: environment_value(name) for option, name in names.items()}
    return {**given, **{option: value for option, value in (found | switches).items() if value is not None}}


@sealed
def environment_value(name: str) -> str | None:
    """Return the value of an environment variable; None if the variable is not set or empty.

    A shell removes quotation marks and comments. Docker, systemd and other readers of env files keep some of
    them as a part of the value. The variable is refused because such a value would be sent as it is.

    Args:
        name: the name of the variable. The error shows the name, and never the value.

    Raises:
        ValidationError: if the value is in quotation marks, contains a comment (a blank and ``#``), or begins
            with ``#`` and a blank.
    """
    value = os.environ.get(name) or None
    if value is None:
        return None
    if _QUOTED.fullmatch(value):
        problem = "quotation marks"
    elif _COMMENT.search(value):
        problem = "a comment"
    else:
        return value
    # Some programs show the local variables of each frame of a traceback, and the value may be a password.
    del value
    hint = f"remove {problem} from the value, or pass the value as a parameter of AsyncSmsClient"
    raise ValidationError(name, f"a value with {problem}", hint)


@sealed
def environment_switch(name: str) -> bool | None:
    """Return whether an environment variable is on; None if the variable is not set or empty.

    On is 1, true, yes or on; off is 0, false, no or off, in upper or lower case.

    Args:
        name: the name of the variable. The error shows the name, and never the value.

    Raises:
        ValidationError: if the value is another word, or `environment_value` refuses the value.
    """
    word = (environment_value(name) or "").strip().lower()
    if word in _ON | _OFF:
        return word in _ON
    if not word:
        return None
    # The value may be a secret that was assigned to the wrong variable.
    del word
    raise ValidationError(name, "an unknown value", "set this environment variable to 1 or 0, or unset it")
