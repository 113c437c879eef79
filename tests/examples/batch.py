import anyio

from smsapi_async import Accepted, AsyncSmsClient, Message
from smsapi_async.ledger import Ledger


async def main() -> None:
    # `send_many` accepts an iterable or async iterable of any length, and reads it while messages are sent.
    messages = (Message(f"79031{index:04}12", "Завтра с 9 до 12 не будет воды.") for index in range(1000))
    async with (
        AsyncSmsClient.from_env() as sms,
        Ledger.sqlite("run.db") as ledger,
        sms.send_many(messages, ledger=ledger) as outcomes,
    ):
        async for outcome in outcomes:
            if not isinstance(outcome, Accepted):
                print(outcome)  # Rejected or Unknown
        print(await ledger.summary())


anyio.run(main)
