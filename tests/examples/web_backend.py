"""Send a login code from a web backend. A second click sends no second code, and the user sees the result."""

import logging

import anyio

from smsapi_async import (
    AsyncSmsClient,
    LedgerError,
    NotSent,
    OutcomeUnknown,
    RequestRejected,
    ValidationError,
)
from smsapi_async.ledger import Ledger

logger = logging.getLogger(__name__)


async def send_code(sms: AsyncSmsClient, ledger: Ledger, attempt: int, number: str, code: str) -> str:
    """Send the code of a login attempt, and return a sentence for the user, within ten seconds."""
    # All calls with one key send one message: a double click, a repeated request of the browser, and a call
    # after a restart of the server. Each of these calls gets the receipt or the error of the first call.
    key = f"login attempt {attempt}"
    try:
        await sms.send(number, f"Your code is {code}", validity=10, timeout=10, key=key, ledger=ledger)
    except ValidationError as error:  # the client made no request
        return f"This number cannot be used; {error.hint}."
    except (RequestRejected, LedgerError) as error:  # nothing was sent, and the class shows the reason
        logger.warning("no code was sent: %s", error)
        return "We cannot send you a code."
    except NotSent as error:  # a new call with the same key sends the code
        logger.warning("%s", error)
        return "The gateway cannot be reached. Please try again."
    except OutcomeUnknown as error:  # a new call with the same key sends nothing
        logger.warning("%s", error)
        return "The code may be on its way. Please wait a minute before you ask for another."
    return "The code is on its way."


async def main() -> None:
    """Open one client and one ledger for the whole application, in the lifespan of the application."""
    async with (
        AsyncSmsClient.from_env() as sms,
        Ledger.sqlite("codes.db") as ledger,
        anyio.create_task_group() as clicks,
    ):
        for _ in range(2):  # the user clicks twice, and gets one message
            clicks.start_soon(show, sms, ledger)


async def show(sms: AsyncSmsClient, ledger: Ledger) -> None:
    """Print the sentence that the user sees after a click."""
    print(await send_code(sms, ledger, attempt=17, number="79031234567", code="4711"))


anyio.run(main)
