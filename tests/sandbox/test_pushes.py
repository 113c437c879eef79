"""The sandbox pushes incoming messages to a handler, and repeats failed pushes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs

import anyio
import pytest
from anyio.abc import ByteStream

from smsapi_async.sandbox import PushAttempt, Sandbox, run_sandbox
from tests.client.tools import client_for

pytestmark = pytest.mark.anyio

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBER = "79031234567"

Answer = Callable[[int], Awaitable[bytes | None]]


def response(body: str = "", status: int = 200, kind: str = "text/plain; charset=utf-8") -> bytes:
    """Return an HTTP response as bytes."""
    content = body.encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class Handler:
    """A handler of pushed messages that answers with prepared bytes.

    Args:
        answer: returns the response to a push; the argument is the number of the push, from 0. If the result
            is None, the connection is closed without a response.

    Attributes:
        forms: the parameters of each push.
        url: the URL of the handler.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.forms: list[dict[str, str]] = []
        self.lines: list[str] = []
        self.url = ""

    async def __call__(self, stream: ByteStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._serve(stream)

    async def _serve(self, stream: ByteStream) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < int(length.split(b":")[1]):
            body += await stream.receive()
        self.lines.append(head.split(b"\r\n")[0].decode())
        form = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
        self.forms.append({name: values[0] for name, values in form.items()})
        answer = await self._answer(len(self.forms) - 1)
        if answer is not None:
            await stream.send(answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))


def always(answer: bytes | None) -> Answer:
    """Return a function that returns the same response for each push."""

    async def same(_: int) -> bytes | None:
        return answer

    return same


@asynccontextmanager
async def handler_for(sandbox: Sandbox, answer: Answer) -> AsyncIterator[Handler]:
    """Serve a handler on a socket, and let the sandbox push to the handler."""
    handler = Handler(answer)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handler)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no SQL
        handler.url = f"http://127.0.0.1:{port}/sms?token=t"
        sandbox.push_to(handler.url)
        yield handler
        tasks.cancel_scope.cancel()


def seen(attempts: list[PushAttempt]) -> list[tuple[int, float, int | None, str | None]]:
    """Return the number, the seconds after `START`, the status and the error of each attempt."""
    return [(each.attempt, (each.at - START).total_seconds(), each.status, each.error) for each in attempts]


async def test_a_push_has_the_parameters_of_the_gateway(anyio_backend: str) -> None:
    """A received message arrives as a form with the five parameters, also with an empty text."""
    async with run_sandbox(start=START) as sandbox, handler_for(sandbox, always(response())) as handler:
        first = sandbox.receive(NUMBER, text="Да & нет+1 😀", destination_address="4443", prefix="Ok")
        await sandbox.wait_for_pushes()
        second = sandbox.receive("+7903", text="")
        await sandbox.wait_for_pushes()
    assert handler.lines == ["POST /sms?token=t HTTP/1.1"] * 2
    assert handler.forms == [
        {
            "sourcePhone": NUMBER,
            "number": "4443",
            "prefix": "Ok",
            "text": "Да & нет+1 😀",
            "messageId": str(first),
        },
        {
            "sourcePhone": "+7903",
            "number": "79160000000",
            "prefix": "",
            "text": "",
            "messageId": str(second),
        },
    ]
    assert [each.message_id for each in sandbox.account.pushes] == [first, second]
    assert seen(sandbox.account.pushes) == [(1, 0, 200, None)] * 2


async def test_a_step_of_minutes_makes_all_repeats_due(anyio_backend: str) -> None:
    """If a test moves the clock by four minutes, the sandbox makes the four repeats at once."""
    async with (
        run_sandbox(start=START) as sandbox,
        handler_for(sandbox, always(response(status=503))) as handler,
    ):
        sandbox.receive(NUMBER, text="hello")
        await sandbox.wait_for_pushes()
        sandbox.advance(minutes=4)
        await sandbox.wait_for_pushes()
        assert [attempt for attempt, *_ in seen(sandbox.account.pushes)] == [1, 2, 3, 4, 5]
        assert len(handler.forms) == 5


@pytest.mark.parametrize("answer", [response(status=503), response(status=302), response(status=404), None])
async def test_a_failed_push_is_repeated_four_times(answer: bytes | None, anyio_backend: str) -> None:
    """The sandbox makes five attempts, each 60 seconds of its clock after the attempt before."""
    async with run_sandbox(start=START) as sandbox, handler_for(sandbox, always(answer)) as handler:
        sandbox.receive(NUMBER, text="hello")
        await sandbox.wait_for_pushes()
        sandbox.advance(seconds=59)
        await sandbox.wait_for_pushes()
        assert len(sandbox.account.pushes) == 1
        sandbox.advance(seconds=1)
        for _ in range(6):
            await sandbox.wait_for_pushes()
            sandbox.advance(seconds=60)
        await sandbox.wait_for_pushes()
    assert [(attempt, at) for attempt, at, _, _ in seen(sandbox.account.pushes)] == [
        (1, 0),
        (2, 60),
        (3, 120),
        (4, 180),
        (5, 240),
    ]
    assert len({form["messageId"] for form in handler.forms}) == 1
    statuses = {each.status for each in sandbox.account.pushes}
    assert statuses == ({None} if answer is None else {int(answer.split()[1])})
    assert all((each.error is None) is (answer is not None) for each in sandbox.account.pushes)


async def test_a_handler_that_does_not_answer_gets_the_message_again(anyio_backend: str) -> None:
    """After 30 seconds without an answer, an attempt ends. The next attempt follows after 60 seconds."""
    arrived = [anyio.Event(), anyio.Event()]

    async def answer(number: int) -> bytes:
        arrived[number].set()
        if number == 0:
            await anyio.sleep_forever()
        return response()

    async with run_sandbox(start=START) as sandbox, handler_for(sandbox, answer):
        sandbox.receive(NUMBER, text="hello")
        await arrived[0].wait()
        sandbox.advance(seconds=29)
        assert sandbox.account.pushes[0].error is None
        sandbox.advance(seconds=1)
        await sandbox.wait_for_pushes()
        assert seen(sandbox.account.pushes) == [(1, 0, None, "timeout")]
        sandbox.advance(seconds=30)
        await sandbox.wait_for_pushes()
    assert seen(sandbox.account.pushes) == [(1, 0, None, "timeout"), (2, 60, 200, None)]


async def test_a_running_clock_makes_the_repeats(anyio_backend: str) -> None:
    """With a clock that runs, the repeats and the end of an attempt without an answer need no `advance`."""
    third = anyio.Event()

    async def answer(number: int) -> bytes | None:
        if number == 0:
            await anyio.sleep_forever()
        if number == 2:
            third.set()
        return response(status=500 if number == 1 else 200)

    # With a faster clock, an answer on a busy machine would come too late.
    async with run_sandbox(speed=60) as sandbox, handler_for(sandbox, answer):
        sandbox.receive(NUMBER, text="hello")
        with anyio.fail_after(20):
            await third.wait()
            await sandbox.wait_for_pushes()
    assert [each.status for each in sandbox.account.pushes] == [None, 500, 200]


async def test_a_reply_is_billed_as_a_message(anyio_backend: str) -> None:
    """The text in `{sms=...}` is sent to the subscriber, billed, and listed; the segment has a state."""
    async with (
        run_sandbox(start=START, balance=10, price="1.50") as sandbox,
        handler_for(sandbox, always(response("{sms=Спасибо\n{1}}"))),
        client_for(sandbox) as sms,
    ):
        sandbox.receive(NUMBER, text="hello", destination_address="4443")
        await sandbox.wait_for_pushes()
        [reply] = sandbox.account.replies
        assert (reply.destination_address, reply.source_address, reply.text) == (
            NUMBER,
            "4443",
            "Спасибо\n{1}",
        )
        assert sandbox.account.messages == [reply]
        assert sandbox.balance == Decimal("8.50")
        assert sandbox.account.pushes[0].reply == "Спасибо\n{1}"
        sandbox.advance(seconds=10)
        assert (await sms.state(reply.segment_ids[0])).state == 0


@pytest.mark.parametrize(
    "answer",
    [
        response("thanks"),
        response("{sms=}"),
        response("{sms=" + "x" * 2001 + "}"),
        response("{sms=hello}", kind="text/html"),
        response("{sms=hello}", status=202),
        response("{sms=hello} "[:-2]),
    ],
)
async def test_what_is_no_reply_is_not_sent(answer: bytes, anyio_backend: str) -> None:
    """An answer that is no reply, or a reply that cannot be sent, ends the push without a message."""
    async with run_sandbox(start=START) as sandbox, handler_for(sandbox, always(answer)):
        sandbox.receive(NUMBER, text="hello")
        await sandbox.wait_for_pushes()
        sandbox.advance(minutes=10)
        await sandbox.wait_for_pushes()
    assert len(sandbox.account.pushes) == 1
    assert sandbox.account.messages == []


async def test_a_reply_that_cannot_be_paid_is_not_sent(anyio_backend: str) -> None:
    """If the balance does not suffice, the reply is dropped and the balance stays."""
    async with (
        run_sandbox(start=START, balance=1) as sandbox,
        handler_for(sandbox, always(response("{sms=x}"))),
    ):
        sandbox.receive(NUMBER, text="hello")
        await sandbox.wait_for_pushes()
    assert sandbox.balance == 1
    assert sandbox.account.replies == []


@pytest.mark.parametrize("number", ["1212", "ACME"])
async def test_a_reply_to_something_else_than_a_number_is_not_sent(number: str, anyio_backend: str) -> None:
    """If the sender of a message is no valid destination address, the sandbox drops the reply."""
    async with run_sandbox(start=START) as sandbox, handler_for(sandbox, always(response("{sms=ok}"))):
        sandbox.receive(number, text="hello")
        await sandbox.wait_for_pushes()
        assert seen(sandbox.account.pushes) == [(1, 0, 200, None)]
        assert sandbox.account.replies == []
        assert sandbox.balance == 10000


async def test_the_reply_of_a_recipient_is_pushed_when_it_is_due(anyio_backend: str) -> None:
    """The reply of a recipient with the ending 700 is pushed when the message is delivered, and only once."""
    async with (
        run_sandbox(start=START) as sandbox,
        handler_for(sandbox, always(response("{sms=x}"))) as handler,
        client_for(sandbox) as sms,
    ):
        await sms.send("79031234700", "a question")
        await sandbox.wait_for_pushes()
        assert handler.forms == []
        for _ in range(5):
            sandbox.advance(seconds=5)
            await sandbox.wait_for_pushes()
    assert [form["text"] for form in handler.forms] == ["Re: a question"]
    assert [message.text for message in sandbox.account.messages] == ["a question", "x"]


async def test_messages_before_the_server_and_before_the_url(anyio_backend: str) -> None:
    """The server pushes what arrived before it ran, but not what arrived before the URL was set."""
    sandbox = Sandbox(start=START)
    sandbox.receive(NUMBER, text="too early")
    async with handler_for(sandbox, always(response())) as handler:
        sandbox.receive(NUMBER, text="early")
        with pytest.raises(RuntimeError, match="run_sandbox"):
            await sandbox.wait_for_pushes()
        async with run_sandbox(sandbox):
            await sandbox.wait_for_pushes()
            sandbox.push_to(None)
            sandbox.receive(NUMBER, text="too late")
            await sandbox.wait_for_pushes()
    assert [form["text"] for form in handler.forms] == ["early"]


async def test_the_server_stops_during_a_push(anyio_backend: str) -> None:
    """The end of `run_sandbox` does not wait for a handler. The next server repeats the push."""
    arrived = anyio.Event()

    async def answer(number: int) -> bytes:
        if number == 0:
            arrived.set()
            await anyio.sleep_forever()
        return response()

    sandbox = Sandbox(start=START)
    async with handler_for(sandbox, answer):
        with anyio.fail_after(20):
            async with run_sandbox(sandbox):
                sandbox.receive(NUMBER, text="hello")
                await arrived.wait()
        assert seen(sandbox.account.pushes) == [(1, 0, None, "stopped")]
        async with run_sandbox(sandbox):
            sandbox.advance(timedelta(seconds=60))
            await sandbox.wait_for_pushes()
    assert seen(sandbox.account.pushes)[1:] == [(2, 60, 200, None)]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/sms",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http:///x",
        "http://[::",
        "http://127.0.0.1:0/sms",
        "http://127.0.0.1:65536/sms",
    ],
)
def test_only_urls_of_this_computer(url: str) -> None:
    """A URL of another computer and an invalid URL are refused, unless the caller allows other computers."""
    with pytest.raises(ValueError, match="push URL"):
        Sandbox(push_url=url)
    for mine in ("http://127.0.0.1:8000/sms", "http://localhost/", "http://[::1]:80/x", "https://127.1.2.3"):
        Sandbox(push_url=mine)
    Sandbox(push_url="https://example.com/sms", allow_remote_push=True)


async def test_a_repr_shows_no_reply(anyio_backend: str) -> None:
    """The `repr` of an attempt shows the status, but not the text of the reply."""
    shown = repr(PushAttempt(1, 2, START, 200, reply="secret words"))
    assert "200" in shown
    assert "secret" not in shown
