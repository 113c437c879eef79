"""Connections through a SOCKS5 proxy (RFC 1928). The connect timeout includes the handshake.

This module replaces httpcore's SOCKS handshake. httpcore's handshake has no timeout, treats a part of a reply
as the whole reply, raises exceptions of the library `socksio`, and does not close the socket after a failure.
"""

from collections.abc import Iterable
from typing import Any

import anyio
import httpx
from socksio import SOCKSError, socks5

from smsapi_async.http.httpcore_streams import SocketOption

# The default port of a SOCKS proxy (RFC 1928, 3).
_PORT = 1080
# The lengths of IP addresses in the reply to a CONNECT request, in bytes (RFC 1928, 6).
_ADDRESS_LENGTHS = {socks5.SOCKS5AType.IPV4_ADDRESS: 4, socks5.SOCKS5AType.IPV6_ADDRESS: 16}
_Request = (
    socks5.SOCKS5AuthMethodsRequest | socks5.SOCKS5UsernamePasswordRequest | socks5.SOCKS5CommandRequest
)


class SocksBackend:
    """Opens connections through a SOCKS5 proxy.

    Each failure of the proxy is reported as a failure to connect, because no byte of the request was written.

    Args:
        proxy: the address of the proxy, and a login and password if the proxy requires them.
        core: the package httpcore or httpcore2, whose exceptions are raised.
    """

    def __init__(self, proxy: httpx.Proxy, core: Any) -> None:  # noqa: ANN401 - a module
        self._core = core
        self._network = core.AnyIOBackend()
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
    ) -> Any:  # noqa: ANN401 - a stream of the package
        """Connect to a host through the proxy. The proxy resolves the name of the host.

        Raises:
            httpcore.ConnectTimeout: if the timeout ended before the connection was established.
            httpcore.ConnectError: if the proxy cannot be reached, or the handshake failed.
        """
        try:
            with anyio.fail_after(timeout):
                stream = await self._network.connect_tcp(
                    self._host, self._port, None, local_address, socket_options
                )
                try:
                    await self._ask_for(host, port, stream)
                except BaseException:
                    # Without the shield, a cancelled task could not close the socket.
                    with anyio.CancelScope(shield=True):
                        await stream.aclose()
                    raise
        except TimeoutError:
            raise self._core.ConnectTimeout("the SOCKS proxy did not connect in time") from None
        except OverflowError:
            raise self._core.ConnectError(
                "the host name or the login is too long for a SOCKS proxy"
            ) from None
        except (SOCKSError, self._core.ReadError, self._core.WriteError, EOFError, ValueError):
            # The text of the exception is not shown: the text may quote the proxy.
            raise self._core.ConnectError("the SOCKS proxy sent no valid SOCKS5 reply") from None
        return stream

    async def _ask_for(self, host: str, port: int, stream: Any) -> None:  # noqa: ANN401
        handshake = _Handshake(stream)
        method = socks5.SOCKS5AuthMethod
        wanted = method.NO_AUTH_REQUIRED if self._login is None else method.USERNAME_PASSWORD
        offered = await handshake.ask(socks5.SOCKS5AuthMethodsRequest([wanted]), 2)
        if offered != socks5.SOCKS5AuthReply(wanted):
            raise self._core.ConnectError("the SOCKS proxy requires another login method")
        if self._login is not None:
            granted = await handshake.ask(socks5.SOCKS5UsernamePasswordRequest(*self._login), 2)
            if granted != socks5.SOCKS5UsernamePasswordReply(success=True):
                raise self._core.ConnectError("the SOCKS proxy refused the login")
        connect = socks5.SOCKS5Command.CONNECT
        reply = await handshake.ask(socks5.SOCKS5CommandRequest.from_address(connect, (host, port)), None)
        assert isinstance(reply, socks5.SOCKS5Reply)  # noqa: S101 - for the type checker
        if reply.reply_code != socks5.SOCKS5ReplyCode.SUCCEEDED:
            words = reply.reply_code.name.lower().replace("_", " ")
            raise self._core.ConnectError(f"the SOCKS proxy made no connection: {words}")


class _Handshake:
    """Sends the requests of the handshake and reads the replies.

    This class never reads more bytes than the reply has, because the bytes after the last reply belong to the
    connection with the gateway.

    Args:
        stream: the connection to the proxy.
    """

    def __init__(self, stream: Any) -> None:  # noqa: ANN401
        self._stream = stream
        self._protocol = socks5.SOCKS5Connection()

    async def ask(self, request: _Request, length: int | None) -> object:
        """Send a request, and return the reply.

        Args:
            request: the request of the SOCKS handshake.
            length: the length of the reply in bytes. None means that the reply contains an address, and that
                the length depends on the kind of address.

        Raises:
            EOFError: if the proxy closed the connection before the end of the reply.
        """
        self._protocol.send(request)
        await self._stream.write(self._protocol.data_to_send())
        reply = await self._exactly(5 if length is None else length)
        if length is None:
            kind = socks5.SOCKS5AType(reply[3:4])
            # The fifth byte of the reply is the first byte of an IP address, or the length of a host name.
            # The port follows the address in two bytes.
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
