"""Send a login code from a web backend. No code is sent twice, and the user sees the result."""

import logging

import anyio

from smsapi_async import AsyncSmsClient, NotSent, OutcomeUnknown, RequestRejected, ValidationError

logger = logging.getLogger(__name__)


async def send_code(sms: AsyncSmsClient, number: str, code: str) -> str:
    """Send the code and return a sentence for the user, within ten seconds."""
    try:
        await sms.send(number, f"Your code is {code}", validity=10, timeout=10)
    except ValidationError as error:  # the client made no request
        return f"This number cannot be used; {error.hint}."
    except RequestRejected as refusal:  # the class of the error shows the reason
        logger.warning("no code was sent: %s", refusal)
        return "We cannot send you a code."
    except NotSent as error:
        logger.warning("%s", error)
        return "The gateway cannot be reached. Please try again."
    except OutcomeUnknown as error:
        logger.warning("%s", error)
        return "The code may be on its way. Please wait a minute before you ask for another."
    return "The code is on its way."


async def main() -> None:
    """Open one client for the whole application, in the lifespan of the application."""
    async with AsyncSmsClient.from_env() as sms:
        print(await send_code(sms, "79031234567", "4711"))


anyio.run(main)
