"""The sandbox of a test, with the arguments of the marker `sms_sandbox` and the environment variables."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan

_SOURCE_ADDRESS = "SANDBOX"


@contextmanager
def served(markers: Iterable[pytest.Mark]) -> Iterator[Sandbox]:
    """Serve a new sandbox, and set the environment variables of the client.

    Args:
        markers: the markers `sms_sandbox` of the test, of its class and of its module. The arguments of an
            earlier marker override those of later ones.
    """
    arguments: dict[str, Any] = {}
    for marker in reversed(list(markers)):
        if marker.args:
            raise pytest.UsageError("pass keyword arguments to the marker sms_sandbox, for example balance=0")
        arguments.update(marker.kwargs)
    if "faults" in arguments:
        arguments["faults"] = _plan(arguments["faults"])
    # The fixture `monkeypatch` is not used, because a test may call its method `undo`.
    with run_sandbox(**arguments) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMSAPI_BASE_URL", sandbox.base_url)
        patch.setenv("SMSAPI_LOGIN", sandbox.login)
        patch.setenv("SMSAPI_PASSWORD", sandbox.password)
        patch.setenv("SMSAPI_SOURCE_ADDRESS", next(iter(sandbox.source_addresses or [_SOURCE_ADDRESS])))
        patch.delenv("SMSAPI_PROFILE", raising=False)
        yield sandbox


def _plan(faults: Any) -> FaultPlan | str | PathLike[str] | None:  # noqa: ANN401 - any form of a plan
    """Return a fault plan, a path or None.

    A kind of fault, or a list of kinds, becomes a script. A mapping has the keys of the file of a fault plan.
    """
    if isinstance(faults, str) and faults in {str(fault) for fault in Fault}:
        faults = [faults]
    if faults is None or isinstance(faults, FaultPlan | str | PathLike):
        return faults
    if isinstance(faults, Mapping):
        return FaultPlan.from_document(faults)
    if isinstance(faults, Iterable):
        return FaultPlan.script([Fault(fault) for fault in faults])
    raise pytest.UsageError(
        "faults must be a FaultPlan, a mapping, the path of a file, or a list of kinds of fault"
    )
