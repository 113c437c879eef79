"""Phone numbers as people write them, through the library phonenumbers, which the extra ``cli`` installs.

`normalize_number` returns the form that `AsyncSmsClient.send` accepts, or raises an error. The function
never guesses: a number that can be read in two ways, or that the library does not know, is refused.
"""

import re
import unicodedata
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType, ValidationResult

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_number, mask_words
from smsapi_async.protocol.addresses import checked_destination_address

_SENDABLE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
# The longest cell that is looked at. A longer cell holds no phone number.
_LONGEST = 200
# A Russian mobile number in international form, and in the usual groups of digits. Most cells of most tables
# look like this, and the library needs up to fifty times as long. The library does not know the numbers that
# begin with 9300, so these numbers in groups are not here.
_RUSSIAN_MOBILE = re.compile(r"\+?(79[0-9]{9})", re.ASCII)
_IN_GROUPS = re.compile(
    r"(?:\+?7|8)?[ -]?(?:\((9[0-9]{2})\)|(9[0-9]{2}))[ -]?"
    r"([0-9]{3})[ -]?([0-9]{2})[ -]?([0-9]{2})",
    re.ASCII,
)
_UNKNOWN_MOBILE = "9300"
# The country code of Russia and Kazakhstan.
_RUSSIA: Final = 7
# A Russian mobile number with the trunk prefix 8. The client replaces the 8 by the country code.
_TRUNK_PREFIX = re.compile("89[0-9]{9}")

_EXPONENT = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}([-./])[01]?[0-9]\1[0-3]?[0-9](?:[ T].*)?"
    r"|[0-3]?[0-9]([-./])[0-3]?[0-9]\2(?:19|20)?[0-9]{2}(?: .*)?"
)
_WHOLE_NUMBER = re.compile(r"([0-9]{10,})[.,]0{1,2}")
_DECIMAL = re.compile(r"[+-]?[0-9]+[.,][0-9]+")
_LIST_MARK = re.compile(r"[0-9]{1,4}\.\s")
_URI = re.compile(r"(?:tel|sms|callto|whatsapp):(?://)?", re.IGNORECASE)
_FORMULA = re.compile(r"=\"(.*)\"")
_QUOTED = re.compile(r"\"(.*)\"")
# German and Austrian address books write 0170/1234567.
_AREA_CODE_SLASH = re.compile(r"(0[0-9]{1,4}) ?/ ?(?=[0-9 -]+\Z)")
_COUNTRY_CODE_IN_BRACKETS = re.compile(r"\((\+ ?[0-9]{1,3})\)")
_EXTENSION_WORD = re.compile(r"(?<![a-z])ext|доб|вн|#|x\.? ?[0-9]", re.IGNORECASE)
# One or two digits after the number, for example in 8 495 123-45-67-1, may be an extension.
_LAST_DIGITS = re.compile(r"(.*[0-9)]) ?[ .-] ?[0-9]{1,2}\.?")
_WIDE_MARKS: Final = {"＋": "+", "（": "(", "）": ")", "．": ".", "\N{MINUS SIGN}": "-", "\t": " "}
_GROUPS = re.compile(r"[0-9]+")
_FIRST_GROUP = re.compile(r"[( ]*([0-9]+)")
_WORDS: Final = {
    "\n": "a line break, which may separate two numbers",
    ",": "the mark ',', which may separate two numbers",
    ";": "the mark ';', which may separate two numbers",
    "/": "the mark '/', which may separate two numbers",
    "|": "the mark '|', which may separate two numbers",
    "\\": "the mark '\\', which may separate two numbers",
    "&": "the mark '&', which may separate two numbers",
}
_ONE_NUMBER = "pass one number with its country code, such as +79031234567"


def normalize_number(text: str, region: str = "RU") -> str:
    """Return a phone number in international format: digits that begin with the country code.

    The function accepts the international form (with ``+``, ``00``, ``tel:`` or bare digits) and the national
    form of `region`, with spaces, brackets, dots and dashes of all kinds, and the marks by which spreadsheets
    keep digits as text. ``8 (903) 123-45-67`` in the region RU and ``+49 (0)170 1234567`` become
    ``79031234567`` and ``491701234567``. If a number without a country code is a mobile number of
    `region`, this reading is taken.

    Args:
        text: the phone number as somebody wrote it.
        region: the country in which a number without a country code is read, as two letters (ISO 3166-1).

    Raises:
        ValidationError: if the text is not certainly one phone number: its length is impossible, it has an
            extension, it may be two numbers, a date or a number that a spreadsheet shortened, or it can be
            read in two ways. The error names the wrong mark, and not the number. The parameter of the error
            is ``region`` if `region` is unknown, and otherwise ``number``.
    """
    if not isinstance(text, str):
        raise ValidationError("number", mask_number(text), "pass a str with one phone number")
    code = checked_region(region)
    quick = _RUSSIAN_MOBILE.fullmatch(text)
    if quick is not None and (code == _RUSSIA or text.startswith("+")):
        return quick[1]
    grouped = _IN_GROUPS.fullmatch(text)
    if grouped is not None and (region == "RU" or text.startswith("+")):
        national = "".join(filter(None, grouped.groups()))
        if not national.startswith(_UNKNOWN_MOBILE):
            return f"7{national}"
    try:
        words = _cleaned(text)
        _refuse_last_digits(words, region)
        return checked_destination_address(_international(words, region), "number")
    except _Refusal as refusal:
        raise ValidationError("number", mask_number(text), str(refusal)) from None


def checked_region(region: object) -> int:
    """Return the country code of a region.

    Raises:
        ValidationError: if the library does not know the region.
    """
    if isinstance(region, str) and region in phonenumbers.SUPPORTED_REGIONS:
        return phonenumbers.country_code_for_region(region)
    hint = "pass two capital letters of ISO 3166-1, such as RU, KZ or DE"
    raise ValidationError("region", mask_words(region), hint)


class _Refusal(Exception):
    """The text is not certainly one phone number. The message says why, and what to pass."""


def _cleaned(text: str) -> str:
    """Return the text with plain digits, spaces and dashes, and without the marks around the number.

    Raises:
        _Refusal: if the text has another mark.
    """
    words = _plain_marks(text[: _LONGEST + 1]).strip(" \n\t")
    if not words:
        raise _Refusal(f"the cell is empty; {_ONE_NUMBER}")
    if len(words) > _LONGEST:
        raise _Refusal(f"the text is too long for a phone number; {_ONE_NUMBER}")
    for marks in (_FORMULA, _QUOTED):
        quoted = marks.fullmatch(words)
        words = quoted[1].strip() if quoted else words
    # A spreadsheet shows an apostrophe before a number that is kept as text.
    words = _URI.sub("", words.removeprefix("'"), count=1).strip()
    _refuse_other_values(words)
    whole = _WHOLE_NUMBER.fullmatch(words)
    if whole is None and _DECIMAL.fullmatch(words):
        raise _Refusal(f"the cell holds a decimal number; {_ONE_NUMBER}")
    words = whole[1] if whole else words
    if _LIST_MARK.match(words):
        raise _Refusal(f"the number begins with the number of a list; {_ONE_NUMBER}")
    words = _AREA_CODE_SLASH.sub(r"\1 ", words)
    words = _COUNTRY_CODE_IN_BRACKETS.sub(r"\1 ", words, count=1) if words.startswith("(+") else words
    _refuse_marks(words)
    return words


def _plain_marks(text: str) -> str:
    """Return the text with digits 0 to 9 for digits of all scripts, and without invisible characters."""
    if text.isascii():
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(map(_plain_mark, text))


def _plain_mark(character: str) -> str:
    if character in _WIDE_MARKS:
        return _WIDE_MARKS[character]
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category in {"Pd", "Zs"}:
        return "-" if category == "Pd" else " "
    if category in {"Zl", "Zp"} or character in "\n\r\v\f\x85":
        return "\n"
    # Address books put marks for the direction of the text around numbers (category Cf).
    return "" if category == "Cf" else character


def _refuse_other_values(words: str) -> None:
    """Refuse values that are no phone numbers although they have many digits."""
    if _EXPONENT.fullmatch(words):
        raise _Refusal("the spreadsheet shortened this number: format the column as text")
    if _DATE.fullmatch(words):
        raise _Refusal(f"the cell holds a date; {_ONE_NUMBER}")
    if _EXTENSION_WORD.search(words):
        raise _Refusal(f"the number has an extension; {_ONE_NUMBER}, without an extension")


def _refuse_marks(words: str) -> None:
    for index, character in enumerate(words):
        if character in "0123456789 -()." or (character == "+" and index == 0):
            continue
        if character == "+":
            raise _Refusal(
                f"the mark '+' is not at the beginning, so there may be two numbers; {_ONE_NUMBER}"
            )
        cause = _WORDS.get(character) or ("a letter" if character.isalpha() else f"the mark {character!r}")
        raise _Refusal(f"the number contains {cause}; {_ONE_NUMBER}")
    if words.count("(") != words.count(")") or words.count("(") > 2:
        raise _Refusal(f"the number contains a single bracket; {_ONE_NUMBER}")
    if re.search(r"[0-9][ -]*\([0-9 ]*\)\Z", words):  # for example +49 30 1234567 (12)
        raise _Refusal(f"the number ends with an extension; {_ONE_NUMBER}, without an extension")


def _refuse_last_digits(words: str, region: str) -> None:
    """Refuse a number with one or two digits at the end that is a number without these digits, too."""
    shorter = _LAST_DIGITS.fullmatch(words)
    if shorter is None:
        return
    try:
        _international(shorter[1], region)
    except _Refusal:
        return  # The last digits belong to the number, or the number is wrong for another reason.
    raise _Refusal(f"the number ends with an extension; {_ONE_NUMBER}, without an extension")


def _international(words: str, region: str) -> str:
    """Return the digits of the only certain reading of a cleaned text.

    Raises:
        _Refusal: if there is no certain reading, or more than one.
    """
    digits = "".join(_GROUPS.findall(words))
    is_plain = words.removeprefix("+").isdigit()
    if words.startswith("+"):
        return _with_country_code(digits, is_plain=is_plain)
    if digits.startswith("00"):
        return _with_country_code(digits[2:], is_plain=False)
    if not digits:
        raise _Refusal(f"the cell holds no digits; {_ONE_NUMBER}")
    if _TRUNK_PREFIX.fullmatch(digits) and checked_region(region) != _RUSSIA:
        # The client would replace the 8 by the Russian country code.
        raise _Refusal(
            f"the number has two readings, in {region} and in Russia; write + and the country code"
        )
    national = _national(words, digits, region)
    abroad = _abroad(words, digits, is_plain=is_plain)
    readings = {_digits_of(number) for number in (national, abroad) if number is not None}
    if len(readings) == 1:
        return readings.pop()
    if national is not None and phonenumbers.number_type(national) in _SENDABLE:
        # A mobile number of the region: `region` says in which country a number without + is read.
        return _digits_of(national)
    if readings:
        raise _Refusal(f"the number has two readings, in {region} and abroad; write + and the country code")
    raise _Refusal(_why_impossible(digits, region))


def _with_country_code(digits: str, *, is_plain: bool) -> str:
    """Return the digits of a number with its country code.

    If the text is only ``+`` and digits, the length must be possible. If the text has other marks, or a part
    such as ``(0)`` is left out, the library must know the number.
    """
    if _TRUNK_PREFIX.fullmatch(digits):
        return digits
    number = _parsed(f"+{digits}", None)
    if number is None:
        raise _Refusal("the number has no known country code; write + and the country code first")
    is_changed = _digits_of(number) != digits
    possible = phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE
    if possible and (phonenumbers.is_valid_number(number) or (is_plain and not is_changed)):
        return _digits_of(number)
    raise _Refusal(_why_impossible(digits, None))


def _national(words: str, digits: str, region: str) -> PhoneNumber | None:
    """Return the number that the digits are in a region, or None."""
    number = _parsed(digits, region)
    if number is None or not phonenumbers.is_valid_number(number):
        return None
    code = checked_region(region)
    if number.country_code != code:
        return number  # The digits begin with the prefix for calls abroad, for example 8 10 in Russia.
    national = phonenumbers.national_significant_number(number)
    if digits == national:
        # Without a trunk prefix, the library must know the number as a mobile number of this region. The
        # digits may be a number of another kind, for example 7903123456 lacks a digit.
        is_certain = phonenumbers.is_valid_number_for_region(number, region)
        kind = phonenumbers.number_type(number)
        return number if is_certain and (kind in _SENDABLE or _is_whole(words, digits, code)) else None
    return number


def _is_whole(words: str, digits: str, code: int) -> bool:
    """Return whether ten digits without a trunk prefix are a whole landline number of Russia or Kazakhstan.

    In 8 423 123 45 6, the 8 is the trunk prefix, and a digit is missing.
    """
    first = _GROUPS.findall(words)[0]
    return code == _RUSSIA and len(digits) == 10 and (digits[0] != "8" or 3 <= len(first) <= 5)


def _abroad(words: str, digits: str, *, is_plain: bool) -> PhoneNumber | None:
    """Return the number that the digits are with a country code and without ``+``, or None."""
    if _TRUNK_PREFIX.fullmatch(digits):
        return _parsed(f"+7{digits[1:]}", None)
    number = _parsed(f"+{digits}", None)
    if number is None or _digits_of(number) != digits:
        return None
    # In 8 (495) 123-45-67, the first group is no country code, so the number is not one of Vietnam (84).
    first = _FIRST_GROUP.match(words)
    if not is_plain and (first is None or first[1] != str(number.country_code)):
        return None
    return number if phonenumbers.is_valid_number(number) else None


def _digits_of(number: PhoneNumber) -> str:
    """Return country code and number as digits."""
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"


def _parsed(words: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(words, region)
    except NumberParseException:
        return None


def _why_impossible(digits: str, region: str | None) -> str:
    place = "its country" if region is None else region
    these = "this digit" if len(digits) == 1 else f"these {len(digits)} digits"
    return (
        f"a number with {these} does not exist in {place}; {_ONE_NUMBER}"
        if len(digits) <= 15
        else f"{len(digits)} digits are too many for one number; {_ONE_NUMBER}"
    )
