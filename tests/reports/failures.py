"""A program that lets sends fail in all ways, and reports each failure to Sentry or with structlog.

    python -m tests.reports.failures CONFIGURATION FRAMES FILE

FRAMES is "private" if the frames of this program must not show private values, or "careless". The program
writes the private values of its run to FILE as JSON: an object of a name and a list of values.
"""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import sentry_sdk
import structlog
from sentry_sdk.integrations.logging import LoggingIntegration

from smsapi_async import AsyncSmsClient, Message, RetryPolicy, SmsApiError, Timeouts
from smsapi_async.ledger import Ledger
from smsapi_async.sandbox import Sandbox, run_sandbox
from smsapi_async.sandbox.faults import Fault, FaultPlan
from tests.examples.reports import sentry_reports, structlog_reports

# A code of six digits would also occur by chance in times and in ids of events.
CODE = 471108236954
# Faults with which an exchange ends in different places. Reports with local variables are slow to write.
FEW = (Fault.REFUSE, Fault.HANG_AFTER_PASS, Fault.TRUNCATE_AFTER_PASS, Fault.GARBAGE, Fault.EXPIRED_SESSION)
Send = Callable[[AsyncSmsClient], Awaitable[object]]


class Private:
    """The private values, which the frames of this program do not show."""

    login = "login-of-acme"
    password = "correct horse+battery"
    number = "79169876543"
    text = f"Your code is {CODE}"

    def __repr__(self) -> str:
        return "Private()"


PRIVATE = Private()


async def _all_sends(sms: AsyncSmsClient) -> None:
    """Send in each way, with private values in the frames of the package alone."""
    for send in (_one, _bulk, _many, _with_ledger, _bad_number):
        try:
            await send(sms)
        except SmsApiError:
            # structlog and the logging integration of Sentry get the same record.
            structlog.get_logger("app").exception("failed")


async def _one(sms: AsyncSmsClient) -> None:
    await sms.send(PRIVATE.number, PRIVATE.text)


async def _bulk(sms: AsyncSmsClient) -> None:
    await sms.send_bulk([PRIVATE.number, "+" + PRIVATE.number], PRIVATE.text)


async def _many(sms: AsyncSmsClient) -> None:
    messages = (Message(PRIVATE.number, PRIVATE.text, key=f"{PRIVATE.number} {index}") for index in range(3))
    async with sms.send_many(messages, unknown_limit=1) as outcomes:
        async for outcome in outcomes:
            logging.getLogger("app").warning("%s", outcome)


async def _with_ledger(sms: AsyncSmsClient) -> None:
    async with Ledger.sqlite("failures.db") as ledger:
        await sms.send(PRIVATE.number, PRIVATE.text, key=f"to {PRIVATE.number}", ledger=ledger)


async def _bad_number(sms: AsyncSmsClient) -> None:
    await sms.send("(" + PRIVATE.number, PRIVATE.text)


def _breaks(*, all_ways: bool) -> list[Callable[[Sandbox], object]]:
    """Return functions that make the next sends fail, each in another way."""
    quoted = f"no {PRIVATE.number} {PRIVATE.text} {PRIVATE.password}"

    def plan(fault: Fault) -> Callable[[Sandbox], object]:
        return lambda sandbox: setattr(sandbox.proxy, "plan", FaultPlan.script([fault] * 3))

    def refusal(code: int) -> Callable[[Sandbox], object]:
        def refuse(sandbox: Sandbox) -> None:
            for resource in ("Sms/Send", "Sms/SendBulk"):
                sandbox.refuse_next(resource, code, desc=quoted)

        return refuse

    return [*map(plan, Fault if all_ways else FEW), *map(refusal, range(1, 10) if all_ways else (7, 8))]


async def fail(send: Send, sandbox: Sandbox, *, all_ways: bool, **options: Any) -> None:
    """Let a send fail in all ways or in some ways, with a client of its own for each way."""
    options |= {"source_address": "ACME", "base_url": sandbox.base_url, "timeouts": Timeouts(read=0.2)}
    options |= {"retry": RetryPolicy(attempts=1)}
    proxy = sandbox.proxy
    assert proxy is not None
    for make_fail in _breaks(all_ways=all_ways):
        async with AsyncSmsClient(PRIVATE.login, PRIVATE.password, **options) as sms:
            with suppress(SmsApiError):
                await sms.balance()
            make_fail(sandbox)
            with sentry_sdk.start_transaction(name="a send"):
                await send(sms)
        proxy.plan = FaultPlan()
    async with AsyncSmsClient(PRIVATE.login, PRIVATE.password + "!", **options) as sms:
        await send(sms)
    await send(sms)  # the client is closed
    async with AsyncSmsClient(PRIVATE.login, PRIVATE.password, **options) as sms:
        proxy.refuse_connections(True)
        await send(sms)
        proxy.refuse_connections(False)


def _private_values(sandbox: Sandbox) -> dict[str, list[str]]:
    targets = [arrival.target for arrival in sandbox.account.arrivals]
    return {
        "login": [PRIVATE.login],
        "password": [PRIVATE.password, PRIVATE.password.split("+")[0], "correct+horse", "correct%20horse"],
        "number": [PRIVATE.number, PRIVATE.number[1:]],
        "text": [str(CODE)],
        "session": sorted({each.partition("SessionID=")[2].partition("&")[0] for each in targets} - {""}),
        "segment": [each for message in sandbox.account.messages for each in message.segment_ids],
    }


def _sentry_with_locals() -> None:
    sentry_sdk.init(
        dsn=os.environ["SENTRY_DSN"],
        send_default_pii=True,
        traces_sample_rate=1.0,
        enable_logs=True,
        max_breadcrumbs=1000,
        integrations=[LoggingIntegration(level=logging.DEBUG, event_level=logging.WARNING)],
    )
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    structlog.configure(
        [structlog.stdlib.render_to_log_kwargs], logger_factory=structlog.stdlib.LoggerFactory()
    )


def _structlog_with_locals(renderers: list[Any]) -> None:
    structlog.configure(renderers, logger_factory=structlog.PrintLoggerFactory(sys.stdout))
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)


CONFIGURATIONS: dict[str, Callable[[], object]] = {
    "sentry-recipe": sentry_reports.configure,
    "structlog-recipe": lambda: structlog_reports.configure(logging.DEBUG),
    "sentry-with-locals": _sentry_with_locals,
    "json-with-locals": lambda: _structlog_with_locals(
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    ),
    "console-with-locals": lambda: _structlog_with_locals(
        [structlog.processors.add_log_level, structlog.dev.ConsoleRenderer()]
    ),
}


def _send_of(configuration: str, frames: str) -> Send:
    """Return the send, whose own frames show the private values or do not show them."""
    if frames == "private":
        return _all_sends
    recipe = sentry_reports if configuration.startswith("sentry") else structlog_reports
    return lambda sms: recipe.send_code(sms, PRIVATE.number)


async def main(configuration: str, frames: str) -> dict[str, list[str]]:
    """Let sends fail, and return the private values."""
    CONFIGURATIONS[configuration]()
    generator = SimpleNamespace(randbelow=lambda _: CODE)
    vars(sentry_reports)["secrets"] = vars(structlog_reports)["secrets"] = generator
    send, all_ways = _send_of(configuration, frames), configuration.endswith("recipe")
    async with run_sandbox(login=PRIVATE.login, password=PRIVATE.password, faults=FaultPlan()) as sandbox:
        await fail(send, sandbox, all_ways=all_ways)
        if configuration.startswith("sentry"):
            # Sentry makes spans and breadcrumbs of the requests of an `httpx.AsyncClient`.
            async with httpx.AsyncClient() as client:
                await fail(send, sandbox, all_ways=all_ways, client=client)
            sentry_sdk.flush()
        return _private_values(sandbox)


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2]))))
