"""The methods with which a test prepares and holds the responses of a sandbox."""

from collections import deque
from collections.abc import Callable, Mapping
from threading import RLock

import attrs

from smsapi_async.sandbox.answers import Answer, Refusal, Script
from smsapi_async.sandbox.feed import Feed
from smsapi_async.sandbox.gate import Gate
from smsapi_async.sandbox.tables import canonical_name
from smsapi_async.sandbox.wire import SUCCESS_HEADERS


class AnswerControl:
    """The part of `Sandbox` that prepares and holds responses. `Sandbox` has the lock and the feed."""

    _lock: RLock
    feed: Feed

    def _start_answers(self, refused: Callable[[Refusal], Answer]) -> None:
        """Begin without prepared responses and without gates.

        Args:
            refused: a function that makes the response of a refusal.
        """
        self._refused = refused
        self._scripts: deque[Script] = deque()
        self._gates: list[Gate] = []

    @property
    def gates(self) -> list[Gate]:
        """The gates that are not released, in the order in which `hold` created them."""
        with self._lock:
            return [each for each in self._gates if not each.is_released]

    @property
    def prepared(self) -> list[Script]:
        """The prepared responses that no request has got yet, in their order."""
        with self._lock:
            return [attrs.evolve(script) for script in self._scripts]

    def answer_next(
        self,
        resource: str | None,
        status: int = 200,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        *,
        accept: bool = False,
    ) -> None:
        """Prepare the response to the next requests to a resource.

        If a test calls `answer_next` and `refuse_next` several times, the sandbox uses the prepared responses
        in the order of the calls.

        Args:
            resource: the name of the resource, in upper or lower case; None means any resource.
            status: the HTTP status of the response.
            body: the body of the response. A str is encoded as UTF-8.
            headers: the header fields of the response; None means the usual header fields of the gateway.
            times: the number of requests that get the prepared response.
            accept: whether the sandbox also processes the requests that get the prepared response. If
                `accept` is true, the sandbox accepts and bills the messages of valid requests, even if the
                prepared response reports a failure.

        Raises:
            ValueError: if the gateway has no resource with this name.
        """
        content = body.encode() if isinstance(body, str) else body
        answer = Answer(status, content, SUCCESS_HEADERS if headers is None else dict(headers))
        with self._lock:
            self._scripts.append(Script(canonical_name(resource), answer, times, accept))
            self.feed.append("account")

    def refuse_next(self, resource: str | None, code: int, desc: str | None = None, times: int = 1) -> None:
        """Refuse the next requests to a resource without processing them.

        Args:
            resource: the name of the resource, in upper or lower case; None means any resource.
            code: the error code; the code determines the HTTP status (contract, "Codes").
            desc: the value of `Desc` in the error body; None means the usual description of the code.
            times: the number of requests that the sandbox refuses.

        Raises:
            ValueError: if the gateway has no resource with this name.
            KeyError: if the contract has no error code `code`.
        """
        with self._lock:
            answer = self._refused(Refusal(code, desc))
            self._scripts.append(Script(canonical_name(resource), answer, times, accept=False))
            self.feed.append("account")

    def hold(self, resource: str | None = None) -> Gate:
        """Hold the responses to all further requests to a resource until the gate is released.

        The sandbox processes each request when the request arrives; only the response waits.

        Args:
            resource: the name of the resource, in upper or lower case; None means all resources.

        Returns:
            The gate.

        Raises:
            ValueError: if the gateway has no resource with this name.
        """
        gate = Gate(canonical_name(resource), lambda: self.feed.append("account"))
        with self._lock:
            self._gates = [each for each in self._gates if not each.is_released]
            self._gates.append(gate)
            self.feed.append("account")
        return gate

    def release_held(self, resource: str | None = None) -> int:
        """Release gates, so that the sandbox writes the held responses and holds no further ones.

        Args:
            resource: the name of the resource, in upper or lower case. Only the gates that `hold` created for
                this resource are released. None means all gates.

        Returns:
            The number of requests whose responses were held.

        Raises:
            ValueError: if the gateway has no resource with this name.
        """
        name = canonical_name(resource)
        found = [each for each in self.gates if name in {None, each.resource}]
        held = sum(each.held for each in found)
        for gate in found:
            gate.release()
        return held

    def drop_prepared(self) -> int:
        """Remove all prepared responses, and return the number of requests for which they were prepared."""
        with self._lock:
            count = sum(script.times for script in self._scripts)
            self._scripts.clear()
            self.feed.append("account")
        return count

    def _next_script(self, resource: str | None) -> Script | None:
        for script in self._scripts:
            if script.resource in {None, resource}:
                script.times -= 1
                if script.times <= 0:
                    self._scripts.remove(script)
                self.feed.append("account")
                return script
        return None

    def _gate_for(self, resource: str | None) -> Gate | None:
        for gate in self._gates:
            if gate.resource in {None, resource} and not gate.is_released:
                return gate
        return None
