"""Phone numbers as people write them: what `normalize_number` reads, and what it refuses."""

import re
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapi_async import ValidationError
from smsapi_async.contrib.phonenumbers import normalize_number
from smsapi_async.protocol.addresses import checked_destination_address

NUMBER = "79031234567"
READ: list[tuple[str, str]] = [
    # The international form.
    ("79031234567", NUMBER),
    ("+79031234567", NUMBER),
    ("+7 (903) 123-45-67", NUMBER),
    ("(+7) 903 123 45 67", NUMBER),
    ("+7-903-123-45-67", NUMBER),
    ("+7.903.123.45.67", NUMBER),
    ("7 903 123 45 67", NUMBER),
    ("tel:+7-903-123-45-67", NUMBER),
    ("TEL: +7 903 1234567", NUMBER),
    ("007 903 123-45-67", NUMBER),
    ("0049 170 1234567", "491701234567"),
    ("8 10 49 170 1234567", "491701234567"),
    ("+49 (0)170 1234567", "491701234567"),
    ("+44 (0)7911 123456", "447911123456"),
    ("+39 06 698 12345", "390669812345"),
    ("49 170 1234567", "491701234567"),
    ("491701234567", "491701234567"),
    ("380 50 123 45 67", "380501234567"),
    ("12025550123", "12025550123"),
    ("+1 (202) 555-0123", "12025550123"),
    # The national form.
    ("89031234567", NUMBER),
    ("+89031234567", NUMBER),
    ("8 (903) 123-45-67", NUMBER),
    ("8-903-123-45-67", NUMBER),
    ("8(903)1234567", NUMBER),
    ("9031234567", NUMBER),
    ("(903) 123-45-67", NUMBER),
    ("+7 8 903 123-45-67", NUMBER),
    ("8 (495) 123-45-67", "74951234567"),
    ("8 701 123 45 67", "77011234567"),
    # The marks of spreadsheets, address books and messengers.
    ("'79031234567", NUMBER),
    ('="79031234567"', NUMBER),
    ('="+7 (903) 123-45-67"', NUMBER),
    ('"79031234567"', NUMBER),
    ("79031234567.0", NUMBER),
    ("79031234567,0", NUMBER),
    ("\u202a+7 903 123-45-67\u202c", NUMBER),
    ("+7\u00a0903\u00a0123\u201145\u201167", NUMBER),
    ("+7 903 123\u221245\u221267", NUMBER),
    ("＋７９０３１２３４５６７", NUMBER),
    ("٧٩٠٣١٢٣٤٥٦٧", NUMBER),
    ("\ufeff79031234567", NUMBER),
    ("  79031234567\r\n", NUMBER),
    ("8 903 123 45 6 7", NUMBER),
    ("79 031 234 567", NUMBER),
]


@pytest.mark.parametrize(("cell", "number"), READ, ids=[repr(cell) for cell, _ in READ])
def test_certain_numbers(cell: str, number: str) -> None:
    """A number in one of the usual writings becomes the digits that the gateway gets."""
    assert normalize_number(cell, "RU") == number
    assert checked_destination_address(normalize_number(cell, "RU")) == number


SHORTENED = "the spreadsheet shortened this number: format the column as text"
REFUSED: list[tuple[str, str]] = [
    ("", "the cell is empty"),
    (" \u00a0\t", "the cell is empty"),
    ("+7 (0) 903 123-45-67", "does not exist"),
    ("5", "a number with this digit does not exist"),
    ("7903123456", "a number with these 10 digits does not exist"),
    ("+7903123456", "does not exist"),
    ("790312345678", "does not exist"),
    ("903123456", "does not exist"),
    ("+7 903 123-45-67 (123)", "ends with an extension"),
    ("8 495 123-45-67 (123)", "ends with an extension"),
    ("8-903-123-45-67-1", "ends with an extension"),
    ("+49 170 1234567-1", "ends with an extension"),
    ("+49 170 1234567 1", "ends with an extension"),
    ("+7 903 123-45-67 ext. 5", "has an extension"),
    ("+7 903 123-45-67 доб. 5", "has an extension"),
    ("+7 903 123-45-67 #5", "has an extension"),
    ("+79031234567x12", "has an extension"),
    ("tel:+79031234567;ext=12", "has an extension"),
    ("tel:9031234567;phone-context=+7", "the mark ';'"),
    ("123-45-67 765-43-21", "14 digits does not exist"),
    ("123-45-67, 765-43-21", "the mark ','"),
    ("79031234567;79037654321", "the mark ';'"),
    ("79031234567/79037654321", "the mark '/'"),
    ("79031234567 / 68", "the mark '/'"),
    ("79031234567|79037654321", "the mark '|'"),
    ("79031234567\n79037654321", "a line break"),
    ("79031234567 79037654321", "22 digits are too many"),
    ("+79031234567 +79037654321", "the mark '+' is not at the beginning"),
    ("79031234567 и 79037654321", "a letter"),
    ("2026-03-01", "holds a date"),
    ("01.03.2026", "holds a date"),
    ("1/3/26", "holds a date"),
    ("2026-03-01 10:00:00", "holds a date"),
    ("20260301", "8 digits does not exist"),
    ("7.90312E+10", SHORTENED),
    ("7,90312E+10", SHORTENED),
    ("7.9031234567e10", SHORTENED),
    ("79E9", SHORTENED),
    ("7916100203²", "the mark '²'"),
    ("7 903 l23 45 67", "a letter"),
    ("7 9O3 123 45 67", "a letter"),
    ("+7 903 123-45-67 Anna", "a letter"),
    ("7 903 123*45*67", "the mark '*'"),
    ("+7 (903 123-45-67", "a single bracket"),
    ("1. 9032345678", "the number of a list"),
    ("44. 7911 123456", "the number of a list"),
    ("8 (351) 234-56-7", "10 digits does not exist"),
    ("8 423 123 45 6", "10 digits does not exist"),
    ("+49 30 1234567-12", "ends with an extension"),
    ("4951234567", "two readings"),
    ("84951234567", "two readings"),
    ("+999 123 45 67", "no known country code"),
    ("1234567", "does not exist"),
    ("-", "no digits"),
    ("n/a", "a letter"),
    ("7" * 300, "too long"),
    ("0.79031234567", "a decimal number"),
    ("7903123456.7", "a decimal number"),
    ("7903123456,7", "a decimal number"),
    # Eleven digits of an insurance number and of an account.
    ("11223344595", "11 digits does not exist"),
    ("71234567890", "11 digits does not exist"),
]


@pytest.mark.parametrize(("cell", "reason"), REFUSED, ids=[repr(cell[:30]) for cell, _ in REFUSED])
def test_what_is_not_certain(cell: str, reason: str) -> None:
    """A cell that is not certainly one number is refused; the reason names the wrong mark, not the number."""
    with pytest.raises(ValidationError, match=re.escape(reason)) as caught:
        normalize_number(cell, "RU")
    assert caught.value.parameter == "number"
    # Apart from the example in the hint, no more than two digits of the cell are shown.
    shown = str(caught.value).replace("+79031234567", "")
    assert not re.search(r"\d{3}", re.sub(r"these \d+ digits", "", shown))


@pytest.mark.parametrize(
    ("cell", "region", "number"),
    [
        ("0170 1234567", "DE", "491701234567"),
        ("0170/1234567", "DE", "491701234567"),
        ("170 1234567", "DE", "491701234567"),
        ("(202) 555-0123", "US", "12025550123"),
        ("8 029 123-45-67", "BY", "375291234567"),
        ("701 123 45 67", "KZ", "77011234567"),
    ],
)
def test_regions(cell: str, region: str, number: str) -> None:
    """A national number is read in the region that the caller names."""
    assert normalize_number(cell, region) == number


@pytest.mark.parametrize("region", ["ru", "XX", "", "RUS", None, 7, ["RU"]])
def test_unknown_regions(region: Any) -> None:
    """An unknown region is refused, and the error names the parameter `region`."""
    with pytest.raises(ValidationError) as caught:
        normalize_number(NUMBER, region)
    assert caught.value.parameter == "region"


@pytest.mark.parametrize("text", [None, 79031234567, b"79031234567"])
def test_other_types(text: Any) -> None:
    """A value that is no `str` is refused, and not converted."""
    with pytest.raises(ValidationError, match="pass a str"):
        normalize_number(text)


REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
MARKS = [" ", "-", ", ", ";", "/", " / ", "\n", "", " и ", "+", " +", " (", "\u00a0", ".", "|"]
mobile = st.sampled_from(REGIONS).map(
    lambda region: phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
)
writings = st.sampled_from(
    [
        phonenumbers.PhoneNumberFormat.E164,
        phonenumbers.PhoneNumberFormat.INTERNATIONAL,
        phonenumbers.PhoneNumberFormat.NATIONAL,
    ]
)
russian = st.integers(9_000_000_000, 9_999_999_999)
local = st.integers(1_000_000, 9_999_999).map(lambda n: f"{n:07}").map(lambda n: f"{n[:3]}-{n[3:5]}-{n[5:]}")


@given(
    first=russian.map(lambda n: f"8{n}") | russian.map(str) | local,
    mark=st.sampled_from(MARKS),
    second=russian.map(lambda n: f"+7{n}") | russian.map(str) | local,
)
def test_two_numbers_never_become_one(first: str, mark: str, second: str) -> None:
    """A cell with two numbers is refused, whatever separates the numbers."""
    with pytest.raises(ValidationError) as caught:
        normalize_number(f"{first}{mark}{second}", "RU")
    assert not re.search(r"\d{5}", str(caught.value).replace("+79031234567", ""))


@given(number=mobile, writing=writings)
def test_every_country(number: phonenumbers.PhoneNumber | None, writing: int) -> None:
    """A mobile number of any country is read in the usual writings of its country, or refused."""
    if number is None:
        return
    region = phonenumbers.region_code_for_number(number) or "RU"
    written = phonenumbers.format_number(number, writing)
    expected = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    try:
        assert normalize_number(written, region) == expected
    except ValidationError:
        assert writing == phonenumbers.PhoneNumberFormat.NATIONAL


@given(text=st.text(max_size=25) | st.text("0123456789+-() .,/eE'=\"", max_size=25))
def test_any_text(text: str) -> None:
    """Any text gives digits that the client accepts unchanged and that are in the text, or a reason."""
    try:
        number = normalize_number(text, "RU")
    except ValidationError:
        return
    assert checked_destination_address(number) == number
    digits = "".join(re.findall("[0-9]", text))
    assert not text.isascii() or number[2:] in digits


_groups = st.tuples(
    st.sampled_from(["", "+7", "7", "8", "+8", "77"]),
    st.sampled_from(["", " ", "-"]),
    st.from_regex(r"\(?9[0-9]{2}\)?|930", fullmatch=True),
    st.sampled_from(["", " ", "-", "--"]),
    st.from_regex(r"[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{2}[0-9]?|00[0-9]{5}", fullmatch=True),
).map("".join)


@given(text=_groups, region=st.sampled_from(["RU", "KZ", "DE", "TR"]))
def test_usual_groups(text: str, region: str) -> None:
    """Russian mobile numbers in groups, which are read without the library, are read as the library does.

    The invisible character before the number has no meaning, and the library reads such a number.
    """

    def read(cell: str) -> str:
        try:
            return normalize_number(cell, region)
        except ValidationError as error:
            return error.hint

    if not re.fullmatch(r"\+?79300[0-9]{6}", text):
        assert read(text) == read(f"\u200e{text}")
