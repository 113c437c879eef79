"""A program that makes pairs of requests to a server that breaks the framing of its first response.

``python -m tests.transports.fuzz --pairs 10000`` prints the results for each event loop, with TLS and without
TLS. The second request of a pair must not get bytes of the first response. Each exchange must end within its
time limit.

The server writes all surplus bytes together with the last byte of a response. If surplus bytes arrived after
the client has written the second request, no client could distinguish these bytes from the second response:
HTTP/1.1 has no request ids.
"""

import argparse
import gzip
import random
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import attrs

from smsapi_async.http.choice import Kind
from smsapi_async.http.exchange import Evidence, Exchanger, HttpResponse
from smsapi_async.http.factory import build_exchanger
from smsapi_async.settings import Timeouts
from tests.client.tools import RawServer, read_request, tls_pair

TIMEOUTS = Timeouts(connect=5.0, read=0.3, write=5.0, total=1.0)
# `LONGEST` limits the length of an exchange in seconds. The limit is long, because a busy machine may delay
# the end of an exchange, but an exchange that hangs would never end.
LONGEST = 20.0
PAIRS_AT_ONCE = 20
STOLEN = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n["stolen"]'

LOOPS: dict[str, tuple[str, dict[str, Any], Kind]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}, "asyncio"),
    "uvloop": ("asyncio", {"use_uvloop": True}, "asyncio"),
    "asyncio, httpcore": ("asyncio", {"use_uvloop": False}, "httpcore"),
    "trio, httpcore": ("trio", {}, "httpcore"),
}


@attrs.define
class Response:
    """The parts of one response. The functions in `MUTATIONS` change these parts to break the response."""

    body: bytes
    status_line: bytes = b"HTTP/1.1 200 OK"
    fields: list[bytes] = attrs.field(factory=lambda: [b"Content-Type: application/json"])
    framing: str = "length"
    before: bytes = b""
    after: bytes = b""
    line_end: bytes = b"\r\n"
    chunks: Callable[[bytes], bytes] = lambda body: b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    def wire(self) -> bytes:
        """Return the bytes of the whole response."""
        framing = {
            "length": [b"Content-Length: %d" % len(self.body)],
            "chunked": [b"Transfer-Encoding: chunked"],
            "eof": [],
        }[self.framing]
        head = self.line_end.join([self.status_line, *self.fields, *framing, b"", b""])
        body = self.chunks(self.body) if self.framing == "chunked" else self.body
        return self.before + head + body + self.after


def _field(line: bytes) -> Callable[[Response, random.Random], None]:
    return lambda response, _: response.fields.append(line)


def _set(**changes: Any) -> Callable[[Response, random.Random], None]:
    def change(response: Response, _: random.Random) -> None:
        for name, value in changes.items():
            setattr(response, name, value)

    return change


def _chunks(chunks: Callable[[bytes], bytes]) -> Callable[[Response, random.Random], None]:
    return _set(framing="chunked", chunks=chunks)


def _many_chunks(response: Response, rng: random.Random) -> None:
    size = rng.randint(1, 5)
    response.framing = "chunked"
    response.chunks = lambda body: (
        b"".join(
            b"%x;x=y\r\n%s\r\n" % (len(part), part)
            for part in (body[index : index + size] for index in range(0, len(body), size))
        )
        + b"0\r\nTrailer: x\r\n\r\n"
    )


MUTATIONS: list[Callable[[Response, random.Random], None]] = [
    _set(),
    _set(framing="chunked"),
    _set(framing="eof"),
    _many_chunks,
    _chunks(lambda body: b"zz\r\n" + body),
    _chunks(lambda body: b"-5\r\n%s\r\n0\r\n\r\n" % body),
    _chunks(lambda body: b"%x\r\n%s0\r\n\r\n" % (len(body), body)),
    _chunks(lambda body: b"%x\n%s\n0\n\n" % (len(body), body)),
    _chunks(lambda body: b"%x\r\n%s\r\n0\r\nX: y\n\r\n\r\n" % (len(body), body)),
    _chunks(lambda body: b"ffffffffffffffff\r\n" + body),
    _chunks(lambda body: b"%x\r\n%s\r\n" % (len(body), body)),
    _chunks(lambda body: b"%x \r\n%s\r\n0\r\n\r\n" % (len(body) - 3, body)),
    _field(b"Content-Length: 3"),
    _field(b"Content-Length: 3, 3"),
    _field(b"Content-Length: -1"),
    _field(b"Content-Length: 0x10"),
    _field(b"Content-Length: +5"),
    _field(b"Content-Length : 3"),
    _field(b"Content-Length:\x0b3"),
    _field(b"Content-Length: 99999999999999999999"),
    _field(b"content-length: 0"),
    _field(b"Transfer-Encoding: chunked"),
    _field(b"Transfer-Encoding: identity"),
    _field(b"Transfer-Encoding: gzip, chunked"),
    _field(b"Transfer-Encoding:\tchunked"),
    _field(b"Transfer-Encoding : chunked"),
    _field(b"X: a\r\n folded: Content-Length: 2"),
    _field(b"X: a\nContent-Length: 2"),
    _field(b"X: a\rContent-Length: 2"),
    _field(b": no name"),
    _field(b"no colon"),
    _field(b"X: \x00"),
    _field(b"Content-Encoding: gzip"),
    _field(b"Connection: close"),
    _field(b"Connection: upgrade\r\nUpgrade: x"),
    _field(b"X: " + b"y" * 70_000),
    _set(line_end=b"\n"),
    _set(status_line=b"HTTP/1.0 200 OK"),
    _set(status_line=b"HTTP/1.0 200 OK", framing="chunked"),
    _set(status_line=b"HTTP/1.2 200 OK"),
    _set(status_line=b"HTTP/2.0 200 OK"),
    _set(status_line=b"HTTP/1.1 2x0 OK"),
    _set(status_line=b"HTTP/1.1 200"),
    _set(status_line=b"HTTP/1.1  200 OK"),
    _set(status_line=b"HTTP/1.1 204 No Content"),
    _set(status_line=b"HTTP/1.1 304 Not Modified"),
    _set(status_line=b"HTTP/1.1 101 Switching Protocols"),
    _set(status_line=b"ICY 200 OK"),
    _set(before=b"\r\n"),
    _set(before=b"HTTP/1.1 100 Continue\r\n\r\n"),
    _set(before=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3),
    _set(before=b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"),
    _set(before=b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000),
    _set(after=b"\r\n"),
    _set(after=b"\n"),
    _set(after=STOLEN),
    _set(after=b"\r\n" + STOLEN),
    _set(after=b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"),
    _set(after=b"0\r\n\r\n" + STOLEN),
    _set(after=b"\x00"),
]


def _gzipped(response: Response) -> None:
    if b"Content-Encoding: gzip" in response.fields:
        response.body = gzip.compress(response.body)


def script_of(seed: int, body: bytes) -> tuple[list[bytes], bool]:
    """Return the pieces of a broken response, and whether the server then closes the connection.

    The server writes the pieces one after the other.

    Args:
        seed: the seed of the random generator. Equal seeds return equal pieces.
        body: the body of the response before the response is broken.
    """
    rng = random.Random(seed)
    response = Response(body)
    for mutate in rng.sample(MUTATIONS, rng.choice([1, 1, 2, 3])):
        mutate(response, rng)
    _gzipped(response)
    wire = response.wire()
    # The last piece begins before `limit`, so that it contains the last byte of the response and all surplus
    # bytes.
    limit = max(1, len(wire) - len(response.after) - 1)
    places = sorted(rng.sample(range(limit), min(limit, rng.choice([0, 0, 1, 2, 8]))))
    pieces = [wire[start:end] for start, end in zip([0, *places], [*places, len(wire)], strict=True)]
    return pieces, response.framing == "eof" or rng.random() < 0.2


def _serve(connection: socket.socket, context: ssl.SSLContext | None) -> None:
    if context is not None:
        connection = context.wrap_socket(connection, server_side=True)
    with connection, suppress(OSError):
        while request := read_request(connection):
            seed, place = (int(number) for number in request.rpartition(b"\r\n\r\n")[2].split(b"-"))
            body = b'["%d-%d"]' % (seed, place)
            pieces, is_last = script_of(seed, body) if place == 0 else ([Response(body).wire()], False)
            for piece in pieces:
                connection.sendall(piece)
                if len(pieces) > 1:
                    time.sleep(0.001)
            if is_last:
                return


@contextmanager
def broken_server(*, tls: bool) -> Iterator[tuple[str, ssl.SSLContext | None]]:
    """Run the server that breaks its first response.

    Yield the URL of the server and the TLS context for a client.

    Args:
        tls: whether the server uses TLS. Without TLS, the TLS context is None.
    """
    server_context, client_context = tls_pair() if tls else (None, None)
    with RawServer(lambda connection: _serve(connection, server_context)) as server:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.port}/rest", client_context


@attrs.define
class Report:
    """The results of many pairs of requests.

    Attributes:
        ends: the number of exchanges for each place in the pair (first or second) and each result (response
            or failure).
        wrong: the seeds of the pairs in which the second request got bytes of the first response.
        longest: the length of the longest exchange in seconds.
    """

    ends: Counter[str] = attrs.field(factory=Counter)
    wrong: list[int] = attrs.field(factory=list)
    longest: float = 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.ends.items()))
        return f"wrong {len(self.wrong)}, longest {self.longest:.2f} s; {ends}"


async def _pair(exchanger: Exchanger, seed: int, report: Report) -> None:
    for place in (0, 1):
        started = time.monotonic()
        with anyio.fail_after(LONGEST):
            result = await exchanger.exchange("POST", "Sms/Send", b"%d-%d" % (seed, place), Evidence())
        report.longest = max(report.longest, time.monotonic() - started)
        is_response = isinstance(result, HttpResponse)
        report.ends[f"{('first', 'second')[place]} {'response' if is_response else 'failure'}"] += 1
        if isinstance(result, HttpResponse) and place == 1 and result.body != b'["%d-1"]' % seed:
            report.wrong.append(seed)


async def run_pairs(url: str, context: ssl.SSLContext | None, transport: Kind, seeds: range) -> Report:
    """Make one pair of requests for each seed, and return the results. Each pair has its own client.

    Args:
        url: the URL of the server.
        context: the TLS context of the clients, or None.
        transport: the kind of transport that the clients use.
        seeds: the seeds of the pairs.
    """
    report = Report()
    limiter = anyio.CapacityLimiter(PAIRS_AT_ONCE)

    async def run(seed: int) -> None:
        async with limiter:
            exchanger = build_exchanger(
                url,
                TIMEOUTS,
                proxy=None,
                ca_file=None,
                ssl_context=context,
                client=None,
                transport=transport,
                body_limit=1 << 20,
            )
            try:
                await _pair(exchanger, seed, report)
            finally:
                await exchanger.aclose()

    async with anyio.create_task_group() as group:
        for seed in seeds:
            group.start_soon(run, seed)
    return report


def run(loop: str, *, tls: bool, seeds: range) -> Report:
    """Make one pair of requests for each seed on one event loop, and return the results.

    Args:
        loop: a key of `LOOPS`.
        tls: whether the server uses TLS.
        seeds: the seeds of the pairs.
    """
    backend, options, transport = LOOPS[loop]
    with broken_server(tls=tls) as (url, context):
        return anyio.run(run_pairs, url, context, transport, seeds, backend=backend, backend_options=options)


def main() -> None:
    """Run the pairs on each event loop, with TLS and without TLS, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m tests.transports.fuzz", description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000, help="the number of pairs over all event loops")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first pair")
    given = parser.parse_args()
    runs = [(loop, tls) for loop in LOOPS for tls in (False, True)]
    count = -(-given.pairs // len(runs))
    for index, (loop, tls) in enumerate(runs):
        first = given.seed + index * count
        print(f"{loop}, {'TLS' if tls else 'plain'}: {run(loop, tls=tls, seeds=range(first, first + count))}")


if __name__ == "__main__":
    main()
