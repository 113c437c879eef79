"""The public interface: its names, its docstrings, and the private values that it must not show."""

import ast
import copy
import enum
import inspect
import json
import pickle
import runpy
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

import smsapi_async
import smsapi_async.ledger
import smsapi_async.observers
import smsapi_async.sandbox
import smsapi_async.sandbox.faults
from smsapi_async import AsyncSmsClient, errors
from smsapi_async.parameters import Options

ROOT = Path(__file__).parents[2]
NAMES = list(smsapi_async.__all__)
PUBLIC = {name: getattr(smsapi_async, name) for name in NAMES if name != "__version__"}
ERRORS = [
    value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.SmsApiError) and name == value.__name__
]

NUMBER = "79031234567"
TEXT = "Код 4821, никому не говорите"
SESSION_ID = "Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1"
MESSAGE = smsapi_async.Message(NUMBER, TEXT, source_address="79161002030")
NOW = datetime(2026, 1, 28, 16, 0, tzinfo=UTC)


def test_names_are_sorted_and_said_once() -> None:
    """`__all__` is sorted and lists no name twice."""
    assert sorted(set(NAMES)) == NAMES


def test_names_are_complete() -> None:
    """A type checker and a program find exactly the public names that `__all__` lists."""
    # Only the block `if TYPE_CHECKING` imports the public names; a program loads each name on first use.
    source = Path(smsapi_async.__file__).read_text()
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    shown = {
        alias.name
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert shown == set(NAMES) == {name for name in NAMES if hasattr(smsapi_async, name)}


def test_every_error_is_public() -> None:
    """Each exception class in `smsapi_async.errors` can be imported from `smsapi_async`."""
    assert {error.__name__ for error in ERRORS} <= set(NAMES)


def test_the_error_tree_in_the_documentation_is_the_real_one() -> None:
    """The error tree in the docstring of `errors` lists every exception class under its base class."""
    printed: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if line.lstrip().startswith("- "):
            depth = (len(line) - len(line.lstrip())) // 2
            path = [*path[:depth], line.lstrip(" -").split()[0]]
            printed[path[-1]] = path[-2] if depth else "Exception"
    assert printed == {error.__name__: error.__bases__[0].__name__ for error in ERRORS}


def test_everything_public_has_a_docstring() -> None:
    """Every public module, class, function, method, property and type alias has a docstring."""
    # The session `docs` of nox runs the same check before it renders the documentation.
    documentation = runpy.run_path(str(ROOT / ".ci" / "docs.py"))
    assert documentation["undocumented"]() == []
    checked = documentation["docstrings"]()
    assert {*checked} >= {f"smsapi_async.{name}" for name in PUBLIC}
    assert {
        "smsapi_async.AsyncSmsClient.from_env",
        "smsapi_async.Batch.pending",
        "smsapi_async.Outcome",
        "smsapi_async.ledger.Ledger.sqlite",
        "smsapi_async.sandbox.run_sandbox",
        "smsapi_async.sandbox.faults.FaultPlan.script",
    } <= {*checked}


def test_the_options_of_the_client_are_keyword_only() -> None:
    """Every option of the client is keyword-only, so that a later version can add options."""
    positional = {
        name: [
            parameter.name
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name != "self"
        ]
        for name, method in inspect.getmembers(smsapi_async.AsyncSmsClient)
        if inspect.isfunction(method) and (not name.startswith("_") or name == "__init__")
    }
    assert positional == {
        "__init__": ["login", "password"],
        "aclose": [],
        "balance": [],
        "send": ["destination_address", "text"],
        "send_by_time_zone": ["destination_address", "text"],
        "send_bulk": ["destination_addresses", "text"],
        "send_many": ["messages"],
        "send_pending": ["ledger"],
        "state": ["segment_id"],
        "incoming": [],
        "track": ["receipts"],
        "wait_delivered": ["receipt"],
        "watch_incoming": [],
        "statistics": ["start", "end"],
    }


ARGUMENTS: dict[str, Any] = {
    "parameter": "text",
    "value": "<text of 5 characters>",
    "hint": "pass a str",
    "code": 4,
    "description": "Invalid user login",
    "http_status": 401,
    "retry_after": 12.5,
    "reason": "the gateway answered with HTTP 500",
    "messages": (MESSAGE, MESSAGE),
    "segment_ids": ("1", "2", "3"),
    "pending": 3,
    "has_more": True,
    "cause": errors.NotEnoughCredits(code=5, description="", http_status=403),
}


def test_from_env_takes_what_the_constructor_takes() -> None:
    """For a type checker, `from_env` accepts every option of the constructor with the same type."""
    parameters = inspect.signature(AsyncSmsClient).parameters
    options = inspect.signature(AsyncSmsClient.from_env).parameters["options"].annotation
    assert options == "Unpack[Options]"
    expected = {name: parameter.annotation for name, parameter in parameters.items()}
    assert {name: kind.__forward_arg__ for name, kind in Options.__annotations__.items()} == expected


def _example(kind: type[errors.SmsApiError]) -> errors.SmsApiError:
    """Return an error of the class `kind`; the arguments of the constructor come from `ARGUMENTS`."""
    own = [base for base in kind.__mro__ if base.__module__ == errors.__name__ and "__init__" in vars(base)]
    if not own:
        return kind("some words")
    given = list(inspect.signature(own[0]).parameters.values())
    options = {one.name: ARGUMENTS[one.name] for one in given if one.kind is one.KEYWORD_ONLY}
    return kind(*[ARGUMENTS[one.name] for one in given if one.kind is not one.KEYWORD_ONLY], **options)


def _attributes(error: errors.SmsApiError) -> dict[str, object]:
    """Return the attributes of an error. The `repr` of a nested error replaces the nested error."""
    # Exceptions compare by identity, so a copy of a nested error never equals the original error.
    return {
        name: repr(value) if isinstance(value, Exception) else value for name, value in vars(error).items()
    }


def _pickled(error: errors.SmsApiError) -> object:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - the test made these bytes


@pytest.mark.parametrize("clone", [_pickled, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_errors_can_be_passed_on(
    kind: type[errors.SmsApiError], clone: Callable[[errors.SmsApiError], errors.SmsApiError]
) -> None:
    """A pickled or copied error keeps its class, its attributes and its text."""
    error = _example(kind)
    again = clone(error)
    assert again is not error
    assert type(again) is kind
    assert _attributes(again) == _attributes(error)
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    assert str(error)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_errors_are_rebuilt_from_their_args(kind: type[errors.SmsApiError]) -> None:
    """A task queue that stores the class and the `args` of an error as JSON builds an equal error."""
    error = _example(kind)
    stored = json.dumps(error.args)
    for private in (NUMBER, NUMBER[1:], TEXT, "4821", *ARGUMENTS["segment_ids"]):
        assert f'"{private}"' not in stored
        assert private not in stored or len(private) == 1
    again = kind(*json.loads(stored))
    assert (type(again), str(again), again.args) == (kind, str(error), error.args)
    expected = {**_attributes(error), **dict.fromkeys({"messages", "segment_ids"} & {*vars(error)}, ())}
    assert _attributes(again) == expected


# The values of `may_have_been_sent` and `is_retryable` for each error that a program can catch.
ADVICE = {
    "SmsApiError ValidationError UsageError ClientClosed WrongEventLoop StreamNotEntered InboxInUse "
    "StreamLeftElsewhere RealSendBlocked "
    "RequestRejected ArgumentNullOrEmpty InvalidArgument Unauthorized InvalidCredentials NotEnoughCredits "
    "InvalidOperation ResourceNotFound Forbidden LedgerError LedgerUnwritable LedgerVersion": (False, False),
    "InvalidSession RateLimited ReadFailed TransportFailed InvalidAnswer GatewayFault InternalServerError "
    "NotSent LedgerInUse": (False, True),
    "OutcomeUnknown SegmentIdsUnattributed BatchHalted": (True, False),
}


def test_each_error_says_whether_a_repeat_is_safe() -> None:
    """Each error says whether a message may have been sent and whether the same call may be repeated."""
    expected = {name: advice for names, advice in ADVICE.items() for name in names.split()}
    examples = {kind.__name__: _example(kind) for kind in ERRORS}
    assert {
        name: (error.may_have_been_sent, error.is_retryable) for name, error in examples.items()
    } == expected
    for error in examples.values():
        assert error.retry_after in (None, ARGUMENTS["retry_after"])
    assert not any(
        may_have_been_sent and is_retryable for may_have_been_sent, is_retryable in ADVICE.values()
    )


def test_the_table_of_advice_in_the_documentation_is_the_real_one() -> None:
    """The table in the docstring of `errors` agrees with the attributes of each exception class."""
    rows = [line.strip("| ").split("|") for line in (errors.__doc__ or "").splitlines() if line[:1] == "|"]
    printed: dict[str, tuple[bool, bool]] = {}
    for names, may_have_been_sent, is_retryable, _ in rows[2:]:
        for name in names.replace(" ", "").split(","):
            printed[name] = (may_have_been_sent.strip() == "True", is_retryable.strip() == "True")
    for kind in ERRORS[1:]:
        nearest = next(base.__name__ for base in kind.__mro__ if base.__name__ in printed)
        assert printed[nearest] == (kind.may_have_been_sent, kind.is_retryable)


def test_a_halted_batch_names_the_wait_of_its_cause() -> None:
    """If HTTP status 429 halted a batch, the error has the `retry_after` of the refusal, also as a copy."""
    cause = errors.RateLimited(None, "slow down", 429, 30.0)
    error = errors.BatchHalted(cause, 3, (MESSAGE,))
    for each in (error, _pickled(error), errors.BatchHalted(*json.loads(json.dumps(error.args)))):
        assert isinstance(each, errors.BatchHalted)
        assert each.retry_after == 30.0
        assert type(each.cause) is errors.RateLimited


def test_a_cause_of_the_callers_class_keeps_the_nearest_public_class() -> None:
    """A batch that an error class of the caller's ledger halted is rebuilt with the public base class."""

    class DiskGone(errors.LedgerUnwritable):
        """The disk is gone."""

    halted = errors.BatchHalted(DiskGone("no disk"), 3)
    assert type(errors.BatchHalted(*halted.args).cause) is errors.LedgerUnwritable
    named_wrongly = errors.BatchHalted(["json", "words"], 3)
    assert (type(named_wrongly.cause), str(named_wrongly.cause)) == (errors.SmsApiError, "words")


def test_a_copy_of_an_error_is_separate() -> None:
    """A note on a copy of an error does not appear on the original error."""
    error = _example(errors.InvalidCredentials)
    again = copy.copy(error)
    again.add_note("mine")
    assert not hasattr(error, "__notes__")
    error.add_note("first")
    copy.copy(error).add_note("second")
    assert error.__notes__ == ["first"]


VALUES = [
    MESSAGE,
    smsapi_async.Receipt(MESSAGE, ("579700854169272358",), NOW),
    smsapi_async.SegmentState("579700854169272358", smsapi_async.State.DELIVERED, price=Decimal("2.50")),
    smsapi_async.IncomingMessage(
        id="539187174", text=TEXT, source_address=NUMBER, destination_address="79161002030", creation_date=NOW
    ),
    smsapi_async.Statistics(1, 2, 3, 4, 5, 6),
    smsapi_async.segment(TEXT),
    smsapi_async.Session(smsapi_async.Secret(SESSION_ID), NOW),
    smsapi_async.Secret(SESSION_ID),
    smsapi_async.Delivery(
        smsapi_async.Receipt(MESSAGE, ("1",), NOW), smsapi_async.Phase.ENROUTE, (None,), False, NOW
    ),
    smsapi_async.Accepted(message=MESSAGE, segment_ids=("1",), accepted_at=NOW, key="a key"),
    smsapi_async.Rejected(message=MESSAGE, reason="some words", code=6),
    smsapi_async.Unknown(message=MESSAGE, reason="some words"),
    smsapi_async.Position(NOW),
    smsapi_async.Schedule(),
    smsapi_async.Timeouts(),
    smsapi_async.RetryPolicy(),
    smsapi_async.AsyncSmsClient("my-login", SESSION_ID, source_address="79161002030"),
    *map(_example, ERRORS),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_no_value_shows_a_text_or_a_number(value: object) -> None:
    """Neither `repr` nor `str` of a public object shows a text, a phone number or a secret."""
    shown = f"{value!r} {value} {[value]}"
    assert "object at 0x" not in shown
    # The hint for destination addresses contains an example number that is equal to `NUMBER`.
    for private in (NUMBER, TEXT, "4821", "Код", "9161002030", "9031234567", SESSION_ID):
        assert private not in shown.replace("such as '79031234567'", "")


FROZEN = [value for value in VALUES if not isinstance(value, AsyncSmsClient | Exception)]


@pytest.mark.parametrize("clone", [_pickled, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("value", FROZEN, ids=lambda value: type(value).__name__)
def test_values_can_be_passed_on(value: object, clone: Callable[[Any], object]) -> None:
    """A pickled or copied value is equal to the original value, and has the same hash and the same text."""
    again = clone(value)
    assert (again, type(again), repr(again)) == (value, type(value), repr(value))
    assert hash(again) == hash(value)


def test_a_missing_value_is_shown_as_none() -> None:
    """The `repr` of a message or a receipt shows None, and not the type of None, for a missing value."""
    message = smsapi_async.Message(NUMBER, TEXT)
    for value in (
        message,
        smsapi_async.Receipt(message, (), NOW),
        smsapi_async.Message(None, None),  # type: ignore[arg-type]
        smsapi_async.IncomingMessage("1", None, None, None, None),  # type: ignore[arg-type]
        smsapi_async.Accepted(message=message, segment_ids=(), accepted_at=NOW),
    ):
        assert "NoneType" not in repr(value)
        assert "=None" in repr(value)


def test_a_receipt_has_the_number_of_its_message() -> None:
    """`Receipt.destination_address` is the destination address of the message."""
    assert smsapi_async.Receipt(MESSAGE, ("1",), NOW).destination_address == NUMBER


def _public_classes() -> list[type]:
    modules = (
        smsapi_async,
        smsapi_async.ledger,
        smsapi_async.observers,
        smsapi_async.sandbox,
        smsapi_async.sandbox.faults,
    )
    values = [getattr(module, name) for module in modules for name in module.__all__]
    return [value for value in values if inspect.isclass(value) and not issubclass(value, enum.Enum)]


@pytest.mark.parametrize("kind", _public_classes(), ids=lambda kind: str(kind.__name__))
def test_a_repr_never_raises(kind: type) -> None:
    """A traceback with local variables can show an object whose constructor raised an error."""
    try:
        half_built = cast("Any", kind).__new__(kind)
    except TypeError:  # an abstract class has no objects
        return
    assert kind.__name__ in repr(half_built)
    assert isinstance(str(half_built), str)


def test_a_repr_of_wrong_values_never_raises() -> None:
    """A value with fields of a wrong type has a `repr`, which shows only their types."""

    class Broken:
        def __repr__(self) -> str:
            raise OSError

    wrong: list[Any] = [None, 5, b"79031234567", ["79031234567"], object(), Broken()]
    for value in wrong:
        for made in (
            smsapi_async.Message(value, value, source_address=value, key=value, send_date=value),
            smsapi_async.Receipt(value, value, value),
            smsapi_async.SegmentState(value, value, state_description=value),
            smsapi_async.IncomingMessage(value, value, value, value, value),
            smsapi_async.PushedMessage(value, value, value, value, value, value),
            smsapi_async.Accepted(message=value, segment_ids=value, accepted_at=value),
        ):
            assert type(made).__name__ in repr(made)


def test_a_half_built_client() -> None:
    """A traceback with local variables can be made if a subclass fails before the client is built."""

    class Mine(smsapi_async.AsyncSmsClient):
        def __init__(self) -> None:
            raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        Mine()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "<incomplete Mine>" in "".join(told.format())


SEGMENT_ID = f"SAR-GW01+{NUMBER}-5f3b1972-2-1"
RECEIPT = smsapi_async.Receipt(MESSAGE, (SEGMENT_ID, SEGMENT_ID), NOW)
STATE = smsapi_async.SegmentState(
    SEGMENT_ID, smsapi_async.State.DELIVERED, state_description=f"delivered to +{NUMBER}\n"
)


@pytest.mark.parametrize(
    "value",
    [
        RECEIPT,
        STATE,
        smsapi_async.Delivery(RECEIPT, smsapi_async.Phase.DELIVERED, (STATE, None), True, NOW),
        smsapi_async.Accepted(message=MESSAGE, segment_ids=(SEGMENT_ID,), accepted_at=NOW),
        smsapi_async.IncomingMessage(SEGMENT_ID, TEXT, NUMBER, NUMBER, NOW),
        smsapi_async.PushedMessage(SEGMENT_ID, TEXT, NUMBER, NUMBER, None, NUMBER),
        errors.SegmentIdsUnattributed((MESSAGE,), (SEGMENT_ID,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_segment_id_does_not_show_a_number(value: object) -> None:
    """The `repr` of a value masks a segment id, because a segment id may contain the recipient's number."""
    shown = f"{value!r} {value} {[value]}"
    assert NUMBER not in shown
    assert NUMBER[1:] not in shown
    assert "GW01" not in shown or isinstance(value, smsapi_async.IncomingMessage)


def test_values_still_tell_apart() -> None:
    """A masked `repr` still shows the length of a text, the end of a number or segment id, and the state."""
    assert "67'" in repr(MESSAGE)
    assert f"text of {len(TEXT)} characters" in repr(MESSAGE)
    assert "58'" in repr(VALUES[1])
    assert "579700854169272358" not in repr(VALUES[1])
    assert "DELIVERED" in repr(VALUES[2])


FORBIDDEN = [
    "smsapi_async.sandbox",
    "smsapi_async.cli",
    "sqlalchemy",
    "rich",
    "starlette",
    "tomli_w",
    "uvicorn",
    "cyclopts",
    "aiohttp",
    "trio",
]
_IMPORT = """
import sys

FORBIDDEN = {forbidden!r}
asked_by_us = []


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in FORBIDDEN:
            if any("smsapi_async" in (frame or "") for frame in importers()):
                asked_by_us.append(name)
            raise ModuleNotFoundError(name)


def importers():
    frame = sys._getframe(2)
    while "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    yield frame.f_code.co_filename


sys.meta_path.insert(0, Missing())
import smsapi_async

names = {{name: getattr(smsapi_async, name) for name in smsapi_async.__all__}}
present = [name for name in FORBIDDEN if name in sys.modules]
print(asked_by_us, present, names["AsyncSmsClient"].__name__)
"""


def test_no_public_name_needs_an_extra() -> None:
    """Every public name can be imported if the optional extras and the sandbox cannot be imported."""
    script = _IMPORT.format(forbidden=FORBIDDEN)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "[] [] AsyncSmsClient"


_LIGHT = """
import sys, smsapi_async

loaded = [name for name in ("httpx", "attrs", "cattrs", "anyio") if name in sys.modules]
from smsapi_async import OutcomeUnknown

print(loaded, "httpx" in sys.modules, OutcomeUnknown.__name__)
"""


def test_an_import_loads_what_is_asked_for() -> None:
    """`import smsapi_async` loads no library, and the import of an exception does not load httpx."""
    # The test needs a new interpreter, because the tests have already loaded the libraries in this
    # interpreter.
    command = [sys.executable, "-W", "error", "-c", _LIGHT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False OutcomeUnknown"


def test_names_are_known_before_they_are_loaded() -> None:
    """`dir` lists every public name, and a misspelt name raises an `AttributeError` that quotes the name."""
    script = "import smsapi_async as s; assert {*s.__all__} <= {*dir(s)}; s.AsyncSmsCleint"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "AttributeError: module 'smsapi_async' has no attribute 'AsyncSmsCleint'" in done.stderr
