"""A property test of the rule of every ledger: a message is given to a sender only if it is new or pending.

The test runs random calls of the interface on a ledger and on a simple model, and compares the two after each
call. The test runs once for each implementation of `Ledger`: add yours to `tests.ledger.tools.PLACES`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import anyio
import attrs
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from smsapi_async.errors import ValidationError
from smsapi_async.ledger import InFlight, Ledger, LedgerError, RequestAnswer, Resolution
from smsapi_async.ledger.postgres.postgres_ledger import PostgresLedger
from smsapi_async.models import Message
from smsapi_async.outcomes import Accepted, Outcome, Rejected
from smsapi_async.postgres import enqueue
from tests.ledger.tools import ACCEPTED_AT, PLACES, Place, message
from tests.postgres.server import shared_server

Backend = Literal["asyncio", "trio"]

# `OTHERS` have the same keys as the first messages of `OWN`, and are other messages.
OWN = [message(number, key=f"order {number}") for number in range(3)]
DERIVED = [message(number) for number in range(3)]
OTHERS = [message(7, key="order 0"), message(1, "another text", key="order 1")]
MANY = DERIVED + [message(number) for number in range(3, 50)]
STATES = ("pending", "sending", "accepted", "rejected", "unknown")
ENDED = "the process ended before the outcome was recorded"
_messages = st.lists(
    st.sampled_from(OWN + DERIVED + OTHERS), max_size=4, unique_by=lambda each: each.key or each
)


@attrs.define(eq=False)
class Request:
    """A request of the model: what all its messages share.

    Attributes:
        size: the number of messages that were sent in the request.
        state: the state of the messages.
        answer: the answer; None if there is no answer.
    """

    size: int
    state: str
    answer: RequestAnswer | None = None


@attrs.define(eq=False)
class Known:
    """A message of the model.

    Attributes:
        message: the recorded message.
        request: the request of the message.
        position: the position of the message in the report.
        place: the place of the message in its request.
    """

    message: Message
    request: Request
    position: int
    place: int = 0

    def told(self) -> tuple[object, ...]:
        """Return the outcome that the ledger must return for the message, as `told_in` returns it."""
        answer = self.request.answer
        assert answer is not None
        is_whole = len(answer.segment_ids) % self.request.size == 0
        ids: tuple[str, ...] = ()
        if answer.state == "accepted":
            each = len(answer.segment_ids) // self.request.size
            ids = answer.segment_ids[self.place * each :][:each] if is_whole else answer.segment_ids
        return answer.state, answer.reason, answer.code, ids, answer.state == "accepted" and not is_whole


def told_in(outcome: Outcome) -> tuple[object, ...]:
    """Return what an outcome says: its state, reason, code, segment ids and `Accepted.unattributed`."""
    assert outcome.recorded
    if isinstance(outcome, Accepted):
        return "accepted", "", None, outcome.segment_ids, outcome.unattributed
    return type(outcome).__name__.lower(), outcome.reason, outcome.code, (), False


class LedgerRules(RuleBasedStateMachine):
    """Runs random calls on a ledger and on a model.

    Args:
        place_in: returns the place of a new ledger in a directory.
        backend: the event loop.
    """

    def __init__(self, place_in: Callable[[Path], Place], backend: Backend) -> None:
        super().__init__()
        self._directory = TemporaryDirectory()
        self._place = place_in(Path(self._directory.name))
        self._running = start_blocking_portal(backend)
        self._portal = self._running.__enter__()
        self._known: dict[str, Known] = {}
        self._requests: dict[str, Request] = {}
        self._segments = 0
        self._open()

    def teardown(self) -> None:
        self._portal.call(self._ledger.aclose)
        self._running.__exit__(None, None, None)
        self._directory.cleanup()

    @rule(messages=_messages, is_batch=st.booleans(), data=st.data(), settles=st.booleans())
    def claim(self, messages: list[Message], is_batch: bool, data: st.DataObject, settles: bool) -> None:
        """A sender claims messages, and may settle another claim in the same call."""
        self._claim(messages, is_batch=is_batch, end=self._end(data) if settles else None)

    @rule(first=st.integers(0, 9), count=st.integers(30, 40), is_batch=st.booleans())
    def claim_many(self, first: int, count: int, is_batch: bool) -> None:
        """A sender claims many messages of equal content."""
        self._claim(MANY[first : first + count], is_batch=is_batch)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A sender settles a claim: in time, late, twice, or after its messages have another sender."""
        self._settle(data)

    @rule(data=st.data(), messages=_messages)
    def claim_and_settle(self, data: st.DataObject, messages: list[Message]) -> None:
        """A sender claims messages as a batch does, and settles a claim."""
        self._claim(messages, is_batch=True)
        self._settle(data)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A sender releases a claim: in time, late, or after its messages have another sender."""
        token = self._token(data)
        self._portal.call(self._ledger.release, token)
        request = self._requests.get(token)
        if request is not None and request.state == "sending":
            request.state = "pending"

    @rule(messages=_messages, is_batch=st.booleans())
    def record_pending(self, messages: list[Message], is_batch: bool) -> None:
        """A batch records messages that it has read. Messages that the ledger contains do not change."""
        keyed = [(self._ledger.key_of(each), each) for each in messages]
        positions = self._positions(keyed) if is_batch else []
        self._portal.call(lambda: self._ledger.record_pending(keyed, positions=positions))
        request = Request(1, "pending")
        for place, (key, each) in enumerate(keyed):
            if key not in self._known:
                self._add(key, each, request, positions[place] if positions else None)

    @precondition(lambda self: isinstance(self._ledger, PostgresLedger))
    @rule(messages=st.lists(st.sampled_from(OWN + DERIVED + OTHERS), min_size=1, max_size=2))
    def enqueue(self, messages: list[Message]) -> None:
        """A web backend enqueues one message or two. Messages that the ledger contains do not change."""
        import psycopg  # noqa: PLC0415 - the package may be missing

        keyed = {self._ledger.key_of(each): each for each in messages}
        is_refused = any(
            not self._is_same(key, each) or keyed[key] != each
            for key, each in ((self._ledger.key_of(each), each) for each in messages)
        )
        assert isinstance(self._ledger, PostgresLedger)
        account = self._ledger._name
        with psycopg.connect(shared_server().dsn(), autocommit=True) as connection:
            try:
                enqueue(connection, messages[0] if len(messages) == 1 else messages, account=account)
            except ValidationError:
                assert is_refused
                return
        assert not is_refused
        request = Request(1, "pending")
        for key, each in keyed.items():
            if key not in self._known:
                position = self._portal.call(self._ledger.first_position, key, each)
                self._known[key] = Known(each, request, position)

    def _is_same(self, key: str, message: Message) -> bool:
        """Return whether a message is new, or is the message of the model with this key."""
        return key not in self._known or self._known[key].message == message

    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        """A person resolves one message or several messages. Only unknown messages change."""
        keys = [*self._keys("unknown"), self._ledger.key_of(OWN[0])]
        given = data.draw(
            st.lists(
                st.tuples(st.sampled_from(keys), st.booleans(), st.sampled_from([(), ("x",), ("x", "y")])),
                min_size=1,
                unique_by=lambda each: each[0],
            )
        )
        resolutions = [Resolution(key, sent, ids if sent else ()) for key, sent, ids in given]
        unknown = [each for each in resolutions if self._state(each.key) == "unknown"]
        try:
            if len(resolutions) == 1:
                (one,) = resolutions
                self._portal.call(
                    lambda: self._ledger.resolve(one.key, sent=one.sent, segment_ids=one.segment_ids)
                )
            else:
                self._portal.call(self._ledger.resolve_many, resolutions)
        except LedgerError:
            assert len(unknown) < len(resolutions)
        else:
            assert len(unknown) == len(resolutions)
        for each in unknown:
            known = self._known[each.key]
            known.request, known.place = Request(1, "pending"), 0
            if each.sent:
                self._accept(known.request, each.segment_ids)

    @rule(sent=st.booleans())
    def resolve_all(self, sent: bool) -> None:
        """A person resolves all unknown messages."""
        count = self._counts()["unknown"]
        assert self._portal.call(lambda: self._ledger.resolve_all(sent=sent)) == count
        for request in self._in_state("unknown"):
            if sent:
                self._accept(request, ())
            else:
                request.state = "pending"

    @rule()
    def retry_rejected(self) -> None:
        """A person makes all rejected messages pending."""
        assert self._portal.call(self._ledger.retry_rejected) == self._counts()["rejected"]
        for request in self._in_state("rejected"):
            request.state = "pending"

    @rule()
    def reopen(self) -> None:
        """The program ends and starts again: all senders are dead, and messages in flight are unknown."""
        self._portal.call(self._ledger.aclose)
        self._open()
        for request in self._in_state("sending"):
            request.state = "unknown"
            request.answer = RequestAnswer(state="unknown", at=ACCEPTED_AT, reason=ENDED)

    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        """A sender waits for a claim that has ended, and does not wait long."""
        token = self._token(data)
        request = self._requests.get(token)
        if request is None or request.state != "sending" or not request.size:
            self._portal.call(self._wait, token)

    @invariant()
    def counts_and_states_agree(self) -> None:
        """`summary` and `states` agree with the model."""
        summary = self._portal.call(self._ledger.summary)
        assert {state: getattr(summary, state) for state in STATES} == {
            **dict.fromkeys(STATES, 0),
            **self._counts(),
        }
        asked = OWN + MANY
        expected = [self._state(self._ledger.key_of(each)) for each in asked]
        assert self._portal.call(self._ledger.states, asked) == expected

    @invariant()
    def lists_agree(self) -> None:
        """`outcomes`, `unknown`, `pending` and `report` contain exactly the messages of the model."""
        self._portal.call(self._compare_lists)

    async def _compare_lists(self) -> None:
        ledger = self._ledger
        outcomes = [each async for each in ledger.outcomes()]
        settled = [key for key in self._known if self._state(key) not in {"pending", "sending"}]
        self._same(settled, [(each.key, each.message) for each in outcomes])
        assert all(told_in(each) == self._known[each.key or ""].told() for each in outcomes)
        unknown = [each async for each in ledger.unknown()]
        self._same(self._keys("unknown"), [(each.key, each.message) for each in unknown])
        for each in unknown:
            answer = self._known[each.key].request.answer
            assert answer is not None
            assert (each.reason, each.code, each.segment_ids) == (
                answer.reason,
                answer.code,
                answer.segment_ids,
            )
        numbers = {each.request for each in unknown}
        assert len(numbers) == len({self._known[each.key].request for each in unknown})
        self._same(self._keys("pending"), await ledger.pending())
        report = [each async for each in ledger.report()]
        self._same(self._known, [(each.key, each.message) for each in report])
        assert all(each.state == self._state(each.key) for each in report)
        positions = [self._known[each.key].position for each in report]
        assert positions == sorted(positions)
        in_report = {each.key: told_in(each.outcome) for each in report if each.outcome is not None}
        assert in_report == {key: self._known[key].told() for key in settled}

    def _same(self, expected: Iterable[str], found: Sequence[tuple[str | None, Message | None]]) -> None:
        """Check that a list contains exactly the expected messages of the model, each once."""
        assert Counter(key for key, _ in found) == Counter(list(expected))
        for key, each in found:
            assert key is not None
            assert each == attrs.evolve(self._known[key].message, key=key)

    def _open(self) -> None:
        self._ledger: Ledger = self._place()
        self._portal.call(self._ledger.__aenter__)

    async def _wait(self, token: str) -> None:
        with anyio.fail_after(5):
            await self._ledger.wait(token)

    def _claim(
        self, messages: Sequence[Message], *, is_batch: bool, end: tuple[str, RequestAnswer] | None = None
    ) -> None:
        token = f"token {len(self._requests)}"
        keyed = [(self._ledger.key_of(each), each) for each in messages]
        positions = self._positions(keyed) if is_batch else []
        if end is not None:
            self._settled(*end)
        expected = [self._expected(key, each) for key, each in keyed]
        claimed = self._portal.call(lambda: self._ledger.claim(token, keyed, positions=positions, settle=end))
        assert [self._told(each) for each in claimed] == expected
        to_send = [(place, *keyed[place]) for place, result in enumerate(claimed) if result is None]
        request = self._requests[token] = Request(len(to_send), "sending")
        for place_in_request, (place, key, each) in enumerate(to_send):
            if key not in self._known:
                self._add(key, each, request, positions[place] if positions else None)
            self._known[key].request, self._known[key].place = request, place_in_request

    def _settle(self, data: st.DataObject) -> None:
        token, answer = self._end(data)
        self._portal.call(self._ledger.settle, token, answer)
        self._settled(token, answer)

    def _positions(self, keyed: list[tuple[str, Message]]) -> list[int]:
        """Return the positions that a batch with these messages passes."""
        if not keyed:
            return []
        first = self._portal.call(self._ledger.first_position, *keyed[0])
        return list(range(first, first + len(keyed)))

    def _add(self, key: str, each: Message, request: Request, position: int | None) -> None:
        found = self._portal.call(self._ledger.first_position, key, each)
        if position is not None:
            assert found == position
        else:
            assert all(found > known.position for known in self._known.values())
        self._known[key] = Known(each, request, found)

    def _end(self, data: st.DataObject) -> tuple[str, RequestAnswer]:
        """Return a token of the model, and an answer for it."""
        token = self._token(data)
        state: Literal["accepted", "rejected", "unknown"] = data.draw(
            st.sampled_from(["accepted", "accepted", "rejected", "unknown"])
        )
        size = self._requests[token].size if token in self._requests else 1
        count = (
            0 if state == "rejected" else size * data.draw(st.integers(1, 2)) + data.draw(st.integers(0, 1))
        )
        self._segments += count
        return token, RequestAnswer(
            state=state,
            at=ACCEPTED_AT,
            segment_ids=tuple(f"id {self._segments}-{number}" for number in range(count)),
            reason="" if state == "accepted" else f"the reason of {token}",
            code=None if state == "accepted" else 5,
        )

    def _settled(self, token: str, answer: RequestAnswer) -> None:
        request = self._requests.get(token)
        if request is not None and request.state in {"sending", "unknown"}:
            request.state, request.answer = answer.state, answer

    def _token(self, data: st.DataObject) -> str:
        # Half of the tokens are tokens of requests that can still be settled.
        open_ones = [
            token
            for token, request in self._requests.items()
            if request.size and request.state in {"sending", "unknown"}
        ]
        anyone = st.sampled_from([*self._requests, "nobody's"])
        return data.draw(st.one_of(st.sampled_from(open_ones), anyone) if open_ones else anyone)

    def _expected(self, key: str, each: Message) -> object:
        """Return the result that a claim of a message must have."""
        known = self._known.get(key)
        if known is None:
            return None
        if attrs.evolve(known.message, key=key) != attrs.evolve(each, key=key):
            return "another message"
        state = known.request.state
        if state == "sending":
            tokens = {id(request): token for token, request in self._requests.items()}
            return InFlight(tokens[id(known.request)])
        return None if state == "pending" else known.told()

    @staticmethod
    def _told(claimed: Outcome | InFlight | None) -> object:
        if claimed is None or isinstance(claimed, InFlight):
            return claimed
        if isinstance(claimed, Rejected) and not claimed.recorded:
            return "another message"
        return told_in(claimed)

    @staticmethod
    def _accept(request: Request, segment_ids: tuple[str, ...]) -> None:
        request.state = "accepted"
        request.answer = RequestAnswer(state="accepted", at=ACCEPTED_AT, segment_ids=segment_ids)

    def _state(self, key: str) -> str | None:
        return self._known[key].request.state if key in self._known else None

    def _keys(self, state: str) -> list[str]:
        return [key for key in self._known if self._state(key) == state]

    def _counts(self) -> Counter[str]:
        return Counter(known.request.state for known in self._known.values())

    def _in_state(self, state: str) -> list[Request]:
        each = [*self._requests.values(), *(known.request for known in self._known.values())]
        return [request for request in each if request.state == state]


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_rule_holds(backend: Backend, kind: str) -> None:
    """After any calls and restarts, a ledger gives a message to a sender only if it is new or pending.

    What the ledger returns and counts is what the calls recorded.
    """

    class Rules(LedgerRules):
        def __init__(self) -> None:
            super().__init__(PLACES[kind], backend)

    # Each example has many steps, so half of the usual number of examples is enough.
    examples = settings().max_examples // 2
    run_state_machine_as_test(Rules, settings=settings(max_examples=examples, stateful_step_count=20))
