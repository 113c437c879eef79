"""Write failures with structlog, without private values. Run with `python structlog_reports.py NUMBER`.

The frames of smsapi-async show no number, text or password. The frames of your own functions do: `number`
and `text` below are local variables. Therefore structlog must not write local variables.
"""

import asyncio
import logging
import secrets
import sys

import structlog

from smsapi_async import AsyncSmsClient, SmsApiError

logger: structlog.stdlib.BoundLogger = structlog.get_logger("codes")


def configure(level: int = logging.INFO) -> None:
    # `dict_tracebacks` and `ConsoleRenderer` write local variables by default. On a terminal, use
    # ConsoleRenderer(exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=False)).
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper("iso"),
        structlog.processors.ExceptionRenderer(tracebacks),
    ]
    to_formatter = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure([*shared, to_formatter], logger_factory=structlog.stdlib.LoggerFactory())
    # The records of the standard library, for example of the logger `smsapi_async`, get the same form.
    handler = logging.StreamHandler()
    renderer = structlog.processors.JSONRenderer()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=level)


async def send_code(sms: AsyncSmsClient, number: str) -> bool:
    text = f"Your code is {secrets.randbelow(10**6):06}"
    try:
        await sms.send(number, text, validity=10, timeout=10)
    except SmsApiError as error:
        logger.exception("no receipt for a code", may_have_been_sent=error.may_have_been_sent)
        return False
    return True


async def main() -> None:
    async with AsyncSmsClient.from_env() as sms:
        await send_code(sms, sys.argv[1])


if __name__ == "__main__":
    configure()
    asyncio.run(main())
