"""A program that measures the peak memory of a short batch and of a long batch.

``python -m tests.batch.memory`` runs each batch in a separate process. The measured memory contains only the
client and the messages in progress, because a function replaces the gateway.
"""

import resource
import subprocess
import sys
from collections.abc import Iterator

import anyio
import httpx

from smsapi_async import AsyncSmsClient, Message

SIZES = (10_000, 1_000_000)
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


async def run(size: int) -> None:
    """Send a batch of `size` messages, and count the outcomes without keeping them in memory."""
    transport = httpx.MockTransport(gateway)
    count = 0
    sms = AsyncSmsClient("login", "password", source_address="ACME", transport=transport)
    async with sms, sms.send_many(source(size)) as outcomes:
        async for _ in outcomes:
            count += 1
    assert count == size


def main() -> int:
    """Run a batch of each size in `SIZES`, and print the peak memory of each batch.

    Returns:
        The exit code: 1 if the long batch needs over `LIMIT_MEGABYTES` more than the short batch, else 0.
    """
    if len(sys.argv) > 1:
        anyio.run(run, int(sys.argv[1]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    peaks = []
    for size in SIZES:
        command = [sys.executable, "-m", "tests.batch.memory", str(size)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(f"{size:>9,} messages: peak memory {peaks[-1]:.1f} MB")
    growth = peaks[-1] - peaks[0]
    print(f"growth of the peak memory: {growth:.1f} MB")
    return 0 if growth <= LIMIT_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
