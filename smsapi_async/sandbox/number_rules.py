"""The checks of addresses, and the time zones of recipients."""

import re
from datetime import timedelta

# The UTC offset of a recipient whose number has an unknown prefix.
_DEFAULT_OFFSET = timedelta(hours=3)

# A destination address has 7 to 15 digits (contract, "Addresses"). The sandbox refuses a number of 11 digits
# that begins with 89: a Russian number with the trunk prefix 8 in place of a country code. A dialect can
# accept such a number.
_DESTINATION = re.compile(r"\+?([1-9][0-9]{6,14})")
_TRUNK_PREFIX = re.compile(r"8(9[0-9]{9})")
# A source address has at most 15 digits, or at most 11 printable ASCII characters (contract, "Addresses"). A
# source address that consists only of spaces is invalid.
_SOURCE = re.compile(r"[0-9]{1,15}|(?=.*[!-~])[ -~]{1,11}")

# The UTC offsets in hours, by the prefix of a number. Each prefix begins with a country code. For a country
# with several time zones, some prefixes also contain the network code. The UTC offsets ignore summer time.
_OFFSETS = {
    "7": 3, "7902": 5, "7904": 5, "7908": 5, "7912": 5, "7913": 7, "7914": 10, "7919": 5, "7922": 5,
    "7923": 7, "7924": 10, "7927": 4, "7937": 4, "7950": 5, "7951": 5, "7962": 10, "7963": 7, "7964": 8,
    "7982": 5, "7983": 7, "7984": 10, "76": 5, "77": 5, "1": -5, "1213": -8, "1415": -8, "1312": -6,
    "20": 2, "27": 2, "30": 2, "31": 1, "32": 1, "33": 1, "34": 1, "351": 0, "353": 0, "358": 2, "359": 2,
    "36": 1, "370": 2, "371": 2, "372": 2, "373": 2, "374": 4, "375": 3, "380": 2, "381": 1, "39": 1,
    "40": 2, "41": 1, "420": 1, "421": 1, "43": 1, "44": 0, "45": 1, "46": 1, "47": 1, "48": 1, "49": 1,
    "55": -3, "61": 10, "62": 7, "65": 8, "66": 7, "81": 9, "82": 9, "84": 7, "86": 8, "90": 3, "91": 5.5,
    "966": 3, "971": 4, "972": 2, "976": 8, "992": 5, "993": 5, "994": 4, "995": 4, "996": 6, "998": 5,
}  # fmt: skip
_LONGEST_PREFIX = max(map(len, _OFFSETS))


def destination_digits(address: str, *, accepts_trunk_prefix: bool) -> str | None:
    """Return the digits of a destination address, or None if the address is invalid.

    Args:
        address: the destination address, with or without `+`.
        accepts_trunk_prefix: whether a Russian number may have the trunk prefix 8 in place of the country
            code 7. The result then has the country code 7.
    """
    match = _DESTINATION.fullmatch(address)
    if match is None:
        return None
    with_trunk_prefix = _TRUNK_PREFIX.fullmatch(match[1])
    if with_trunk_prefix is None:
        return match[1]
    return f"7{with_trunk_prefix[1]}" if accepts_trunk_prefix else None


def written_numbers(text: str) -> set[str]:
    """Return the destination addresses that a telephone number can mean, as people write the number.

    All characters except digits are ignored, and a Russian mobile number may begin with 8 in place of 7.

    Raises:
        ValueError: if `text` contains no digit.
    """
    digits = re.sub(r"[^0-9]", "", text)
    if not digits:
        raise ValueError(f"the number must contain digits, for example 79031234567; it is {text!r}")
    return {digits, with_country_code(digits)}


def with_country_code(digits: str) -> str:
    """Return a Russian mobile number that begins with 8 with 7 in place of 8, and any other number as it is.

    No country code begins with 89.
    """
    return _TRUNK_PREFIX.sub(r"7\1", digits) if _TRUNK_PREFIX.fullmatch(digits) else digits


def is_source(address: object) -> bool:
    """Whether `address` is a valid source address (contract, "Addresses").

    A source address is a str with at most 15 digits, or with at most 11 printable ASCII characters.
    """
    return isinstance(address, str) and _SOURCE.fullmatch(address) is not None


def recipient_offset(digits: str) -> timedelta:
    """Return the UTC offset of the recipient's time zone.

    The longest prefix of `digits` that is in the table `_OFFSETS` determines the offset. If `_OFFSETS` has no
    prefix of `digits`, the offset is +3.
    """
    for length in range(_LONGEST_PREFIX, 0, -1):
        hours = _OFFSETS.get(digits[:length])
        if hours is not None:
            return timedelta(hours=hours)
    return _DEFAULT_OFFSET
