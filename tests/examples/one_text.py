"""Send one text to several recipients in one request, and print the state of each segment."""

import anyio

from smsapi_async import AsyncSmsClient, segment


async def main() -> None:
    text = "Завтра с 9 до 12 не будет воды."
    segmentation = segment(text)
    print(f"{segmentation.count} segment(s) for each recipient, in {segmentation.encoding.value}")
    async with AsyncSmsClient.from_env() as sms:
        # The gateway accepts the messages to all recipients or to none.
        receipts = await sms.send_bulk(["79031234567", "79161234567"], text)
        for receipt in receipts:
            for segment_id in receipt.segment_ids:
                state = await sms.state(segment_id)
                print(segment_id, state.phase.value, state.price)


anyio.run(main)
