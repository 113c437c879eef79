"""A login code from a web backend: tell the user what is true, and never send a code twice."""

import logging

import anyio

from smsapi_async import AsyncSmsClient, NotSent, OutcomeUnknown, RequestRejected, ValidationError

logger = logging.getLogger(__name__)


async def send_code(sms: AsyncSmsClient, number: str, code: str) -> str:
    """What to tell the user, within ten seconds."""
    try:
        await sms.send(number, f"Your code is {code}", validity=10, timeout=10)
    except ValidationError as error:  # before any request
        return f"This number cannot be used; {error.hint}."
    except RequestRejected as refusal:  # for the number, the sender or the account: its class says which
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
    """One client for the whole application: open it where the application starts (its lifespan)."""
    async with AsyncSmsClient.from_env() as sms:
        print(await send_code(sms, "79031234567", "4711"))


anyio.run(main)
