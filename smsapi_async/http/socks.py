"""Connections through a SOCKS5 proxy: the handshake, within the time there is to connect.

httpcore's own handshake waits for ever, takes a part of a reply for all of it, lets exceptions of another
library through, and leaves its socket behind when it fails.
"""

from collections.abc import Iterable

import anyio
import httpcore
import httpx
from socksio import SOCKSError, socks5

from smsapi_async.http.httpcore_streams import SocketOption

_PORT = 1080
# Of the address in the reply to a request to connect.
_ADDRESS_LENGTHS = {socks5.SOCKS5AType.IPV4_ADDRESS: 4, socks5.SOCKS5AType.IPV6_ADDRESS: 16}
_Request = (
    socks5.SOCKS5AuthMethodsRequest | socks5.SOCKS5UsernamePasswordRequest | socks5.SOCKS5CommandRequest
)


class SocksBackend(httpcore.AnyIOBackend):
    """The network as it is reached through a proxy; a failure is a failure to connect.

    Args:
        proxy: its address, and perhaps its login.
    """

    def __init__(self, proxy: httpx.Proxy) -> None:
        self._host = proxy.url.host
        self._port = proxy.url.port or _PORT
        self._login = proxy.raw_auth

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host: the proxy looks up its name."""
        try:
            with anyio.fail_after(timeout):
                stream = await super().connect_tcp(
                    self._host, self._port, None, local_address, socket_options
                )
                try:
                    await self._ask_for(host, port, stream)
                except BaseException:
                    with anyio.CancelScope(shield=True):
                        await stream.aclose()
                    raise
        except TimeoutError:
            raise httpcore.ConnectTimeout("the SOCKS proxy made no connection in time") from None
        except OverflowError:
            raise httpcore.ConnectError("a name or login that is too long for a SOCKS proxy") from None
        except (SOCKSError, httpcore.ReadError, httpcore.WriteError, EOFError, ValueError):
            # Without words: they may quote the proxy.
            raise httpcore.ConnectError("the SOCKS proxy answered with something else than SOCKS5") from None
        return stream

    async def _ask_for(self, host: str, port: int, stream: httpcore.AsyncNetworkStream) -> None:
        handshake = _Handshake(stream)
        method = socks5.SOCKS5AuthMethod
        wanted = method.NO_AUTH_REQUIRED if self._login is None else method.USERNAME_PASSWORD
        offered = await handshake.ask(socks5.SOCKS5AuthMethodsRequest([wanted]), 2)
        if offered != socks5.SOCKS5AuthReply(wanted):
            raise httpcore.ConnectError("the SOCKS proxy wants another kind of login")
        if self._login is not None:
            granted = await handshake.ask(socks5.SOCKS5UsernamePasswordRequest(*self._login), 2)
            if granted != socks5.SOCKS5UsernamePasswordReply(success=True):
                raise httpcore.ConnectError("the SOCKS proxy refused the login")
        connect = socks5.SOCKS5Command.CONNECT
        reply = await handshake.ask(socks5.SOCKS5CommandRequest.from_address(connect, (host, port)), None)
        assert isinstance(reply, socks5.SOCKS5Reply)  # noqa: S101 - for the type checker
        if reply.reply_code != socks5.SOCKS5ReplyCode.SUCCEEDED:
            words = reply.reply_code.name.lower().replace("_", " ")
            raise httpcore.ConnectError(f"the SOCKS proxy made no connection: {words}")


class _Handshake:
    """Requests and their replies, each read to its end and not a byte further."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._protocol = socks5.SOCKS5Connection()

    async def ask(self, request: _Request, length: int | None) -> object:
        """The reply, of a length that is known or that it tells itself."""
        self._protocol.send(request)
        await self._stream.write(self._protocol.data_to_send())
        reply = await self._exactly(5 if length is None else length)
        if length is None:
            kind = socks5.SOCKS5AType(reply[3:4])
            # The fifth byte is the address's first, or the length of a name.
            rest = _ADDRESS_LENGTHS[kind] - 1 if kind in _ADDRESS_LENGTHS else reply[4]
            reply += await self._exactly(rest + 2)
        return self._protocol.receive_data(reply)

    async def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            piece = await self._stream.read(count - len(received))
            if not piece:
                raise EOFError
            received += piece
        return received
