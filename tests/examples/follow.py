import anyio

from smsapi_async import AsyncSmsClient, Phase


async def main() -> None:
    async with AsyncSmsClient.from_env() as sms:
        receipt = await sms.send("79031234567", "Your table is booked for 19:00.")
        delivery = await sms.wait_delivered(receipt, timeout=60)
        if delivery.phase is Phase.DELIVERED:
            print("delivered at", delivery.delivered_at, "for", delivery.price)
        else:
            print(delivery.phase.value, delivery.reason)


anyio.run(main)
