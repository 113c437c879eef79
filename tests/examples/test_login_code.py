import asyncio
import secrets

from smsapi_async import AsyncSmsClient
from smsapi_async.sandbox import Sandbox


async def send_login_code(number: str) -> str:
    """The application. It reads the account from the environment variables SMSAPI_*."""
    code = f"{secrets.randbelow(10**6):06}"
    async with AsyncSmsClient.from_env() as sms:
        await sms.send(number, f"Your login code: {code}")
    return code


def test_login_code(sms_sandbox: Sandbox) -> None:
    expected = asyncio.run(send_login_code("79031234567"))
    assert sms_sandbox.code_to("79031234567") == expected
