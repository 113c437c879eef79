"""The methods of `Sandbox` with which a test waits for a message, reads a code and checks the messages."""

import re
import time

import anyio
import anyio.lowlevel

from smsapi_async.sandbox.account import AcceptedMessage, Account
from smsapi_async.sandbox.feed import Feed

_SECONDS = 10.0
_SHOWN = 20
_NATIONAL_DIGITS = 7
_TIME = "%H:%M:%S UTC"


class MessageChecks:
    """Waits for messages and checks them. A failed check lists the messages that the sandbox accepted.

    A number may be written in any way: all characters except digits are ignored, and a Russian mobile number
    may begin with 8 in place of 7. A number without digits raises a ValueError.
    """

    account: Account
    feed: Feed

    def last_message_to(self, to: str, text: str | None = None, *, after: int = 0) -> AcceptedMessage:
        """Return the last accepted message to a number.

        Args:
            to: the destination address.
            text: a part of the text, in upper or lower case; None means any text.
            after: only messages with a greater `AcceptedMessage.number`.

        Raises:
            AssertionError: if the sandbox accepted no such message.
        """
        found = self.account.find(to, text, after)
        if not found:
            raise self._failure(to, text, after)
        return found[-1]

    def wait_for_message(
        self,
        to: str | None = None,
        text: str | None = None,
        *,
        after: int = 0,
        timeout: float = _SECONDS,
    ) -> AcceptedMessage:
        """Return the last accepted message that fulfils all conditions; wait for it if there is none.

        The method blocks the calling thread. In a coroutine, it also blocks the event loop, so that the
        application in the same loop cannot send: use `wait_for_message_async` there.

        Args:
            to: the destination address; None means any number.
            text: a part of the text, in upper or lower case; None means any text.
            after: only messages with a greater `AcceptedMessage.number`, for example a second code.
            timeout: the longest time to wait, in seconds of real time.

        Raises:
            AssertionError: if the sandbox accepts no such message within `timeout`.
        """
        end = time.monotonic() + timeout
        while True:
            seen = self.feed.last
            if found := self.account.find(to, text, after):
                return found[-1]
            left = end - time.monotonic()
            if left <= 0 or not self.feed.wait_in_thread(seen, left):
                raise self._failure(to, text, after, f"{self._limit(timeout)}{_hint()}")

    async def wait_for_message_async(
        self,
        to: str | None = None,
        text: str | None = None,
        *,
        after: int = 0,
        timeout: float = _SECONDS,  # noqa: ASYNC109 - a test should never wait without an end
    ) -> AcceptedMessage:
        """Do the same as `wait_for_message`, but without blocking the event loop, on asyncio or trio."""
        message = None
        with anyio.move_on_after(timeout):
            message = await self._wait_for_last(to, text, after)
        if message is not None:
            return message
        raise self._failure(to, text, after, self._limit(timeout))

    async def _wait_for_last(self, to: str | None, text: str | None, after: int) -> AcceptedMessage | None:
        """Wait for a message, and return the last one; None if the sandbox stops before."""
        while True:
            seen = self.feed.last
            if found := self.account.find(to, text, after):
                return found[-1]
            if not await self.feed.wait(seen):
                return None

    def code_to(self, to: str, text: str | None = None, *, after: int = 0, timeout: float = 0.0) -> str:
        """Return the code in the last accepted message to a number, as its digits.

        The code is the number of 4 to 8 digits nearest to a word such as code, код, пароль, PIN or OTP, or
        else the only number of 4 to 8 digits.

        Args:
            to: the destination address.
            text: a part of the text of the message, in upper or lower case; None means any text.
            after: only messages with a greater `AcceptedMessage.number`.
            timeout: the longest time to wait for a message, in seconds of real time; 0 means not to wait. The
                wait blocks the thread, as in `wait_for_message`.

        Raises:
            AssertionError: if the sandbox accepted no such message, or if the message has no code.
        """
        if timeout > 0:
            self.wait_for_message(to, text, after=after, timeout=timeout)
        code = self.last_message_to(to, text, after=after).code
        if code is None:
            raise AssertionError(f"the last message to {to} has no code\n{self._listed()}")
        return code

    def assert_nothing_sent(self, to: str | None = None, *, after: int = 0) -> None:
        """Fail the test if the sandbox accepted a message.

        Args:
            to: check only the messages to this destination address, also without its country code; None means
                all messages.
            after: check only the messages with a greater `AcceptedMessage.number`.

        Raises:
            AssertionError: if the sandbox accepted a message.
        """
        if found := self.account.find(to, after=after) or self._with_country_code(to, after):
            count = "a message was" if len(found) == 1 else f"{len(found)} messages were"
            raise AssertionError(f"{count} sent\n{_lines(found)}")

    def _with_country_code(self, to: str | None, after: int) -> list[AcceptedMessage]:
        """Return the messages to a national number: a missing country code must not hide a message."""
        digits = re.sub(r"[^0-9]", "", to or "")
        if len(digits) < _NATIONAL_DIGITS:
            return []
        return [each for each in self.account.find(after=after) if each.destination_address.endswith(digits)]

    def _limit(self, timeout: float) -> str:
        return " before the sandbox stopped" if self.feed.is_ended else f" within {timeout:g} s"

    def _failure(self, to: str | None, text: str | None, after: int, time_limit: str = "") -> AssertionError:
        wanted = "" if to is None else f" to {re.sub(r'[^0-9]', '', to)}"
        wanted += "" if text is None else f" with the text {text!r}"
        wanted += f" after the message {after}" if after else ""
        return AssertionError(f"no message{wanted} was sent{time_limit}\n{self._listed()}")

    def _listed(self) -> str:
        """Return the accepted messages and the refused requests, one per line."""
        messages = self.account.messages
        refused = [each for each in self.account.arrivals if each.code is not None]
        lines = [_lines(messages) if messages else "nothing was sent"]
        lines += [f"refused: {each.resource} with code {each.code}" for each in refused[-_SHOWN:]]
        return "\n".join(lines)


def _hint() -> str:
    """Return what to call instead in a coroutine; "" outside an event loop."""
    try:
        anyio.lowlevel.current_token()
    except RuntimeError:
        return ""
    return "; the wait blocked the event loop: use `await wait_for_message_async(...)` in a coroutine"


def _lines(messages: list[AcceptedMessage]) -> str:
    lines = [
        f"sent: {each.number}. to {each.destination_address}: {each.text!r} at {each.accepted_at:{_TIME}}"
        for each in messages
    ]
    left_out = len(lines) - _SHOWN
    return "\n".join([f"sent: {left_out} earlier messages"] * (left_out > 0) + lines[-_SHOWN:])
