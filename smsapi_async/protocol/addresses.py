"""Checks of destination addresses and source addresses (contract, "Addresses")."""

import re

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_number, mask_source_address, sealed

# A phone number has at most 15 digits, and no country code begins with 0 (ITU-T E.164).
_DESTINATION = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)
_SOURCE_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
# A source address has at most 11 printable ASCII characters. Its first and its last character may not be a
# space.
_SOURCE_LATIN = re.compile(r"[!-~](?:[ -~]{0,9}[!-~])?", re.ASCII)
# No country code begins with 89. A phone number that begins with 89 and has 11 digits is a Russian number
# with the trunk prefix 8.
_RUSSIAN_TRUNK_PREFIX = re.compile(r"\+?89[0-9]{9}", re.ASCII)


@sealed
def checked_destination_address(address: object, parameter: str = "destination_address") -> str:
    """Return the digits of a destination address, without a leading ``+``.

    Args:
        address: the destination address to check.
        parameter: the name of the parameter in the error.

    Raises:
        ValidationError: if the destination address is not a `str` with a phone number in international
            format.
    """
    match = _DESTINATION.fullmatch(address) if isinstance(address, str) else None
    if match is None:
        hint = "pass country code, network code and number as 7 to 15 digits, such as '79031234567'"
        raise ValidationError(parameter, mask_number(address), hint)
    if _RUSSIAN_TRUNK_PREFIX.fullmatch(match[0]):
        hint = "pass the international format: country code 7 instead of the trunk prefix 8"
        raise ValidationError(parameter, mask_number(address), hint)
    return match[1]


@sealed
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
