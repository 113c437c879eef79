"""The placeholders in the segment ids of a redacted ledger. No request may contain them."""

from typing import Final

NUMBER: Final = "<number>"
"""Stands in place of the whole number of a recipient."""

NATIONAL_PART: Final = "<national>"
"""Stands in place of the last ten digits of the number of a recipient."""


def has_placeholder(segment_id: str) -> bool:
    """Return whether a segment id contains a placeholder in place of a number."""
    return NUMBER in segment_id or NATIONAL_PART in segment_id
