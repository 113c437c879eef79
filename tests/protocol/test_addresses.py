"""The checks of destination addresses and source addresses (contract, "Addresses")."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import ValidationError
from smsapi_async.protocol.addresses import checked_destination_address, checked_source_address

digits = st.text("0123456789", min_size=1, max_size=17)
# Test input: strings that look similar to phone numbers, and arbitrary strings.
candidates = (
    digits
    | digits.map(lambda number: "+" + number)
    | st.text()
    | st.text("0123456789+ -()\n٣７²", max_size=18)
    | st.tuples(digits, st.sampled_from(["\n", " ", "\x00", "+"])).map("".join)
)


@given(address=candidates)
def test_any_accepted_destination_is_digits_on_the_wire(address: str) -> None:
    """An accepted destination address is sent as 7 to 15 ASCII digits that do not begin with 0.

    The digits are those of the address, apart from the trunk prefix 8. A number that begins with 7 or 1 has
    11 digits.
    """
    try:
        number = checked_destination_address(address)
    except ValidationError:
        return
    assert re.fullmatch("[71][0-9]{10}|[2-689][0-9]{6,14}", number)
    assert number in {address.removeprefix("+"), re.sub("^89", "79", address.removeprefix("+"))}
    assert not re.fullmatch("89[0-9]{9}", number)


@given(number=digits)
def test_a_plus_makes_no_difference(number: str) -> None:
    """A `+` before a number changes neither the result of the check nor the digits that are sent."""

    def outcome(address: str) -> str:
        try:
            return checked_destination_address(address)
        except ValidationError:
            return "refused"

    assert outcome("+" + number) == outcome(number)


@pytest.mark.parametrize(
    "address", ["79031234567", "+79031234567", "4915112345678", "2345678", "223456789012345", "12025550123"]
)
def test_destinations(address: str) -> None:
    """A destination address in international format is accepted, with and without a leading `+`."""
    assert checked_destination_address(address) == address.lstrip("+")


@pytest.mark.parametrize("address", ["89161002030", "+89161002030", "79161002030"])
def test_the_trunk_prefix_becomes_the_country_code(address: str) -> None:
    """A Russian mobile number with the trunk prefix 8 is the same number as with the country code 7."""
    assert checked_destination_address(address) == "79161002030"


@pytest.mark.parametrize(
    "address", ["7903123456", "790312345678", "+7903123456", "1202555012", "120255501234"]
)
def test_a_missing_digit_is_counted(address: str) -> None:
    """A number that begins with 7 or 1 and does not have 11 digits is refused with the number of digits."""
    with pytest.raises(ValidationError, match=f"this number has {len(address.lstrip('+'))}$"):
        checked_destination_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "+",
        "654321",
        "1234567890123456",
        "09161002030",
        "7903123456",
        "1234567",
        "++79161002030",
        "7916100203x",
        "7 916 100 20 30",
        "+7(916)1002030",
        "79161002030\n",
        " 79161002030",
        "79161002030,79161002038",
        # The next three addresses contain digits of other scripts or superscripts. For these digits,
        # `str.isdigit` is true, so a check with `isdigit` alone would accept the addresses.
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
    """An invalid destination address raises `ValidationError`, and the error does not show the number."""
    with pytest.raises(ValidationError) as caught:
        checked_destination_address(address, "destination_addresses[2]")
    assert caught.value.parameter == "destination_addresses[2]"
    if isinstance(address, str) and len(address) > 4:
        assert address not in str(caught.value)
    assert "9161002030" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["DEVIN0", "TESTSMS", "My Shop", "a", "A-1.b_c", "12345678901", "1", "123456789012345"]
)
def test_sources(address: str) -> None:
    """A source address of up to 11 Latin characters or up to 15 digits is sent unchanged."""
    assert checked_source_address(address) == address


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
    """A source address that is empty, too long, not Latin or not a string raises `ValidationError`."""
    with pytest.raises(ValidationError) as caught:
        checked_source_address(address)
    assert caught.value.parameter == "source_address"


@given(address=st.text(max_size=17))
def test_any_accepted_source_is_within_the_contract(address: str) -> None:
    """Every accepted source address has at most 11 printable Latin characters or at most 15 digits."""
    try:
        accepted = checked_source_address(address)
    except ValidationError:
        return
    assert accepted == address
    assert re.fullmatch("[ -~]{1,11}|[0-9]{1,15}", accepted)
