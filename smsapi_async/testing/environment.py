"""The environment variables of a test with a sandbox."""

import os
from collections.abc import Mapping

_PREFIX = "SMSAPI_"
# The variables of the guard stay: they switch the guard on in the processes that the test starts.
_KEPT = "SMSAPI_GUARD"


class SandboxEnvironment:
    """Sets the variables `SMSAPI_*` for a test, and removes those of the developer.

    Args:
        values: the variables of the sandbox.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        # The command line would read the file of the user if the variable were not set.
        self._during = {**values, "SMSAPI_CONFIG": os.devnull}
        self._before = _current()
        self._change_to(self._during)

    def restore(self) -> None:
        """Restore the variables before the test."""
        self._change_to(self._before)

    def restore_again(self) -> None:
        """Restore the variables that still have, or have again, the values of the test.

        If a test uses the fixture `monkeypatch` before the fixture `sms_sandbox`, `monkeypatch` ends last and
        restores the values of the sandbox.
        """
        now = _current()
        for name in {*self._before, *self._during}:
            if now.get(name) == self._during.get(name):
                _set(name, self._before.get(name))

    @staticmethod
    def _change_to(values: Mapping[str, str]) -> None:
        for name in {*_current(), *values}:
            _set(name, values.get(name))


def _current() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_PREFIX) and not name.startswith(_KEPT)
    }


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
