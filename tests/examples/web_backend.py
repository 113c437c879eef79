"""A login code from a web backend: tell the user what is true, and never send a code twice."""

import anyio

from smsapi_async import AsyncSmsClient, NotSent, OutcomeUnknown, RequestRejected


async def send_code(sms: AsyncSmsClient, number: str, code: str) -> str:
    """What to tell the user."""
    try:
        await sms.send(number, f"Your code is {code}", validity=10)
    except RequestRejected as refusal:
        return f"We cannot send to this number ({type(refusal).__name__})."
    except NotSent:
        return "The gateway cannot be reached. Please try again."
    except OutcomeUnknown:
        return "The code may be on its way. Please wait a minute before you ask for another."
    return "The code is on its way."


async def main() -> None:
    """One client for the whole application, opened when it starts and closed when it ends."""
    async with AsyncSmsClient.from_env() as sms:
        print(await send_code(sms, "79031234567", "4711"))


anyio.run(main)
