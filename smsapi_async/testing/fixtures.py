"""The sandbox of a test, with the arguments of the marker `sms_sandbox` and the environment variables."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import pytest

from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from smsapi_async.testing.environment import SandboxEnvironment

_SOURCE_ADDRESS = "SANDBOX"
_EXAMPLE = "for example @pytest.mark.sms_sandbox(balance=0)"
_KINDS = f"the kinds of fault are {', '.join(Fault)}"


def closest_first(node: pytest.Item) -> list[pytest.Mark]:
    """Return the markers `sms_sandbox` of a test, the closest marker first.

    The order is: the parameter set, the function, its class, the base classes, the module, the package.
    """
    marks: list[pytest.Mark] = []
    for owner in reversed(node.listchain()):
        own = [mark for mark in owner.own_markers if mark.name == "sms_sandbox"]
        marks += sorted(own, key=_distances(owner))
    return marks


def _distances(owner: object) -> Callable[[pytest.Mark], int]:
    """Return a function that returns the distance between a marker of a node and the node."""
    # pytest sorts the markers of a class from the last base class to the class, and the markers of a
    # parameter set after those of the function.
    groups: list[Any] = [getattr(getattr(owner, "callspec", None), "marks", ())]
    if isinstance(owner, pytest.Class):
        groups = [vars(base).get("pytestmark", ()) for base in owner.obj.__mro__]
    ids = [
        {id(getattr(mark, "mark", mark)) for mark in (group if isinstance(group, Iterable) else [group])}
        for group in groups
    ]
    return lambda mark: next((index for index, group in enumerate(ids) if id(mark) in group), len(ids))


@contextmanager
def served(markers: Iterable[pytest.Mark]) -> Iterator[tuple[Sandbox, SandboxEnvironment]]:
    """Serve a new sandbox, and set the environment variables of the client.

    Args:
        markers: the markers `sms_sandbox` of the test, of its class and of its module. The arguments of an
            earlier marker override those of later ones.

    Raises:
        pytest.UsageError: if an argument of a marker is wrong.
    """
    arguments: dict[str, Any] = {}
    for marker in reversed(list(markers)):
        _check(marker)
        arguments.update(marker.kwargs)
    if "faults" in arguments:
        arguments["faults"] = _plan(arguments["faults"])
    with ExitStack() as stack:
        try:
            sandbox = stack.enter_context(run_sandbox(**arguments))
        except (TypeError, ValueError, OSError) as error:
            given = ", ".join(arguments)
            raise pytest.UsageError(f"the marker sms_sandbox({given}) has a wrong value: {error}") from None
        # The fixture `monkeypatch` is not used, because a test may call its method `undo`.
        environment = SandboxEnvironment(
            {
                "SMSAPI_BASE_URL": sandbox.base_url,
                "SMSAPI_LOGIN": sandbox.login,
                "SMSAPI_PASSWORD": sandbox.password,
                "SMSAPI_SOURCE_ADDRESS": next(iter(sandbox.source_addresses or [_SOURCE_ADDRESS])),
            }
        )
        stack.callback(environment.restore)
        yield sandbox, environment


def _check(marker: pytest.Mark) -> None:
    valid = _valid_arguments()
    if marker.args:
        raise pytest.UsageError(
            f"the marker sms_sandbox takes keyword arguments only, {_EXAMPLE}; the arguments are "
            f"{', '.join(valid)}"
        )
    for name in marker.kwargs:
        if name not in valid:
            raise pytest.UsageError(
                f"the marker sms_sandbox has no argument {name!r}; the arguments are {', '.join(valid)}"
            )


def _valid_arguments() -> list[str]:
    run, sandbox = (inspect.signature(each).parameters.values() for each in (run_sandbox, Sandbox))
    named = [each.name for each in (*sandbox, *run) if each.kind is not inspect.Parameter.VAR_KEYWORD]
    return sorted(named)


def _plan(faults: Any) -> FaultPlan | str | PathLike[str] | None:  # noqa: ANN401 - any form of a plan
    """Return a fault plan, a path or None.

    A kind of fault, or a list of kinds, becomes a script. A mapping has the keys of the file of a fault plan.
    """
    if isinstance(faults, str):
        # A `Fault` is a str, too.
        return faults if _is_file(faults) else FaultPlan.script([_fault(faults)])
    if faults is None or isinstance(faults, FaultPlan | PathLike):
        return faults
    if isinstance(faults, Mapping):
        try:
            return FaultPlan.from_document(faults)
        except ValueError as error:
            raise pytest.UsageError(f"faults of the marker sms_sandbox: {error}") from None
    if isinstance(faults, Iterable):
        return FaultPlan.script([_fault(fault) for fault in faults])
    raise pytest.UsageError(
        "faults must be a FaultPlan, a mapping, the path of a file, or a list of kinds of fault"
    )


def _is_file(faults: str) -> bool:
    return faults not in set(Fault) and (Path(faults).suffix in {".json", ".toml"} or Path(faults).exists())


def _fault(fault: Any) -> Fault:  # noqa: ANN401 - the user of the marker may pass any object
    try:
        return Fault(fault)
    except ValueError:
        raise pytest.UsageError(
            f"faults of the marker sms_sandbox: there is no kind of fault {fault!r}; {_KINDS}; a path ends "
            "with .json or .toml"
        ) from None
