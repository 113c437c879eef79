import anyio

from smsapi_async import AsyncSmsClient


async def main() -> None:
    async with AsyncSmsClient.from_env() as sms:
        receipt = await sms.send("79031234567", "Your code is 4711")
        print(receipt.segment_ids)


anyio.run(main)
