"""A program whose calls send one login code: ``python -m tests.batch.clicks URL LEDGER TURNS``.

In each turn, the program opens the ledger, makes 20 calls with the same key at once, and closes the ledger.
The program prints the segment ids of each receipt in a line of JSON.
"""

import json
import sys

import anyio

from smsapi_async import AsyncSmsClient
from smsapi_async.ledger import Ledger, LedgerInUse

NUMBER, CODE, KEY, CALLS = "79031234512", "Your code is 4711", "login attempt 17", 20


async def _call(sms: AsyncSmsClient, ledger: Ledger) -> None:
    receipt = await sms.send(NUMBER, CODE, key=KEY, ledger=ledger)
    print(json.dumps(receipt.segment_ids), flush=True)


async def _turn(sms: AsyncSmsClient, path: str) -> bool:
    """Make the calls. Return False if another process has the ledger open."""
    try:
        async with Ledger.sqlite(path) as ledger, anyio.create_task_group() as group:
            for _ in range(CALLS):
                group.start_soon(_call, sms, ledger)
    except LedgerInUse:
        await anyio.sleep(0.005)
        return False
    return True


async def main(*arguments: str) -> None:
    """Make all turns.

    Args:
        arguments: the base URL of the sandbox, the path of the ledger, and the number of turns.
    """
    url, path, turns = arguments
    async with AsyncSmsClient("sandbox", "sandbox-password", source_address="ACME", base_url=url) as sms:
        done = 0
        while done < int(turns):
            done += await _turn(sms, path)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
