"""Measures 20,000 sends with a timeout of 3 seconds, all started at once, if the gateway does not answer."""

import asyncio
from collections import Counter
from time import perf_counter

from benchmarks.contenders import client
from benchmarks.heartbeat import beside
from benchmarks.measure import Goal, Options, Table
from benchmarks.server import SESSION_ID

SENDS = 20_000
TIMEOUT = 3.0
OURS = "smsapi-async"
# Two figures of the table: the seconds until the last send has ended, and the longest time in milliseconds in
# which the event loop is blocked.
ENDS, STALL = "end, s", "longest stall, ms"
GOALS = {ENDS: 3.5, STALL: 100.0}


async def _silent_gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each login request, but never answer a send."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"sessionid" in head.partition(b"\r\n")[0].lower():
                body = b'"%s"' % SESSION_ID.encode("ascii")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _wait(count: int) -> tuple[float, float]:
    """Start `count` sends; return the seconds until the last send ends, and the longest loop block in ms."""
    server = await asyncio.start_server(_silent_gateway, "127.0.0.1", 0)

    async def send_all() -> int:
        sends = (sms.send(f"7903{index:07}", "x", timeout=TIMEOUT) for index in range(count))
        ends = Counter(type(end).__name__ for end in await asyncio.gather(*sends, return_exceptions=True))
        assert ends["NotSent"] + ends["OutcomeUnknown"] == count, ends
        return count

    async with server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/rest"
        async with client(address, "asyncio") as sms:
            began = perf_counter()
            beats = await beside(send_all())
            return perf_counter() - began, beats.worst


def run(url: str, options: Options) -> list[Table]:  # noqa: ARG001 - the gateway of this benchmark is silent
    """Measure when the last of all sends ends, and the longest time in which the event loop is blocked."""
    count = SENDS // options.scale
    figures = [asyncio.run(_wait(count)) for _ in range(min(options.rounds, 3))]
    table = Table(f"{count:,} sends with timeout={TIMEOUT:g}, all waiting", "", higher_is_better=False)
    table.add(OURS, ENDS, [end for end, _ in figures])
    table.add(OURS, STALL, [stall for _, stall in figures])
    for column, goal in GOALS.items():
        table.goals.append(Goal(column, table.rows[OURS][column], goal, "", at_least=False))
    return [table]
