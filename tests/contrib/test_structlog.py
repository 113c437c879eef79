"""The log entries of a client with structlog, with requests to a sandbox."""

import gc
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from smsapi_async import Message, SmsApiError, ValidationError, observers
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox
from smsapi_async.sandbox.faults import Fault
from tests.client.tools import client_for
from tests.contrib.tools import faulty_line, skip_without

skip_without("structlog")

import structlog  # noqa: E402
from structlog.testing import LogCapture  # noqa: E402

from smsapi_async.contrib.structlog import Structlog  # noqa: E402

pytestmark = pytest.mark.anyio
NUMBER = "79031234567"
TEXT = "The code is 4711"


@pytest.fixture
def entries() -> Iterator[list[Any]]:
    """Configure structlog as a program does, and yield the list of all entries."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.reset_defaults()


async def test_a_send_is_logged_with_fields(sandbox: Sandbox, entries: list[Any]) -> None:
    """A send is one entry with fields, and has the variables that the program bound before the call."""
    async with client_for(sandbox, observers=[Structlog()]) as sms:
        with structlog.contextvars.bound_contextvars(order=17):
            await sms.send(NUMBER, TEXT)
    assert [(each["event"], each["log_level"]) for each in entries] == [
        ("smsapi.login_made", "info"),
        ("smsapi.request_begun", "debug"),
        ("smsapi.request_ended", "info"),
    ]
    entry = entries[-1]
    assert entry["order"] == 17
    expected = {
        "resource": "Sms/Send",
        "outcome": "accepted",
        "http_status": 200,
        "recipients": 1,
        "attempt": 1,
    }
    assert {name: entry.get(name) for name in expected} == expected
    assert "error_type" not in entry


_FAULTS = [(Fault.CLOSE_AFTER_READ, "unknown"), (None, "not_sent"), (Fault.ERROR_500, "unknown")]


@pytest.mark.parametrize(("fault", "outcome"), _FAULTS)
async def test_a_failure_is_a_warning(
    sandbox: Sandbox, entries: list[Any], fault: Fault | None, outcome: str
) -> None:
    """A failed send is a warning with its outcome and the class of the error."""
    options = await faulty_line(sandbox, fault)
    async with client_for(sandbox, observers=[Structlog()], **options) as sms:
        with pytest.raises(SmsApiError) as caught:
            await sms.send(NUMBER, TEXT)
    entry = entries[-1]
    assert (entry["event"], entry["log_level"]) == ("smsapi.request_ended", "warning")
    assert (entry["outcome"], entry["error_type"]) == (outcome, type(caught.value).__name__)


async def test_a_wrong_password_is_a_warning(sandbox: Sandbox, entries: list[Any]) -> None:
    """A refused login is a warning, and so is the call that needed the login."""
    async with client_for(sandbox, password="wrong", observers=[Structlog()]) as sms:
        with pytest.raises(SmsApiError):
            await sms.send(NUMBER, TEXT)
    assert [(each["event"], each["log_level"]) for each in entries] == [
        ("smsapi.login_failed", "warning"),
        ("smsapi.request_not_made", "warning"),
    ]


async def test_a_batch_is_one_line(sandbox: Sandbox, entries: list[Any], tmp_path: Path) -> None:
    """At the level INFO, a batch shows its requests and one entry with its counts."""
    messages = [Message(f"7903123456{index}", TEXT) for index in range(5)]
    async with (
        Ledger.sqlite(tmp_path / "run.db") as ledger,
        client_for(sandbox, observers=[Structlog()]) as sms,
        sms.send_many(messages, ledger=ledger) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 5
    (entry,) = [
        each for each in entries if each["event"] == "smsapi.batch_progress" and each["log_level"] == "info"
    ]
    assert (entry["accepted"], entry["pending"], entry["has_ended"]) == (5, 0, True)
    claims = [each for each in entries if each["event"] == "smsapi.ledger_claim"]
    assert {each["log_level"] for each in claims} == {"debug"}
    assert sum(each["claimed"] for each in claims) == 5


async def test_json_lines_of_the_standard_logging(sandbox: Sandbox) -> None:
    """With structlog over the standard logging, each entry is a line of JSON with fields."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ]
        )
    )
    logger = logging.getLogger("smsapi_async")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    try:
        async with client_for(sandbox, observers=[Structlog()]) as sms:
            await sms.send(NUMBER, TEXT)
    finally:
        structlog.reset_defaults()
        logger.removeHandler(handler)
        logger.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("smsapi.login_made", "info"),
        ("smsapi.request_ended", "info"),
    ]
    assert lines[-1]["resource"] == "Sms/Send"


async def test_a_logger_of_the_program(sandbox: Sandbox, entries: list[Any]) -> None:
    """A logger that the program passes adds its bound values to each entry."""
    logger = structlog.get_logger().bind(service="shop")
    async with client_for(sandbox, observers=[Structlog(logger)]) as sms:
        await sms.balance()
    assert entries
    assert {each["service"] for each in entries} == {"shop"}


def _event(kind: Any, **fields: Any) -> Any:
    """Return an event with the fields, and any value for each other field that has no default."""
    for attribute in attrs.fields(kind):
        if attribute.default is attrs.NOTHING:
            fields.setdefault(attribute.name, 1)
    return kind(**fields)


_LEVELS = [
    (_event(observers.RequestEnded, outcome="cancelled"), "debug"),
    (_event(observers.RequestEnded, outcome="failed"), "warning"),
    (_event(observers.RequestNotMade, outcome="cancelled"), "debug"),
    (_event(observers.LedgerClaim, error_type="LedgerError"), "warning"),
    (_event(observers.LedgerClaim), "debug"),
    (_event(observers.BatchProgress), "debug"),
    (_event(observers.BatchProgress, has_ended=True, error_type="NotEnoughCredits"), "warning"),
    (_event(observers.InboxRoundFailed), "warning"),
    (_event(observers.InboxRecovered), "info"),
]


@pytest.mark.parametrize(("event", "level"), _LEVELS, ids=[f"{type(e).__name__}-{x}" for e, x in _LEVELS])
def test_levels(entries: list[Any], event: Any, level: str) -> None:
    """Each event has the level that the documentation of the module names."""
    Structlog()(event)
    assert [each["log_level"] for each in entries] == [level]


@pytest.mark.parametrize("wrong", ["logger", 1, object(), logging.getLogger("smsapi_async")])
def test_a_wrong_logger_is_refused(wrong: Any) -> None:
    """A value that is no logger of structlog raises an error that names the parameter."""
    with pytest.raises(ValidationError, match="logger"):
        Structlog(wrong)


def test_structlog_may_be_configured_later() -> None:
    """An observer that was created before the configuration of structlog uses the configuration."""
    observer = Structlog()
    capture = LogCapture()
    structlog.configure(processors=[capture])
    try:
        observer(_event(observers.InboxRecovered))
    finally:
        structlog.reset_defaults()
    assert [each["event"] for each in capture.entries] == ["smsapi.inbox_recovered"]


@pytest.mark.parametrize("is_passed", [True, False])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_asynchronous_logger_loses_no_entry(anyio_backend: str, is_passed: bool) -> None:
    """An `AsyncBoundLogger` logs each event at once, with its bound values and without a warning."""
    capture = LogCapture()
    structlog.configure(processors=[capture], wrapper_class=structlog.stdlib.AsyncBoundLogger)
    try:
        logger = structlog.get_logger().bind(service="shop") if is_passed else None
        Structlog(logger)(_event(observers.RequestEnded, outcome="failed"))
        gc.collect()
    finally:
        structlog.reset_defaults()
    (entry,) = capture.entries
    assert (entry["event"], entry["log_level"]) == ("smsapi.request_ended", "warning")
    assert entry.get("service") == ("shop" if is_passed else None)
