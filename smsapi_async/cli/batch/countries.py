"""The country of a phone number, for the counts of a dry run."""

from collections.abc import Sequence

import phonenumbers
from phonenumbers import NumberParseException

UNKNOWN = "unknown"
"""The country of a number that the library phonenumbers does not know."""
_INTERNATIONAL = "international"
# The code of the library phonenumbers for numbers of no country, for example of satellite phones.
_NO_COUNTRY = "001"
_NORTH_AMERICA = "1"


class Countries:
    """Finds the countries of phone numbers. The numbers of one prefix are in one country."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, str] = {}

    def country(self, number: str) -> str:
        """Return the country of a number: two letters (ISO 3166-1), ``international`` or ``unknown``.

        Args:
            number: a phone number in international format, without ``+``.
        """
        # In North America, the area code determines the country. The last four digits of a number determine
        # a country nowhere.
        prefix = number[:4] if number.startswith(_NORTH_AMERICA) else f"{number[:-4]}/{len(number)}"
        found = self._by_prefix.get(prefix)
        if found is None:
            found = _country(number)
            if found != UNKNOWN:
                self._by_prefix[prefix] = found
        return found


def _country(number: str) -> str:
    if len(number) == 11 and number.startswith("79"):
        return "RU"  # Most numbers of most tables. The library needs a hundred times as long.
    regions = _regions(number)
    if len(regions) == 1:
        return _INTERNATIONAL if regions[0] == _NO_COUNTRY else regions[0]
    try:
        found = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{number}"))
    except NumberParseException:
        return UNKNOWN
    return found or UNKNOWN


def _regions(number: str) -> Sequence[str]:
    """Return the regions that share the country code of a number. A country code has at most three digits."""
    codes = (int(number[:length]) for length in (1, 2, 3))
    known = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    return next((known[code] for code in codes if code in known), ())
