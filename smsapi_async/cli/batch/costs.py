"""The money of a batch: the price of a segment, the cost of the messages, the balance of the account."""

from decimal import Decimal

import attrs

from smsapi_async.cli.exit_codes import explain
from smsapi_async.cli.output import Document
from smsapi_async.client import AsyncSmsClient
from smsapi_async.errors import ValidationError

_OPTION = "--price"
_HIGHEST_PRICE = Decimal(10**9)
# How long, in seconds, a command waits for the balance. The balance is only shown, so a command does not wait
# for it as long as for a message.
_PATIENCE = 10.0


@attrs.frozen
class Balance:
    """The balance of the account, or the reason why the balance is not known.

    Attributes:
        amount: the balance; None if the balance is not known.
        problem: why the balance is not known, in words; None if it is known.
    """

    amount: Decimal | None
    problem: str | None = None

    @classmethod
    def unknown(cls, error: Exception) -> "Balance":
        """Return an unknown balance. The problem has no phone number, text or password."""
        return cls(None, explain(error, in_doubt=False, sends=False).line)


@attrs.frozen(kw_only=True)
class Costs:
    """What a batch costs. The amounts have the currency of the account.

    Attributes:
        price: the price of a segment, or None.
        segments: the number of segments of all messages.
        segments_to_send: the part of `segments` that the batch would send.
        balance: the balance of the account; None if nobody asked for the balance.
    """

    price: Decimal | None
    segments: int
    segments_to_send: int
    balance: Balance | None = None

    @property
    def all_messages(self) -> Decimal | None:
        """The cost of all messages, or None without a price."""
        return None if self.price is None else self.price * self.segments

    @property
    def to_send(self) -> Decimal | None:
        """The cost of the messages that the batch would send, or None without a price."""
        return None if self.price is None else self.price * self.segments_to_send

    @property
    def left_after(self) -> Decimal | None:
        """The balance after the batch, negative if the balance is too low; None if the amount is unknown."""
        if self.to_send is None or self.balance is None or self.balance.amount is None:
            return None
        return self.balance.amount - self.to_send

    @property
    def short_by(self) -> Decimal | None:
        """How much the balance is too low; None if the balance is high enough or the amount is unknown."""
        left = self.left_after
        return None if left is None or left >= 0 else -left


def check_price(price: Decimal | None) -> None:
    """Check the price of a segment.

    Raises:
        ValidationError: if the price is not a positive amount below 1,000,000,000.
    """
    if price is not None and not (price.is_finite() and 0 < price < _HIGHEST_PRICE):
        raise ValidationError(_OPTION, "the value", "pass the price of a segment, for example 3.20")


async def ask_balance(sms: AsyncSmsClient) -> Balance:
    """Ask the gateway for the balance, for at most 10 seconds. An error makes the balance unknown.

    Args:
        sms: the open client of the account.
    """
    try:
        return Balance(await sms.balance(timeout=_PATIENCE))
    except Exception as error:  # noqa: BLE001 - the counts of the batch must be shown after any error
        return Balance.unknown(error)


def amount(value: Decimal) -> str:
    """Return an amount with at least two decimals and with a comma after each three digits: 140,000.00."""
    return max(f"{value:,f}", f"{value:,.2f}", key=len)


def costs_document(costs: Costs) -> Document:
    """Return the costs as JSON data. An amount that is not known is null."""
    return {
        "price": costs.price,
        "all_messages": costs.all_messages,
        "to_send": costs.to_send,
        "balance": None if costs.balance is None else costs.balance.amount,
        "balance_problem": None if costs.balance is None else costs.balance.problem,
        "left_after": None if costs.short_by is not None else costs.left_after,
        "short_by": costs.short_by,
    }
