"""Happy eyeballs (RFC 8305): connects to several addresses of a host, and keeps the first connection.

uvloop does not offer happy eyeballs. asyncio does, but there a cancelled task can leave a connected socket
open.
"""

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

import anyio

ATTEMPT_DELAY = 0.25
"""The seconds between the attempts to connect to two addresses: Connection Attempt Delay (RFC 8305, 5)."""

_AddressInfo = tuple[Any, Any, int, str, Any]


async def connected_socket(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """Return a socket that is connected to the host.

    Raises:
        OSError: if the host has no address, or no address accepts a connection. In the second case, the
            first error is raised.
    """
    race = _Race(loop)
    try:
        await race.run(_interleaved(await look_up(loop, host, port)))
    except BaseException:
        race.close()
        raise
    return race.winner()


async def look_up(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[_AddressInfo]:
    """Look up the IP addresses of a host, and return them in the order of `getaddrinfo`."""
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class _Race:
    """Attempts to connect to several addresses. The first connected socket ends the other attempts."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connected: list[socket.socket] = []
        self._errors: list[OSError] = []

    async def run(self, addresses: Sequence[_AddressInfo]) -> None:
        async with anyio.create_task_group() as group:
            for address in addresses:
                has_failed = anyio.Event()
                group.start_soon(self._attempt, address, has_failed, group.cancel_scope)
                with anyio.move_on_after(ATTEMPT_DELAY):
                    await has_failed.wait()

    def winner(self) -> socket.socket:
        # Two attempts may connect in the same iteration of the event loop. We keep only the first socket.
        for late in self._connected[1:]:
            late.close()
        if not self._connected:
            raise self._errors[0] if self._errors else OSError("the host has no address")
        return self._connected[0]

    def close(self) -> None:
        for connected in self._connected:
            connected.close()

    async def _attempt(
        self, address: _AddressInfo, has_failed: anyio.Event, others: anyio.CancelScope
    ) -> None:
        family, kind, protocol, _, destination = address
        opened: socket.socket | None = None
        try:
            # The operating system refuses a socket for IPv6 if IPv6 is turned off.
            opened = socket.socket(family, kind, protocol)
            opened.setblocking(False)
            await self._loop.sock_connect(opened, destination)
        except OSError as error:
            _close(opened)
            self._errors.append(error)
            has_failed.set()
        except BaseException:
            _close(opened)
            raise
        else:
            self._connected.append(opened)
            others.cancel()


def _close(opened: socket.socket | None) -> None:
    if opened is not None:
        opened.close()


def _interleaved(addresses: Sequence[_AddressInfo]) -> list[_AddressInfo]:
    """Sort addresses so that IPv4 and IPv6 alternate, beginning with the first address (RFC 8305, 4)."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    pairs = chain.from_iterable(zip_longest(first, others))
    return [address for address in pairs if address is not None]
