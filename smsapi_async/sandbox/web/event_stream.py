"""The stream of events: server-sent events from the feed of a sandbox."""

from collections import OrderedDict
from collections.abc import AsyncIterator

import anyio
from starlette.responses import StreamingResponse

from smsapi_async.sandbox.account import Arrival
from smsapi_async.sandbox.feed import Feed, FeedEvent
from smsapi_async.sandbox.gateway import Sandbox
from smsapi_async.sandbox.web.api_call import ApiCall, encode_json
from smsapi_async.sandbox.web.api_fields import ApiProblem
from smsapi_async.sandbox.web.shapes import Shapes, instance_of

KEEP_ALIVE_SECONDS = 15.0
"""The seconds without an event after which a stream sends a comment."""

MOST_STREAMS = 100
"""The number of streams at the same time. A further request gets HTTP status 503."""

# A stream sends the events of this many seconds together. Without the pause, each event would wake each
# stream.
_PAUSE_SECONDS = 0.05
# After this many bytes, a stream waits until its client has read them.
_LARGEST_TEXT = 100_000
# The total size of the encoded events that all streams share.
_MOST_BYTES = 4_000_000


class EventStreams:
    """The streams of one sandbox.

    A stream stores only the number of its last event and reads the feed when its client is ready. So a client
    that reads slowly, or not at all, costs no memory.

    Args:
        sandbox: the sandbox.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._count = 0
        self._texts: OrderedDict[tuple[int, str], bytes] = OrderedDict()
        self._size = 0
        # The data of the last request, because two events have the same data: the request and its answer.
        self._request: tuple[tuple[int, int | None, str], bytes] | None = None

    def open(self, call: ApiCall) -> StreamingResponse:
        """Return the stream of the events after the event that the request names.

        Raises:
            ApiProblem: if there are too many streams.
        """
        if self._count >= MOST_STREAMS:
            raise ApiProblem(503, f"at most {MOST_STREAMS} streams may be open")
        instance = call.query["instance"]
        if instance is not None and instance != instance_of(self._sandbox):
            after = None
        else:
            after = _first_number(call, self._sandbox.feed)
        texts = self._events(after, call.shapes, call.request.headers.get("host", ""))
        return StreamingResponse(texts, media_type="text/event-stream")

    async def _events(self, after: int | None, shapes: Shapes, authority: str) -> AsyncIterator[bytes]:
        feed = self._sandbox.feed
        self._count += 1
        try:
            # The browser waits one second before it connects again. The line also sends the header fields.
            yield b"retry: 1000\n: connected\n\n"
            while not feed.is_ended:
                events = None if after is None else feed.since(after)
                if events is None:
                    after = feed.last
                    yield b"id: %d\nevent: reset\ndata: {}\n\n" % after
                    continue
                if events:
                    text, after = self._joined(events, shapes, authority)
                    yield text
                    await anyio.sleep(_PAUSE_SECONDS)
                    continue
                with anyio.move_on_after(KEEP_ALIVE_SECONDS) as waiting:
                    await feed.wait(after or 0)
                if waiting.cancelled_caught:
                    yield b": still here\n\n"
        finally:
            self._count -= 1

    def _joined(self, events: list[FeedEvent], shapes: Shapes, authority: str) -> tuple[bytes, int]:
        """Return the text of the first events, and the number of the last one of them."""
        texts: list[bytes] = []
        size = 0
        for event in events:
            texts.append(self._text(event, shapes, authority))
            size += len(texts[-1])
            if size > _LARGEST_TEXT:
                break
        return b"".join(texts), events[len(texts) - 1].number

    def _text(self, event: FeedEvent, shapes: Shapes, authority: str) -> bytes:
        key = event.number, authority
        text = self._texts.get(key)
        if text is None:
            data = self._data(event, shapes, authority)
            # Without the object, there is nothing to tell: the sandbox no longer stores the object.
            text = b"" if data is None else _event_text(event, data)
            self._texts[key] = text
            self._size += len(text)
            while self._size > _MOST_BYTES:
                self._size -= len(self._texts.popitem(last=False)[1])
        return text

    def _data(self, event: FeedEvent, shapes: Shapes, authority: str) -> bytes | None:
        arrival = event.data
        if not isinstance(arrival, Arrival):
            data = shapes.event(event)
            return None if data is None else encode_json(data)
        key = arrival.index, arrival.status, authority
        if self._request is None or self._request[0] != key:
            self._request = key, encode_json(shapes.request(arrival))
        return self._request[1]


def _event_text(event: FeedEvent, data: bytes) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), data)


def _first_number(call: ApiCall, feed: Feed) -> int | None:
    """Return the number of the last event that the client knows; None if the client knows nothing."""
    # A browser that connects again sends the number of its last event, and the query of the first time.
    last_id = call.request.headers.get("last-event-id", "")
    if last_id:
        return int(last_id) if last_id.isascii() and last_id.isdigit() and len(last_id) < 16 else None
    after: int | None = call.query["after"]
    return feed.last if after is None else after
