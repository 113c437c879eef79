"""Texts of the gateway that every program can store."""

import re

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Return a text in which U+FFFD replaces each lone surrogate.

    JSON can contain a lone surrogate, for example of an emoji that was cut into halves. UTF-8, and therefore
    a file or a database, cannot store a lone surrogate.
    """
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
