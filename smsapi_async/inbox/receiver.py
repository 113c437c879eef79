"""The ASGI application that receives the messages that the gateway pushes: `IncomingReceiver`."""

import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote

import anyio
import attrs

from smsapi_async import settings
from smsapi_async.clock import Clock
from smsapi_async.errors import ValidationError
from smsapi_async.inbox.checkpoints import Checkpoint, checked_checkpoint
from smsapi_async.inbox.position import Position
from smsapi_async.inbox.push_requests import BadPush, PushedMessage, read_push
from smsapi_async.inbox.register import Claim, MessageRegister, Release, Turn
from smsapi_async.privacy import Secret, is_encodable, mask_misplaced, sealed_async, steady_repr, type_name
from smsapi_async.protocol.segments import utf16_units

logger = logging.getLogger("smsapi_async")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handle: TypeAlias = Callable[[PushedMessage], Awaitable[str | None]]
"""The type of the function that handles a pushed message and may return a reply."""

_METHODS: Final = ("GET", "POST")
# The longest text that the gateway sends, in UTF-16 units (contract, "Text").
_LONGEST_REPLY = 2000


@attrs.frozen
class _Response:
    """The response to one request."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = ()


_REPEAT = _Response(HTTPStatus.SERVICE_UNAVAILABLE)


class _Disconnected(Exception):
    """The gateway closed the connection before the end of the request."""


@steady_repr
class IncomingReceiver:
    """Receives the messages that the gateway pushes, and passes each message once to a function.

    The receiver is an ASGI application. `smsapi_async.contrib.starlette.incoming_route` makes a route of a
    receiver, for Starlette and FastAPI::

        async def handle(message: PushedMessage) -> str | None:
            return "Thank you" if message.text == "yes" else None

        receiver = IncomingReceiver(handle, token=token, checkpoint=ledger.checkpoint("pushes"))
        app = Starlette(routes=[incoming_route("/sms", receiver)])  # the URL of the push: /sms?token=...

    Requests: a GET, or a POST with a form, a multipart form or a JSON object, in UTF-8. The parameters
    ``sourcePhone``, ``text`` and ``messageId`` are required, and ``number`` and ``prefix`` are optional. A
    request that contains no message gets the status 400, 405, 413 or 415. The gateway repeats each push whose
    status is not 200, at most four times and 60 seconds apart, so such a request arrives five times.

    Secret: a request without the right ``token`` or ``path`` gets the status 404, and its body is not read.

    Responses: if ``handle`` returns None, the response is 200 without a body. If ``handle`` returns a text,
    the body is ``{sms=<text>}``, and the gateway sends the text to the subscriber. A reply has 1 to 2000
    UTF-16 units and no braces, because the gateway defines no way to write a brace. If the reply is anything
    else, the message counts as handled, the response is 200 without a body, and an ERROR is logged.

    Failures: if ``handle`` raises an exception, or the response takes longer than ``timeout``, the receiver
    responds with 503, and the gateway pushes the message again. After the timeout, ``handle`` is cancelled.
    The log record contains the type of the exception and a line number, and no content. To log more, catch
    the exception in ``handle``.

    Repeats: if the message with the same ``messageId`` is handled, ``handle`` is not called again. The repeat
    gets the same response, with the same reply for 15 minutes. A repeat that arrives while ``handle`` runs
    waits for the result. The ids of handled messages are kept in memory, and a restart needs one of:

    - ``checkpoint``: stores the ids after ``handle`` returned and before the response. If ``save`` fails, the
      response is 503. The next push then saves the id, and does not call ``handle`` again. If the process
      dies between ``handle`` and ``save``, the message is handled twice. A checkpoint belongs to one receiver
      in one process. An inbox needs another checkpoint.
    - ``claim``: for several processes. ``claim(message_id)`` returns an async context manager whose value is
      True if the message is new, for example a transaction of your database with ``INSERT ... ON CONFLICT DO
      NOTHING``. ``handle`` runs inside the context manager. If ``handle`` fails, the context manager gets the
      exception and must undo the insert. If the end of the context manager fails, the message counts as not
      handled. ``claim`` may also be an async function that returns a bool. Then ``release(message_id)`` must
      undo the claim after a failure, and a process that dies after the claim loses the message.

    Inbox: with ``sms.watch_incoming(..., receiver=receiver)``, each message is given once, by the inbox or by
    the receiver. If a restart must not repeat a message, both need a checkpoint. While the inbox runs, the
    receiver keeps all ids that the inbox may still find. Without the inbox, the receiver keeps an id for at
    least ``memory``, and at most twice as long. ``memory`` must be longer than ``overlap`` of the inbox plus
    the longest time for which the receiver runs without the inbox.

    Args:
        handle: an async function that handles a `PushedMessage`, and returns a reply or None.
        token: a secret that the URL contains as the parameter ``token``. The headers ``X-Token`` and
            ``Authorization: Bearer`` may contain a token of ASCII characters instead.
        path: a secret path of the URL that begins with ``/``, without the path of a mount or with it.
        protected_elsewhere: whether something else protects the receiver, so that neither ``token`` nor
            ``path`` is needed, for example a proxy that checks the address of the gateway.
        checkpoint: a `Checkpoint`, for example ``ledger.checkpoint("pushes")``, or an async function that
            receives each `Position`. None means that the ids are only in memory.
        claim: a function that decides whether a message is new; see above.
        release: an async function that undoes a claim; only for a ``claim`` that returns a bool.
        timeout: the maximum time of a response: seconds or a `timedelta`. The gateway waits for 30 seconds.
        memory: the time for which the ids of handled messages are kept.
        body_limit: the largest allowed body of a request in bytes.
        clock: source of the time, for tests. None means the system clock.

    Raises:
        ValidationError: if a parameter is wrong, or if ``token``, ``path`` and ``protected_elsewhere`` are
            missing.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        token: str | Secret | None = None,
        path: str | Secret | None = None,
        protected_elsewhere: bool = False,
        checkpoint: Checkpoint | Callable[[Position], Awaitable[None]] | None = None,
        claim: Claim | None = None,
        release: Release | None = None,
        timeout: float | timedelta = 25.0,
        memory: timedelta = timedelta(days=7),
        body_limit: int = 64 * 1024,
        clock: Clock | None = None,
    ) -> None:
        self._handle = _checked_function("handle", handle)
        self._token = _checked_secret("token", token)
        self._path = _checked_path(path)
        if self._token is None and self._path is None and protected_elsewhere is not True:
            hint = "pass a secret token or path, or protected_elsewhere=True"
            raise ValidationError("token", "None", hint)
        if checkpoint is not None and claim is not None:
            raise ValidationError("claim", type_name(claim), "pass either a checkpoint or claim, not both")
        if release is not None and claim is None:
            raise ValidationError("release", type_name(release), "pass claim, too")
        self._body_limit = _checked_limit(body_limit)
        self._checkpoint = checkpoint
        self._timeout = settings.checked_seconds("timeout", timeout)
        self.register = MessageRegister(
            settings.checked_clock(clock),
            _checked_memory(memory),
            checked_checkpoint(checkpoint),
            None if claim is None else _checked_function("claim", claim),
            None if release is None else _checked_function("release", release),
        )

    def __repr__(self) -> str:
        named = [("token", self._token), ("path", self._path)]
        secrets = " and ".join(name for name, secret in named if secret is not None) or "something else"
        return f"<IncomingReceiver: protected by {secrets}, {len(self.register)} handled messages>"

    def has_checkpoint(self, checkpoint: object) -> bool:
        """Return whether the receiver stores its ids in a checkpoint that would also be used for an inbox."""
        return checkpoint is not None and (checkpoint is self._checkpoint or checkpoint == self._checkpoint)

    def is_secret_path(self, path: str) -> bool:
        """Return whether ``path`` can be the end of the secret path, or the receiver has no secret path."""
        return self._path is None or self._path.reveal().endswith(path.rstrip("/"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request of the gateway, as an ASGI application."""
        # uvicorn needs the signature, which `sealed_async` hides. A traceback must not show the scope.
        serving = self._serve(scope, receive, send)
        del scope, receive, send
        await serving

    @sealed_async
    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            try:
                response = await self._respond(scope, receive)
            except _Disconnected:
                logger.warning("a push ended before its end: the connection was closed")
                return
            await _send(response, send)
        else:
            raise NotImplementedError(f"the receiver serves HTTP, not {scope['type']}")

    async def _respond(self, scope: Scope, receive: Receive) -> _Response:
        if not self._is_allowed(scope):
            logger.warning("a push with a wrong or missing secret was refused")
            return _Response(HTTPStatus.NOT_FOUND)
        if scope["method"] not in _METHODS:
            logger.warning("a push with another method than GET and POST was refused")
            return _Response(HTTPStatus.METHOD_NOT_ALLOWED, headers=((b"allow", b"GET, POST"),))
        response = _REPEAT
        with anyio.move_on_after(self._timeout) as scope_of_time:
            try:
                message = await self._read(scope, receive)
            except BadPush as error:
                logger.warning("a push was refused: %s", error.reason)
                return _Response(error.status)
            response = await self._respond_to(message)
        if scope_of_time.cancelled_caught:
            logger.warning("a push took longer than %g s; the gateway will repeat the push", self._timeout)
        return response

    def _is_allowed(self, scope: Scope) -> bool:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        is_allowed = True
        if self._token is not None:
            query = parse_qsl(scope["query_string"].decode("utf-8", "replace"), errors="replace")
            given = [value for name, value in query if name.lower() == "token"]
            kind, _, credentials = headers.get(b"authorization", "").partition(" ")
            given += [headers.get(b"x-token", ""), credentials.strip() if kind.lower() == "bearer" else ""]
            # All values are compared, so that the time does not tell which value is right.
            is_allowed = sum(_is_equal(value, self._token) for value in given) > 0
        if self._path is not None:
            path, root = scope["path"].rstrip("/"), scope.get("root_path", "").rstrip("/")
            is_path = [_is_equal(path, self._path), _is_equal(path.removeprefix(root), self._path)]
            is_allowed = any(is_path) and is_allowed
        return is_allowed

    async def _read(self, scope: Scope, receive: Receive) -> PushedMessage:
        headers = {name.lower(): value for name, value in scope["headers"]}
        declared, body, has_more = headers.get(b"content-length", b""), bytearray(), True
        # Python converts no number of 5,000 digits.
        is_too_large = declared.isdigit() and int(declared[:15]) > self._body_limit
        while has_more and not is_too_large:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise _Disconnected
            body += event.get("body", b"")
            is_too_large, has_more = len(body) > self._body_limit, event.get("more_body", False)
        if is_too_large:
            raise BadPush(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        return read_push(scope["query_string"], content_type, bytes(body))

    async def _respond_to(self, message: PushedMessage) -> _Response:
        """Handle a message, unless the message is handled, and return the response."""
        try:
            turn = await self.register.take(message.id)
        except Exception as error:  # noqa: BLE001 - the code of the caller may raise any exception
            logger.warning("a push could not be checked: checkpoint or claim failed with %s", _place(error))
            return _REPEAT
        if turn is not None and not await self._is_handled(turn, message):
            return _REPEAT
        try:
            await self.register.save(message.id)
        except Exception as error:  # noqa: BLE001 - the checkpoint of the caller may raise any exception
            logger.warning("the id of a push could not be saved: save failed with %s", _place(error))
            return _REPEAT
        reply = self.register.reply_to(message.id)
        return _Response(HTTPStatus.OK, b"" if reply is None else f"{{sms={reply}}}".encode())

    async def _is_handled(self, turn: Turn, message: PushedMessage) -> bool:
        """Let the caller handle a message, and return whether the message is handled."""
        try:
            reply: object = self._handle(message)
            # A function that is not async has already handled the message.
            if inspect.isawaitable(reply):
                reply = await reply
        except BaseException as error:
            await turn.undone(error)
            if not isinstance(error, Exception):
                raise
            logger.warning("the handler of pushes failed with %s; the gateway will repeat", _place(error))
            return False
        try:
            await turn.done(_checked_reply(reply))
        except Exception as error:  # noqa: BLE001 - the context manager of the caller may raise any exception
            logger.warning("the claim of a push could not be completed: it failed with %s", _place(error))
            return False
        return True


async def _live(receive: Receive, send: Send) -> None:
    """Take part in the lifespan protocol of ASGI, in which the receiver has nothing to do."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


async def _send(response: _Response, send: Send) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(response.body)),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _is_equal(value: str, secret: Secret) -> bool:
    return hmac.compare_digest(
        value.encode("utf-8", "surrogatepass"), secret.reveal().encode("utf-8", "surrogatepass")
    )


def _checked_reply(reply: object) -> str | None:
    """Return the reply, or None if there is no reply or the gateway cannot send the reply."""
    if reply is None:
        return None
    problem = None
    if not isinstance(reply, str):
        problem = f"it is a {type_name(reply)} and not a str"
    elif not reply.strip():
        problem = "it is empty; return None for no reply"
    elif utf16_units(reply) > _LONGEST_REPLY:
        problem = f"it has {utf16_units(reply)} UTF-16 units, and {_LONGEST_REPLY} are allowed"
    elif not is_encodable(reply):
        problem = "it contains a lone surrogate"
    elif "{" in reply or "}" in reply:
        problem = "it contains a brace"
    else:
        return reply
    logger.error("the reply to a pushed message is not sent: %s", problem)
    return None


def _place(error: Exception) -> str:
    """Return the type of an exception and the line that raised it. The text may contain private values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = type_name(error)
    return name if trace is None else f"{name} ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"


def _checked_function(parameter: str, function: Any) -> Any:  # noqa: ANN401 - a function of any type
    if not callable(function) or isinstance(function, type):
        raise ValidationError(parameter, type_name(function), "pass an async function")
    return function


def _checked_memory(memory: object) -> timedelta:
    if not isinstance(memory, timedelta) or memory < timedelta(minutes=10):
        raise ValidationError("memory", mask_misplaced(memory), "pass a timedelta of 10 minutes or more")
    return memory


def _checked_limit(limit: object) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValidationError("body_limit", mask_misplaced(limit), "pass a positive number of bytes")
    return limit


def _checked_secret(parameter: str, value: object) -> Secret | None:
    if value is None:
        return None
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise ValidationError(parameter, type_name(text), "pass a str")
    if not text.strip():
        raise ValidationError(parameter, "an empty text", "pass a secret that nobody can guess")
    return Secret(text)


def _checked_path(path: object) -> Secret | None:
    secret = _checked_secret("path", path)
    if secret is None:
        return None
    text = unquote(secret.reveal()).rstrip("/")
    if not text.startswith("/") or "?" in text or "#" in text:
        raise ValidationError(
            "path", "this path", "pass a secret path such as '/sms/' and a long random word"
        )
    return Secret(text)
