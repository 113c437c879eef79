"""Names an unusual form of a login or a password, which is a probable cause of a refused login."""

import unicodedata

# The categories of Unicode: control, format and surrogate characters; line and paragraph separators; spaces.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_LINE_BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_FROM_A_FILE = " (the content of a file often has one at its end: pass `text.strip()`)"


def credentials_hint(login: str, password: str) -> str:
    """Return a description of unusual characters in the login and the password, without the values.

    Args:
        login: the login of the account. A space anywhere in the login is unusual.
        password: the password of the account. A space inside the password is usual.

    Returns:
        One clause for each value with an unusual form, such as "the password ends with a line break"; ""
        if both values have the usual form.
    """
    clauses = (_clause("login", login, may_contain_spaces=False), _clause("password", password))
    return "; ".join(clause for clause in clauses if clause)


def _clause(name: str, value: str, *, may_contain_spaces: bool = True) -> str:
    if value[-1:] in _LINE_BREAKS:
        return f"the {name} ends with a line break{_FROM_A_FILE}"
    inner = value.strip()
    if not inner:
        return f"the {name} contains only spaces"
    if value[0] != inner[0]:
        return f"the {name} begins with {_kind(value[0])}"
    if value[-1] != inner[-1]:
        return f"the {name} ends with {_kind(value[-1])}"
    for character in value:
        is_usual = character == " " and may_contain_spaces
        if not is_usual and unicodedata.category(character) in _INVISIBLE:
            return f"the {name} contains {_kind(character)}"
    return ""


def _kind(character: str) -> str:
    if character in _LINE_BREAKS:
        return "a line break"
    if character == "\t":
        return "a tab"
    return "a space" if unicodedata.category(character) == "Zs" else "an invisible character"
