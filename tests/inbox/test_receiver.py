"""The receiver passes each pushed message once to the handler, and lets the gateway repeat failures."""

import json
import logging
import traceback
from datetime import timedelta
from typing import Any

import anyio
import pytest

from smsapi_async import (
    IncomingMessage,
    IncomingReceiver,
    MemoryCheckpoint,
    PushedMessage,
    Secret,
    ValidationError,
)
from smsapi_async.inbox import Position
from tests.inbox.pushing import MESSAGE, NUMBER, PUSH, TEXT, TOKEN, Handler, Store, client_of, push, push_of

pytestmark = pytest.mark.anyio

PRIVATE = (NUMBER, NUMBER[1:], TEXT, "4711", TOKEN, "539187174")


def check_log(caplog: pytest.LogCaptureFixture, *parts: str, level: int = logging.WARNING) -> None:
    """Check that the log has one record of a level with all parts, and no private value."""
    records = [record for record in caplog.records if record.name == "smsapi_async"]
    assert [record.levelno for record in records] == [level]
    for part in parts:
        assert part in records[0].getMessage()
    for private in PRIVATE:
        assert private not in caplog.text


def multipart(form: dict[str, str]) -> tuple[str, bytes]:
    """Return the content type and the body of a multipart form."""
    parts = [
        f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form.items()
    ]
    return "multipart/form-data; boundary=XX", ("".join(parts) + "--XX--\r\n").encode()


@pytest.mark.parametrize(
    "request_of",
    [
        {"data": PUSH},
        {"data": {name.upper(): value for name, value in PUSH.items()}},
        {"params": PUSH},
        {"params": {**PUSH, "text": "another text"}, "data": {"TEXT": TEXT}},
        {"json": {**PUSH, "messageId": 539187174}},
        {"content": multipart(PUSH)[1], "headers": {"content-type": multipart(PUSH)[0]}},
        {"data": {**PUSH, "sourcePhone": f" {NUMBER}"}},
        {"content": "&".join(f"{name}={value}" for name, value in PUSH.items()).encode()},
    ],
    ids=["form", "upper case", "query", "both", "JSON", "multipart", "space", "raw UTF-8 without a type"],
)
async def test_every_form_of_a_push(request_of: dict[str, Any], anyio_backend: str) -> None:
    """The receiver reads a push from a form, the query, JSON or a multipart form."""
    handler = Handler()
    receiver = IncomingReceiver(handler, token=TOKEN)
    async with client_of(receiver) as client:
        response = await client.post("/", **request_of)
        assert response.status_code == 404
        request_of = {**request_of, "headers": {**request_of.get("headers", {}), "X-Token": TOKEN}}
        response = await client.post("/", **request_of)
    assert (response.status_code, response.content) == (200, b"")
    assert handler.messages == [MESSAGE]
    assert isinstance(handler.messages[0], IncomingMessage)


async def test_a_push_by_get(anyio_backend: str) -> None:
    """A GET with all parameters in the query is a push, too. The text, number and prefix may be empty."""
    handler = Handler()
    receiver = IncomingReceiver(handler, token=TOKEN)
    form = {"sourcePhone": "+7903", "text": "", "messageId": "IN2023", "token": TOKEN}
    async with client_of(receiver) as client:
        assert (await client.get("/", params=form)).status_code == 200
    assert handler.messages == [PushedMessage("IN2023", "", "+7903", "", None, "")]


MALFORMED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no id": ({"data": {**PUSH, "messageId": ""}}, 400, "messageId"),
    "no id at all": ({"data": {"sourcePhone": NUMBER, "text": TEXT}}, 400, "messageId"),
    "a long id": ({"data": {**PUSH, "messageId": "9" * 256}}, 400, "messageId"),
    "no text": ({"data": {"sourcePhone": NUMBER, "messageId": "539187174"}}, 400, "text"),
    "no number": ({"data": {**PUSH, "sourcePhone": " "}}, 400, "sourcePhone"),
    "a bad number": ({"data": {**PUSH, "sourcePhone": TEXT}}, 400, "sourcePhone"),
    "a bad service number": ({"data": {**PUSH, "number": "x" * 40}}, 400, "number"),
    "nothing": ({}, 400, "missing"),
    "windows-1251": ({"content": b"text=%CF%F0%E8", "headers": {}}, 400, "UTF-8"),
    "raw bytes": ({"content": b"text=\xcf\xf0"}, 400, "UTF-8"),
    "too many parameters": ({"content": b"a=1&" * 101}, 400, "malformed"),
    "another charset": (
        {
            "content": b"x",
            "headers": {"content-type": "application/x-www-form-urlencoded; charset=windows-1251"},
        },
        415,
        "UTF-8",
    ),
    "another type": ({"content": b"<sms/>", "headers": {"content-type": "text/xml"}}, 415, "content type"),
    "a list": ({"json": [PUSH]}, 400, "object"),
    "broken JSON": ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "malformed"),
    "deep JSON": (
        {"content": b"[" * 9000, "headers": {"content-type": "application/json"}},
        400,
        "malformed",
    ),
    "a float": ({"json": {**PUSH, "messageId": 5.5}}, 400, "messageId"),
    "a truth": ({"json": {**PUSH, "messageId": True}}, 400, "messageId"),
    "no parts": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "multipart"),
    "too large": ({"content": b"x" * 10_001}, 413, "too large"),
    "a long length": ({"content": b"x", "headers": {"content-length": "9" * 5000}}, 413, "too large"),
}


@pytest.mark.usefixtures("without_garbage_collection")
@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_push(name: str, anyio_backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """A push without a message gets a status 4xx, calls no handler, and is logged without its content."""
    request_of, status, reason = MALFORMED[name]
    handler = Handler()
    receiver = IncomingReceiver(handler, token=TOKEN, body_limit=10_000)
    async with client_of(receiver) as client:
        response = await client.post("/sms", params={"token": TOKEN}, **request_of)
    assert (response.status_code, response.content) == (status, b"")
    assert handler.messages == []
    check_log(caplog, reason)


async def test_a_body_without_a_length_is_limited(anyio_backend: str) -> None:
    """The receiver stops to read a body that is too large, also if the length is not declared."""
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    receiver = IncomingReceiver(Handler(), token=TOKEN, body_limit=1024)
    await receiver(scope_of(), receive, send)
    assert (sent[0]["status"], read) == (413, 11)


def scope_of(**fields: Any) -> dict[str, Any]:
    """Return the scope of a push with the right token."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/sms",
        "query_string": f"token={TOKEN}".encode(),
        "headers": [],
        **fields,
    }


async def test_the_connection_ends_in_the_middle(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the gateway closes the connection before the end of the body, nothing is handled or sent."""
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"messageId=1&text=a&sourcePhone=79", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(event: Any) -> None:
        raise AssertionError(event)

    handler = Handler()
    await IncomingReceiver(handler, token=TOKEN)(scope_of(), receive, send)
    assert handler.messages == []
    check_log(caplog, "closed")


@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods(method: str, anyio_backend: str) -> None:
    """Another method than GET and POST gets the status 405."""
    async with client_of(IncomingReceiver(Handler(), token=TOKEN)) as client:
        response = await client.request(method, "/", params={"token": TOKEN})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")


SECRETS: dict[str, tuple[dict[str, Any], str, dict[str, str], int]] = {
    "token": ({"token": TOKEN}, f"/?token={TOKEN}", {}, 200),
    "token in upper case": ({"token": TOKEN}, f"/?TOKEN={TOKEN}", {}, 200),
    "secret object": ({"token": Secret(TOKEN)}, f"/any/path?x=1&token={TOKEN}", {}, 200),
    "header": ({"token": TOKEN}, "/", {"X-Token": TOKEN}, 200),
    "bearer": ({"token": TOKEN}, "/", {"Authorization": f"bearer {TOKEN}"}, 200),
    "basic": ({"token": TOKEN}, "/", {"Authorization": f"basic {TOKEN}"}, 404),
    "wrong token": ({"token": TOKEN}, "/?token=a-secret-tokem", {}, 404),
    "prefix": ({"token": TOKEN}, "/?token=a-secret", {}, 404),
    "no token": ({"token": TOKEN}, "/", {}, 404),
    "empty token": ({"token": TOKEN}, "/?token=", {}, 404),
    "Cyrillic token": ({"token": "ключ"}, "/?token=ключ", {}, 200),
    "wrong Cyrillic token": ({"token": TOKEN}, "/?token=ключ", {}, 404),
    "invalid bytes": ({"token": TOKEN}, "/?token=%FF", {}, 404),
    "path": ({"path": "/sms/x7"}, "/sms/x7", {}, 200),
    "path with a slash": ({"path": "/sms/x7"}, "/sms/x7/", {}, 200),
    "escaped path": ({"path": "/sms/%D0%BA"}, "/sms/к", {}, 200),
    "wrong path": ({"path": "/sms/x7"}, "/sms/x8", {}, 404),
    "longer path": ({"path": "/sms/x7"}, "/sms/x7/y", {}, 404),
    "both": ({"path": "/sms/x7", "token": TOKEN}, f"/sms/x7?token={TOKEN}", {}, 200),
    "only the path": ({"path": "/sms/x7", "token": TOKEN}, "/sms/x7", {}, 404),
    "only the token": ({"path": "/sms/x7", "token": TOKEN}, f"/sms?token={TOKEN}", {}, 404),
    "elsewhere": ({"protected_elsewhere": True}, "/", {}, 200),
}


@pytest.mark.parametrize("name", SECRETS)
async def test_the_secret(name: str, anyio_backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Only a request with the right token and path is handled. The response does not tell the reason."""
    options, url, headers, status = SECRETS[name]
    handler = Handler()
    async with client_of(IncomingReceiver(handler, **options)) as client:
        response = await client.post(url, data=PUSH, headers=headers)
    assert (response.status_code, response.content) == (status, b"")
    assert len(handler.messages) == (status == 200)
    if status == 404:
        check_log(caplog, "secret was refused")


async def test_a_refused_request_is_not_read(anyio_backend: str) -> None:
    """The body of a request without the secret is not read."""

    async def receive() -> dict[str, Any]:
        raise AssertionError

    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    await IncomingReceiver(Handler(), token=TOKEN)(scope_of(query_string=b""), receive, send)
    assert sent[0]["status"] == 404


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({}, "token"),
        ({"protected_elsewhere": "yes"}, "token"),
        ({"token": ""}, "token"),
        ({"token": " "}, "token"),
        ({"token": b"secret"}, "token"),
        ({"path": "sms"}, "path"),
        ({"path": "/"}, "path"),
        ({"path": "/sms?token=x"}, "path"),
        ({"token": TOKEN, "handle": None}, "handle"),
        ({"token": TOKEN, "handle": Handler}, "handle"),
        ({"token": TOKEN, "timeout": 0}, "timeout"),
        ({"token": TOKEN, "timeout": "5"}, "timeout"),
        ({"token": TOKEN, "memory": timedelta(minutes=9)}, "memory"),
        ({"token": TOKEN, "memory": 3600}, "memory"),
        ({"token": TOKEN, "body_limit": 0}, "body_limit"),
        ({"token": TOKEN, "body_limit": True}, "body_limit"),
        ({"token": TOKEN, "checkpoint": 5}, "checkpoint"),
        ({"token": TOKEN, "checkpoint": MemoryCheckpoint(), "claim": print}, "claim"),
        ({"token": TOKEN, "claim": 5}, "claim"),
        ({"token": TOKEN, "release": print}, "release"),
        ({"token": TOKEN, "clock": 5}, "clock"),
    ],
)
def test_wrong_settings(options: dict[str, Any], parameter: str) -> None:
    """A wrong setting, or a receiver without a secret, is refused by the constructor without the value."""
    options = {"handle": Handler(), **options}
    with pytest.raises(ValidationError) as caught:
        IncomingReceiver(options.pop("handle"), **options)
    assert caught.value.parameter == parameter
    assert TOKEN not in str(caught.value)


def test_a_repr_shows_no_secret() -> None:
    """The `repr` says how the receiver is protected, and does not show the secret."""
    shown = repr(IncomingReceiver(Handler(), token=TOKEN, path="/sms/x7"))
    assert shown == "<IncomingReceiver: protected by token and path, 0 handled messages>"
    assert "4711" not in repr(MESSAGE)
    assert NUMBER not in repr(MESSAGE)
    assert "ok" not in repr(PushedMessage("1", "", "", "", None, "ok"))


@pytest.mark.parametrize("reply", ["Спасибо", "a\nb", "x" * 2000, " yes "])
async def test_a_reply(reply: str, anyio_backend: str) -> None:
    """The text that the handler returns is the body `{sms=...}` of the response, also of each repeat."""
    handler = Handler(reply)
    receiver = IncomingReceiver(handler, token=TOKEN)
    for _ in range(3):
        assert await push(receiver) == (200, f"{{sms={reply}}}")
    assert len(handler.messages) == 1


@pytest.mark.parametrize(
    "reply", ["", "  ", "x" * 2001, "😀" * 1001, "{name}", "a}", "\ud83d", 5, b"yes", True]
)
async def test_a_bad_reply_does_not_repeat_the_message(
    reply: object, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A reply that cannot be sent is left out and logged as an error; the message is handled once."""
    handler = Handler(reply)
    receiver = IncomingReceiver(handler, token=TOKEN)
    assert await push(receiver) == (200, "")
    check_log(caplog, "reply", level=logging.ERROR)
    assert await push(receiver) == (200, "")
    assert len(handler.messages) == 1


async def test_a_failure_of_the_handler_is_repeated(
    anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the handler raises, the response is 503. The log shows the type and the line, and no content."""
    handler = Handler("thanks")
    handler.error = LookupError(f"no customer {NUMBER}: {TEXT}")
    receiver = IncomingReceiver(handler, token=TOKEN)
    assert await push(receiver) == (503, "")
    check_log(caplog, "LookupError", "pushing.py:")
    handler.error = None
    assert await push(receiver) == (200, "{sms=thanks}")
    assert len(handler.messages) == 2


async def test_a_slow_handler(anyio_backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """After the timeout, the handler is cancelled and the response is 503. The repeat is handled."""
    calls = 0

    async def handle(message: PushedMessage) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await anyio.sleep_forever()

    receiver = IncomingReceiver(handle, token=TOKEN, timeout=timedelta(seconds=0.05))
    assert await push(receiver) == (503, "")
    check_log(caplog, "0.05 s")
    assert await push(receiver) == (200, "")
    assert calls == 2


async def test_a_slow_body(anyio_backend: str) -> None:
    """A body that does not end within the timeout gets the status 503."""
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    receiver = IncomingReceiver(Handler(), token=TOKEN, timeout=0.01)
    await receiver(scope_of(), anyio.sleep_forever, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 503


async def test_a_plain_function(anyio_backend: str) -> None:
    """A handler that is not async is called once, too, and its result is the reply."""
    seen = []

    def handle(message: PushedMessage) -> str:
        seen.append(message)
        return "thanks"

    receiver = IncomingReceiver(handle, token=TOKEN)  # type: ignore[arg-type]
    assert await push(receiver) == await push(receiver) == (200, "{sms=thanks}")
    assert len(seen) == 1


class Slow:
    """A handler that waits until the test lets it continue.

    Attributes:
        started: an event that is set when the handler is called.
        go: the event that lets the handler continue.
        error: the exception that the handler then raises, or None.
        calls: the number of calls.
    """

    def __init__(self) -> None:
        self.started, self.go = anyio.Event(), anyio.Event()
        self.error: Exception | None = None
        self.calls = 0

    async def __call__(self, _: PushedMessage) -> str:
        self.calls += 1
        self.started.set()
        await self.go.wait()
        if self.error is not None and self.calls == 1:
            raise self.error
        return f"reply {self.calls}"


async def test_raw_characters_in_the_query(anyio_backend: str) -> None:
    """A query whose UTF-8 is not percent-encoded is read, too."""
    handler, sent = Handler(), list[Any]()

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    query = f"token={TOKEN}&" + "&".join(f"{name}={value}" for name, value in PUSH.items())
    scope = scope_of(method="GET", query_string=query.encode())
    await IncomingReceiver(handler, token=TOKEN)(scope, receive, send)
    assert sent[0]["status"] == 200
    assert handler.messages == [MESSAGE]


@pytest.mark.parametrize("is_failure", [False, True])
async def test_a_repeat_while_the_handler_runs(is_failure: bool, anyio_backend: str) -> None:
    """A repeat during the first call waits for the result, and is handled only if the first call fails."""
    handler = Slow()
    handler.error = LookupError() if is_failure else None
    receiver = IncomingReceiver(handler, token=TOKEN)
    results = []

    async def one_push() -> None:
        results.append(await push(receiver))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one_push)
        await handler.started.wait()
        for _ in range(3):
            tasks.start_soon(one_push)
        await anyio.wait_all_tasks_blocked()
        assert handler.calls == 1
        handler.go.set()
    expected = [(503, "")] + [(200, "{sms=reply 2}")] * 3 if is_failure else [(200, "{sms=reply 1}")] * 4
    assert results == expected
    assert handler.calls == 1 + is_failure


async def test_a_repeat_that_waits_too_long(anyio_backend: str) -> None:
    """A repeat that waits for the first call longer than the timeout gets the status 503."""
    handler = Slow()
    receiver = IncomingReceiver(handler, token=TOKEN, timeout=0.05)
    async with anyio.create_task_group() as tasks:
        turn = await receiver.register.take("539187174")
        assert await push(receiver) == (503, "")
        assert turn is not None
        await turn.undone()
        handler.go.set()
        assert await push(receiver) == (200, "{sms=reply 1}")
        tasks.cancel_scope.cancel()


async def test_a_cancelled_request(anyio_backend: str) -> None:
    """A cancellation of the server is not swallowed; the message can be handled again."""
    handler = Slow()
    receiver = IncomingReceiver(handler, token=TOKEN)
    reached = False
    async with anyio.create_task_group() as tasks:

        async def one_push() -> None:
            nonlocal reached
            await push(receiver)
            reached = True

        tasks.start_soon(one_push)
        await handler.started.wait()
        tasks.cancel_scope.cancel()
    assert not reached
    handler.go.set()
    assert await push(receiver) == (200, "{sms=reply 2}")


@pytest.mark.parametrize("kind", ["store", "memory", "function"])
async def test_a_restart(kind: str, anyio_backend: str) -> None:
    """If `save` fails, the response is 503. The repeat saves the id and does not handle the message again."""
    store = Store()
    saved: list[Position] = []

    async def save(position: Position) -> None:
        saved.append(position)

    memory = MemoryCheckpoint()
    checkpoint: Any = {"store": store, "memory": memory, "function": save}[kind]
    handler = Handler("thanks")
    first = IncomingReceiver(handler, token=TOKEN, checkpoint=checkpoint)
    assert await push(first) == (200, "{sms=thanks}")
    if kind == "function":
        checkpoint = MemoryCheckpoint(saved[-1])
    second = IncomingReceiver(handler, token=TOKEN, checkpoint=checkpoint)
    assert await push(second) == (200, "")
    assert await push(second, push_of(2)) == (200, "{sms=thanks}")
    assert handler.ids == ["539187174", "2"]


async def test_the_id_is_saved_before_the_response(anyio_backend: str) -> None:
    """The order is: handle, save, response."""
    events: list[object] = []

    async def handle(message: PushedMessage) -> None:
        events.append("handle")

    async def save(position: Position) -> None:
        events.append([id_ for id_, _ in position.ids])

    assert await push(IncomingReceiver(handle, token=TOKEN, checkpoint=save)) == (200, "")
    assert events == ["handle", ["539187174"]]


async def test_a_failed_save(anyio_backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """If the id cannot be saved, the response is 503. The repeat saves the id, and handles nothing."""
    store, handler = Store(), Handler("thanks")
    receiver = IncomingReceiver(handler, token=TOKEN, checkpoint=store)
    assert await push(receiver, push_of(1)) == (200, "{sms=thanks}")
    store.error = OSError(f"cannot write {NUMBER}")
    assert await push(receiver) == (503, "")
    check_log(caplog, "OSError", "pushing.py")
    assert await push(receiver) == (503, "")
    store.error = None
    assert await push(receiver) == (200, "{sms=thanks}")
    assert handler.ids == ["1", "539187174"]
    assert '"539187174"' in (store.text or "")


async def test_a_failed_load(anyio_backend: str) -> None:
    """If the ids cannot be loaded, the response is 503 and no message is handled until `load` succeeds."""
    store, handler = Store(), Handler()
    await push(IncomingReceiver(handler, token=TOKEN, checkpoint=store))
    receiver = IncomingReceiver(handler, token=TOKEN, checkpoint=store)
    store.error = OSError()
    assert await push(receiver) == (503, "")
    assert await push(receiver, push_of(2)) == (503, "")
    store.error = None
    assert await push(receiver) == (200, "")
    assert handler.ids == ["539187174"]


async def test_a_load_of_something_else(anyio_backend: str) -> None:
    """If the checkpoint loads something else than a position, each push gets the status 503."""
    checkpoint = MemoryCheckpoint("x")  # type: ignore[arg-type]
    receiver = IncomingReceiver(Handler(), token=TOKEN, checkpoint=checkpoint)
    assert await push(receiver) == (503, "")


async def test_messages_at_the_same_time(anyio_backend: str) -> None:
    """Messages with different ids are handled at the same time, and all their ids are saved."""
    store, handler = Store(), Slow()
    receiver = IncomingReceiver(handler, token=TOKEN, checkpoint=store)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(push, receiver, push_of(number))
        await anyio.wait_all_tasks_blocked()
        assert handler.calls == 20
        handler.go.set()
    assert sorted(id_ for id_, _ in json.loads(store.text or "{}")["ids"]) == sorted(map(str, range(20)))


async def test_a_message_during_a_save(anyio_backend: str) -> None:
    """The id of a message that is handled while another id is saved is saved afterwards."""
    go, saving, saved = anyio.Event(), anyio.Event(), list[set[str]]()

    async def save(position: Position) -> None:
        ids = {id_ for id_, _ in position.ids}
        saving.set()
        await go.wait()
        saved.append(ids)

    receiver = IncomingReceiver(Handler(), token=TOKEN, checkpoint=save)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(push, receiver, push_of(1))
        await saving.wait()
        tasks.start_soon(push, receiver, push_of(2))
        await anyio.wait_all_tasks_blocked()
        go.set()
    assert saved == [{"1"}, {"1", "2"}]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_protocols_of_asgi(kind: str, anyio_backend: str) -> None:
    """A server may start the receiver as its only application. A websocket is refused."""
    events = [{"type": f"{kind}.{name}"} for name in ("startup", "shutdown")]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(event: Any) -> None:
        sent.append(event["type"])

    receiver = IncomingReceiver(Handler(), token=TOKEN)
    await receiver({"type": kind}, receive, send)
    if kind == "lifespan":
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    else:
        assert sent == ["websocket.close"]


async def test_an_error_of_the_server_shows_nothing_private(anyio_backend: str) -> None:
    """A traceback with local variables shows no private value in the frames of this package."""

    async def receive() -> dict[str, Any]:
        body = "&".join(f"{name}={value}" for name, value in PUSH.items()).encode()
        return {"type": "http.request", "body": body}

    async def send(event: Any) -> None:
        raise OSError

    with pytest.raises(OSError) as caught:  # noqa: PT011 - the error has no text
        await IncomingReceiver(Handler(TEXT), token=TOKEN)(scope_of(), receive, send)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in told.stack if "smsapi_async" in frame.filename]
    assert ours
    shown = str([frame.locals for frame in ours])
    for private in PRIVATE:
        assert private not in shown
