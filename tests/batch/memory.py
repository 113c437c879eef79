"""A program that measures the peak memory of a short and of a long batch, without and with a ledger.

``python -m tests.batch.memory`` runs each batch in a separate process. The measured memory contains only the
client and the messages in progress, because a function replaces the gateway.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import httpx

from smsapi_async import AsyncSmsClient, Message
from smsapi_async.ledger import Ledger

SIZES = (10_000, 1_000_000)
# With a ledger, the cache of SQLite takes 8 MB.
LIMIT_MEGABYTES = 30


def gateway(request: httpx.Request) -> httpx.Response:
    """Return the response that the gateway would return if it accepted the request."""
    if request.method == "GET":
        return httpx.Response(200, json="Z5CYSZEKDL1DPICU37WENQVOYKP0T1GSLHX1")
    count = max(1, request.content.count(b"DestinationAddresses="))
    return httpx.Response(200, json=[str(index) for index in range(count)])


def source(size: int) -> Iterator[Message]:
    """Yield `size` messages.

    Every hundredth message has a text that no other message has. All other messages use ten texts in turn.
    """
    for index in range(size):
        text = f"own {index}" if index % 100 == 0 else f"text {index % 10}"
        yield Message(f"7{index:010}", text)


async def run(size: int, path: Path | None) -> None:
    """Send a batch of `size` messages, and count the outcomes without keeping them in memory.

    Args:
        size: the number of messages.
        path: the path of a new ledger; None means no ledger.
    """
    transport = httpx.MockTransport(gateway)
    count = 0
    sms = AsyncSmsClient("login", "password", source_address="ACME", transport=transport)
    async with sms, AsyncExitStack() as stack:
        ledger = None if path is None else await stack.enter_async_context(Ledger.sqlite(path))
        async with sms.send_many(source(size), ledger=ledger) as outcomes:
            async for _ in outcomes:
                count += 1
    assert count == size


def main() -> int:
    """Run a batch of each size in `SIZES`, and print the peak memory of each batch.

    Returns:
        The exit code: 1 if the long batch needs over `LIMIT_MEGABYTES` more than the short batch, else 0.
    """
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "run.db") if "ledger" in sys.argv else None
            anyio.run(run, int(sys.argv[1]), path)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    growths = []
    for options in ([], ["ledger"]):
        peaks = []
        for size in SIZES:
            command = [sys.executable, "-m", "tests.batch.memory", str(size), *options]
            peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(f"{size:>9,} messages {' '.join(options)}: peak memory {peaks[-1]:.1f} MB")
        growths.append(peaks[-1] - peaks[0])
        print(f"growth of the peak memory: {growths[-1]:.1f} MB")
    return 0 if max(growths) <= LIMIT_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
