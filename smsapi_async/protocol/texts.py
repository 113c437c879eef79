"""Makes texts of the gateway well-formed, so that a file or a database in UTF-8 can store the texts."""

import re

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Return a text with each lone surrogate replaced by U+FFFD, the replacement character.

    A JSON string may contain a lone surrogate (RFC 8259, 8.2). A lone surrogate cannot be encoded in UTF-8.
    """
    return _LONE_SURROGATES.sub("\ufffd", text)
