"""Find the column with the phone numbers by the headings of a table."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from smsapi_async.cli.tables.inputs import ARGUMENT
from smsapi_async.errors import ValidationError

_OPTION = "--column"
# An error shows at most 30 headings, and 40 characters of each heading.
_NAMES_SHOWN = 30
_LENGTH_SHOWN = 40
# The greatest length of a usual heading.
_LENGTH_COMPARED = 60

# A heading with one of these words names phone numbers.
_PHONE = (
    "phones|phone|telephone|telefone|telefono|téléphone|telefon|tel|mobiles|mobile|mob|cellular|cellphone|cell"
    "|msisdn|gsm|handy|handynummer|телефоны|телефона|телефон|телефонный|тел"
    "|мобильный|мобильного|мобильные|моб|сотовый|сотового|сот"
)
# These words may stand beside such a word without a change of the meaning.
_BESIDE = (
    "numbers|number|num|no|nr|n|value|main|primary|personal|private|home|work|business|office|company|other|car"
    "|assistants|assistant|contact|customer|client|user|recipient|destination|sms|for|s|номера|номер|ном|основной"
    "|контактный|рабочий|раб|домашний|дом|личный|дополнительный|городской|клиента|абонента|получателя|контакта"
    r"|покупателя|заказчика|для|смс|связи|\d"
)
_KNOWN = re.compile(f"(?:{_BESIDE})*(?:{_PHONE})(?:{_PHONE}|{_BESIDE})*")
_EXACT = frozenset({"destinationaddress"})
# A word that begins so names phone numbers, but other words of the heading may change the meaning.
_STEM = re.compile(
    r"phone(?!t|m)|(?<!auto)mobile|telef(?!ax)|téléph|телефон(?!и[яи])|(?<!авто)мобильн|сотов(?!ариществ)"
)
_WORDS = frozenset({"tel", "cell", "mob", "msisdn", "gsm", "тел", "моб", "сот"})
# A heading with one of these words names a property of a phone number, or something else.
_OTHER = frozenset(
    [
        *("type", "label", "ext", "extension", "code", "country", "operator", "provider", "carrier", "model"),
        *("os", "verified", "fax", "pager", "date", "email", "mail", "status", "region", "brand", "app"),
        *("address", "is", "has", "count", "тип", "код", "оператор", "оператора", "марка", "модель", "доб"),
        *(
            "добавочный",
            "метка",
            "регион",
            "статус",
            "факс",
            "пейджер",
            "дата",
            "почта",
            "адрес",
            "бренд",
            "приложение",
        ),
    ]
)
# These headings name phone numbers only if the table has no other column: they also name orders or contracts.
_BARE = frozenset({"number", "numbers", "номер", "номера"})


def column_list(columns: Sequence[str]) -> str:
    """Return the names of columns for an error, each name once."""
    names = [f"{name[:_LENGTH_SHOWN]!r}" for name in dict.fromkeys(columns) if name]
    more = [f"and {len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return ", ".join(names[:_NAMES_SHOWN] + more)


def number_column(columns: Sequence[str], given: str | None) -> str:
    """Return the name of the column with the phone numbers.

    Without `given`, the table must have exactly one column whose heading may name phone numbers, and the
    heading must be a usual one, or the table has only one column. The column is never guessed: a message to a
    wrong column would go to a wrong person.

    Args:
        columns: the headings of the table.
        given: the value of the option ``--column``: a heading, as it stands or without regard to case, spaces
            and marks.

    Raises:
        ValidationError: if the column is missing, ambiguous or repeated.
    """
    found = _given_column(columns, given) if given is not None else _only_column(columns)
    if columns.count(found) > 1:
        raise ValidationError(
            ARGUMENT, f"the repeated column {found[:_LENGTH_SHOWN]!r}", "rename one of the columns"
        )
    return found


def is_phone_heading(name: str) -> bool:
    """Return whether a heading certainly names phone numbers."""
    # Longer values are texts. The limit also bounds the time of the search.
    if len(name) > _LENGTH_COMPARED:
        return False
    plain = _plain(name)
    return plain in _EXACT or _KNOWN.fullmatch(plain) is not None


def matches_heading(given: str | None) -> Callable[[str], bool]:
    """Return a function that says whether a value is the heading of the column with the phone numbers.

    Args:
        given: the value of the option ``--column``, or None.
    """
    plain = "" if given is None else _plain(given)

    def matches(value: str) -> bool:
        if is_phone_heading(value):
            return True
        return plain != "" and len(value) <= len(plain) + _LENGTH_COMPARED and _plain(value) == plain

    return matches


def _given_column(columns: Sequence[str], given: str) -> str:
    if given in columns:
        return given
    plain = _plain(given)
    found = [name for name in columns if plain and _plain(name) == plain]
    if not found:
        raise ValidationError(
            _OPTION, f"the column {given[:_LENGTH_SHOWN]!r}", f"the columns are {column_list(columns)}"
        )
    if len(set(found)) > 1:
        hint = f"several columns have this name; pass one of {column_list(found)}"
        raise ValidationError(_OPTION, f"the column {given[:_LENGTH_SHOWN]!r}", hint)
    return found[0]


def _only_column(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return columns[0]
    possible = [name for name in columns if _may_name_phones(name)]
    known = [name for name in possible if is_phone_heading(name)]
    if known and len(set(possible)) == 1:
        return known[0]
    if len(set(possible)) > 1:
        hint = f"several columns may have the phone numbers; pass one of {column_list(possible)}"
    else:
        hint = f"pass one of {column_list(columns)}"
    raise ValidationError(_OPTION, "an unset value", hint)


def _may_name_phones(name: str) -> bool:
    """Return whether a heading names phone numbers, or may name phone numbers."""
    if is_phone_heading(name) or _plain(name) in _BARE:
        return True
    words = _words(name)
    if _OTHER.intersection(words):
        return False
    return any(word in _WORDS or _STEM.search(word) for word in words)


def _words(name: str) -> list[str]:
    # A capital letter inside of a word begins a word, as in phoneNumber.
    spaced = re.sub(r"(?<=[^\W\d_])(?<![A-ZА-Я])(?=[A-ZА-Я])", " ", unicodedata.normalize("NFKC", name))
    return re.findall(r"[^\W\d_]+|\d+", spaced.lower().replace("ё", "е"))


def _plain(name: str) -> str:
    """Return a heading in small letters without spaces and marks."""
    text = unicodedata.normalize("NFKC", name).casefold().replace("ё", "е")
    return "".join(mark for mark in text if mark.isalnum())
