"""The effect of each fault on the connection of the client."""

from collections.abc import Awaitable, Callable

import attrs

from smsapi_async.sandbox.faults import canned
from smsapi_async.sandbox.faults.client_connection import ClientConnection
from smsapi_async.sandbox.faults.kinds import Fault
from smsapi_async.sandbox.faults.messages import RawRequest, RawResponse


@attrs.frozen
class FaultDelays:
    """The delays of a fault proxy.

    Attributes:
        byte_interval: the seconds between two bytes of a response with `Fault.SLOW_BYTES`.
        idle_delay: the seconds for which a connection is idle before the proxy sends an unsolicited response.
    """

    byte_interval: float = 0.001
    idle_delay: float = 0.01


@attrs.frozen
class Exchange:
    """One request with its response, and the options of the faults.

    Attributes:
        request: the request of the client.
        answer: the response of the gateway. If the proxy got no valid response or did not pass the request
            on, `answer` is a response of the proxy with HTTP status 502.
        retry_after: the seconds in the `Retry-After` header field of a response with HTTP status 429.
        origin: the scheme and the authority of the proxy, for a redirect.
        pace: the delays for slow and unsolicited responses.
    """

    request: RawRequest
    answer: RawResponse
    retry_after: float
    origin: str
    pace: FaultDelays


async def misbehave_unread(client: ClientConnection, fault: Fault) -> None:
    """Apply a fault that acts before the proxy reads the rest of the request."""
    match fault:
        case Fault.ACCEPT_THEN_SILENCE:
            await client.until_gone()
        case Fault.CLOSE_BEFORE_READ:
            await client.close()
        case _:
            client.reset()


async def misbehave(client: ClientConnection, fault: Fault, exchange: Exchange) -> None:
    """Apply a fault to a request that the proxy has read."""
    await _BEHAVIOURS[fault](client, exchange)


async def _answer(client: ClientConnection, exchange: Exchange) -> None:
    await _send(client, exchange, exchange.answer)


async def _send(client: ClientConnection, exchange: Exchange, answer: RawResponse) -> None:
    await client.send(answer.raw)
    await _close_if_last(client, exchange, answer)


# If the request or the response says that the connection does not stay open, close the connection after the
# response (RFC 9112, section 9.6).
async def _close_if_last(client: ClientConnection, exchange: Exchange, answer: RawResponse) -> None:
    if not (answer.keep_alive and exchange.request.keep_alive):
        await client.close()


async def _close(client: ClientConnection, _exchange: Exchange) -> None:
    await client.close()


async def _reset(client: ClientConnection, _exchange: Exchange) -> None:
    client.reset()


async def _hang(client: ClientConnection, _exchange: Exchange) -> None:
    await client.until_gone()


async def _truncate(client: ClientConnection, exchange: Exchange) -> None:
    await client.send(exchange.answer.truncated)
    await client.close()


async def _garbage(client: ClientConnection, _exchange: Exchange) -> None:
    await client.send(canned.GARBAGE)
    await client.close()


async def _garbage_beneath_tls(client: ClientConnection, _exchange: Exchange) -> None:
    await client.corrupt(canned.GARBAGE)


async def _error_500(client: ClientConnection, exchange: Exchange) -> None:
    await _send(client, exchange, canned.html_error(500))


async def _error_502(client: ClientConnection, exchange: Exchange) -> None:
    await _send(client, exchange, canned.html_error(502))


async def _slow_bytes(client: ClientConnection, exchange: Exchange) -> None:
    await client.dribble(exchange.answer.raw, exchange.pace.byte_interval)
    await _close_if_last(client, exchange, exchange.answer)


async def _stale_keep_alive(client: ClientConnection, exchange: Exchange) -> None:
    await _answer(client, exchange)
    if client.is_open:
        await client.next_bytes()
        await client.close()


async def _two_answers(client: ClientConnection, exchange: Exchange) -> None:
    # Write both responses at once, so that the client can receive both responses in one read.
    await client.send(exchange.answer.raw + canned.stale_ids().raw)
    await _close_if_last(client, exchange, exchange.answer)


async def _late_answer(client: ClientConnection, exchange: Exchange) -> None:
    await _answer(client, exchange)
    # If the next request begins before `idle_delay` ends, the proxy sends no second response.
    if client.is_open and not await client.next_bytes(exchange.pace.idle_delay):
        await client.send(canned.stale_ids().raw)


async def _unsolicited_408(client: ClientConnection, exchange: Exchange) -> None:
    await _answer(client, exchange)
    if client.is_open:
        # The proxy sends the response with HTTP status 408 when the connection has been idle for
        # `idle_delay`, or as soon as the next request begins.
        await client.next_bytes(exchange.pace.idle_delay)
        await client.send(canned.request_timeout().raw)
        await client.close()


async def _redirect(client: ClientConnection, exchange: Exchange) -> None:
    await _send(client, exchange, canned.redirect(exchange.request, exchange.origin))


async def _too_many_requests(client: ClientConnection, exchange: Exchange) -> None:
    await _send(client, exchange, canned.too_many_requests(exchange.retry_after))


async def _expired_session(client: ClientConnection, exchange: Exchange) -> None:
    await _send(client, exchange, canned.expired_session())


_BEHAVIOURS: dict[Fault, Callable[[ClientConnection, Exchange], Awaitable[None]]] = {
    Fault.PASS: _answer,
    Fault.CLOSE_AFTER_READ: _close,
    Fault.RESET_AFTER_READ: _reset,
    Fault.HANG_AFTER_READ: _hang,
    Fault.CLOSE_AFTER_PASS: _close,
    Fault.RESET_AFTER_PASS: _reset,
    Fault.HANG_AFTER_PASS: _hang,
    Fault.TRUNCATE_AFTER_PASS: _truncate,
    Fault.GARBAGE_AFTER_PASS: _garbage,
    Fault.TLS_GARBAGE_AFTER_PASS: _garbage_beneath_tls,
    Fault.ERROR_500_AFTER_PASS: _error_500,
    Fault.ERROR_502_AFTER_PASS: _error_502,
    Fault.GARBAGE: _garbage,
    Fault.ERROR_500: _error_500,
    Fault.ERROR_502: _error_502,
    Fault.SLOW_BYTES: _slow_bytes,
    Fault.STALE_KEEP_ALIVE: _stale_keep_alive,
    Fault.TWO_ANSWERS: _two_answers,
    Fault.LATE_ANSWER: _late_answer,
    Fault.REDIRECT_307: _redirect,
    Fault.TOO_MANY_REQUESTS_429: _too_many_requests,
    Fault.EXPIRED_SESSION: _expired_session,
    Fault.UNSOLICITED_408: _unsolicited_408,
}
