"""Source and destination addresses (contract, "Addresses")."""

import re

from smsapi_async.errors import ValidationError
from smsapi_async.privacy import mask_number, mask_source

# E.164: at most 15 digits, and no country code begins with 0.
_DESTINATION = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)
_SOURCE_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)
_SOURCE_LATIN = re.compile(r"[!-~](?:[ -~]{0,9}[!-~])?", re.ASCII)
# No country code begins with 89: such a number is a Russian one with its trunk prefix.
_RUSSIAN_TRUNK_PREFIX = re.compile(r"\+?89[0-9]{9}", re.ASCII)


def checked_destination(address: object, parameter: str = "destination_address") -> str:
    """The digits of a destination address.

    Raises:
        ValidationError: it is not a number in international format.
    """
    match = _DESTINATION.fullmatch(address) if isinstance(address, str) else None
    if match is None:
        hint = "pass country code, network code and number as 7 to 15 digits, such as '79031234567'"
        raise ValidationError(parameter, mask_number(address), hint)
    if _RUSSIAN_TRUNK_PREFIX.fullmatch(match[0]):
        hint = "pass the international format: country code 7 instead of the trunk prefix 8"
        raise ValidationError(parameter, mask_number(address), hint)
    return match[1]


def checked_source(address: object) -> str:
    """A source address as it is.

    Raises:
        ValidationError: it is missing, too long, or has characters outside Latin.
    """
    if address is None:
        hint = "pass it to the call, or source_address= to AsyncSmsClient, or set SMSAPI_SOURCE_ADDRESS"
        raise ValidationError("source_address", "None", hint)
    if isinstance(address, str) and (_SOURCE_DIGITS.fullmatch(address) or _SOURCE_LATIN.fullmatch(address)):
        return address
    hint = "pass at most 11 Latin characters, or at most 15 digits without '+'"
    raise ValidationError("source_address", mask_source(address), hint)
