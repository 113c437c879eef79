"""Checks of the arguments of `Sandbox`."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from smsapi_async.sandbox.dialect import Dialect
from smsapi_async.sandbox.number_rules import is_source


def checked_amount(name: str, value: Decimal | float | str) -> Decimal:
    """Return an amount as a Decimal.

    Raises:
        ValueError: if the amount is not a finite number, or negative and not the balance.
    """
    try:
        amount = Decimal(value)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or (name != "balance" and amount < 0):
        raise ValueError(f"{name} must be a finite number, and price and latency at least 0")
    return amount


def checked_source_addresses(value: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return source addresses as a tuple. A single str is one source address.

    Raises:
        ValueError: if a source address is invalid.
    """
    addresses = (value,) if isinstance(value, str) else value if value is None else tuple(value)
    if addresses is not None and not all(map(is_source, addresses)):
        raise ValueError(
            "source_addresses must contain only source addresses: at most 15 digits, or at most 11 Latin "
            "characters"
        )
    return addresses


def checked_dialect(dialect: Dialect | str, overrides: Mapping[str, object]) -> Dialect:
    """Return the dialect with a name, or the given dialect, with other values of some fields.

    Raises:
        ValueError: if the name or a value is invalid.
    """
    chosen = Dialect.named(dialect) if isinstance(dialect, str) else dialect
    if not isinstance(chosen, Dialect):
        raise ValueError("dialect must be a Dialect, 'contract' or 'latest'")  # noqa: TRY004 - as for a field
    return chosen.with_(**{name: value for name, value in overrides.items() if value is not None})
