"""Checks of destination addresses and source addresses (contract, "Addresses")."""

import re

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_number, mask_source_address

# A phone number has at most 15 digits, and no country code begins with 0 (ITU-T E.164). All numbers of the
# country codes 7 and 1 have 11 digits. Other numbers with these first digits lack a digit or their country
# code: sent as they are, they would reach somebody else. The first group matches a Russian mobile number with
# the trunk prefix 8 in place of the country code 7, because no country code begins with 89.
_DESTINATION = re.compile(r"\+?(?:8(9[0-9]{9})|([71][0-9]{10}|[2-689][0-9]{6,14}))", re.ASCII)
_DIGITS = re.compile(r"\+?[0-9]+", re.ASCII)
_ELEVEN_DIGITS = ("7", "1", "+7", "+1")
_SOURCE_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
# A source address has at most 11 printable ASCII characters. Its first and its last character may not be a
# space.
_SOURCE_LATIN = re.compile(r"[!-~](?:[ -~]{0,9}[!-~])?", re.ASCII)


def checked_destination_address(address: object, parameter: str = "destination_address") -> str:
    """Return the digits of a destination address in international format, without a leading ``+``.

    A Russian mobile number with the trunk prefix 8 (89 and nine more digits) gets the country code 7.

    Args:
        address: the destination address to check.
        parameter: the name of the parameter in the error.

    Raises:
        ValidationError: if the destination address is not a `str` with a phone number in international
            format, or if a number of the country code 7 or 1 does not have 11 digits.
    """
    match = _DESTINATION.fullmatch(address) if isinstance(address, str) else None
    if match is None:
        raise ValidationError(parameter, mask_number(address), _hint(address))
    return match[2] or f"7{match[1]}"


def _hint(address: object) -> str:
    if isinstance(address, str) and address.startswith(_ELEVEN_DIGITS) and _DIGITS.fullmatch(address):
        count = len(address.removeprefix("+"))
        return (
            "pass 11 digits, such as '79035550011': numbers of the country codes 7 and 1 have 11 digits, and "
            f"this number has {count}"
        )
    return "pass country code, network code and number as 7 to 15 digits, such as '79031234567'"


def checked_source_address(address: object) -> str:
    """Check a source address, and return the source address unchanged.

    Raises:
        ValidationError: if the source address is None, too long, or contains characters that are not Latin.
    """
    if address is None:
        hint = "pass a source address to this method or to AsyncSmsClient, or set SMSAPI_SOURCE_ADDRESS"
        raise ValidationError("source_address", "None", hint)
    if isinstance(address, str) and (_SOURCE_DIGITS.fullmatch(address) or _SOURCE_LATIN.fullmatch(address)):
        return address
    hint = "pass at most 11 Latin characters, or at most 15 digits without '+'"
    raise ValidationError("source_address", mask_source_address(address), hint)
