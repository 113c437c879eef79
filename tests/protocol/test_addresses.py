"""Addresses: what is accepted, and what it becomes on the wire."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import ValidationError
from smsapi_async.protocol.addresses import checked_destination, checked_source

digits = st.text("0123456789", min_size=1, max_size=17)
candidates = (
    digits
    | digits.map(lambda number: "+" + number)
    | st.text()
    | st.text("0123456789+ -()\n٣７²", max_size=18)
    | st.tuples(digits, st.sampled_from(["\n", " ", "\x00", "+"])).map("".join)
)


@given(address=candidates)
def test_any_accepted_destination_is_digits_on_the_wire(address: str) -> None:
    """What goes out is 7 to 15 ASCII digits that do not begin with 0, or nothing goes out."""
    try:
        number = checked_destination(address)
    except ValidationError:
        return
    assert re.fullmatch("[1-9][0-9]{6,14}", number)
    assert number == address.removeprefix("+")


@given(number=digits)
def test_a_plus_makes_no_difference(number: str) -> None:
    """With `+` and without, the same numbers are accepted, and become the same."""

    def outcome(address: str) -> str:
        try:
            return checked_destination(address)
        except ValidationError:
            return "refused"

    assert outcome("+" + number) == outcome(number)


@pytest.mark.parametrize(
    "address", ["79031234567", "+79031234567", "4915112345678", "1234567", "123456789012345"]
)
def test_destinations(address: str) -> None:
    """Numbers in international format are accepted, the contract's own examples among them."""
    assert checked_destination(address) == address.lstrip("+")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "+",
        "654321",
        "1234567890123456",
        "09161002030",
        "89161002030",
        "+89161002030",
        "++79161002030",
        "7916100203x",
        "7 916 100 20 30",
        "+7(916)1002030",
        "79161002030\n",
        " 79161002030",
        "79161002030,79161002038",
        "٧٩٠٣١٢٣٤٥٦٧",
        "７９０３１２３４５６７",
        "7916100203²",
        "tel:79161002030",
        None,
        79161002030,
        b"79161002030",
        ["79161002030"],
    ],
)
def test_what_is_no_destination(address: object) -> None:
    """Anything else is refused, digits of other scripts included, and the error does not show the number."""
    with pytest.raises(ValidationError) as caught:
        checked_destination(address, "destination_addresses[2]")
    assert caught.value.parameter == "destination_addresses[2]"
    if isinstance(address, str) and len(address) > 4:
        assert address not in str(caught.value)
    assert "9161002030" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["DEVIN0", "TESTSMS", "My Shop", "a", "A-1.b_c", "12345678901", "1", "123456789012345"]
)
def test_sources(address: str) -> None:
    """Up to 11 Latin characters, or up to 15 digits, go out as they are."""
    assert checked_source(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "ABCDEFGHIJKL",
        "1234567890123456",
        "Магазин",
        "Caf\u00e9",
        "A\nB",
        " A",
        "A ",
        "１２３",
        None,
        5,
        b"A",
    ],
)
def test_what_is_no_source(address: object) -> None:
    """Twelve letters, sixteen digits or a letter outside Latin are refused."""
    with pytest.raises(ValidationError) as caught:
        checked_source(address)
    assert caught.value.parameter == "source_address"


@given(address=st.text(max_size=17))
def test_any_accepted_source_is_within_the_contract(address: str) -> None:
    """Whatever is accepted is at most 11 printable Latin characters or at most 15 digits."""
    try:
        accepted = checked_source(address)
    except ValidationError:
        return
    assert accepted == address
    assert re.fullmatch("[ -~]{1,11}|[0-9]{1,15}", accepted)
