"""Finds the login code in the text of a message."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache

_DIGIT = re.compile("[0-9]")
_LETTER = r"[^\W\d_]"
# The words near which a code stands, with their inflections and in Latin letters. No letter touches a word,
# except in compounds such as "passcode" and "пин-код".
_WORD = re.compile(
    rf"(?<!{_LETTER})(?:(?:pass|pin|otp|пин)?-?(?:codes?|код(?:а|у|ом|е|ы|ов|ам|ами|ах)?)"
    r"|парол(?:ь|я|ю|ем|е|и|ей|ям|ями|ях)|passwords?|pins?|пин(?:а|у|ом|е)?|otps?|kod(?:a|u|om|e)?"
    rf"|parol(?:['’]|[yiu]a?|em)?)(?!{_LETTER})",
    re.IGNORECASE,
)
# Other codes: a word of this kind counts only if the text has no word of the first kind.
_OTHER_WORD = re.compile(
    r"(?:qr|bar|zip|promo|post|postal|area|country|dress|source|coupon|gift|штрих|промо|куар)"
    rf"[- ]?(?:codes?|код(?:а|у|ом|е|ы|ов|ам|ами|ах)?)(?!{_LETTER})",
    re.IGNORECASE,
)
_MONTH = (
    r"(?:янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек"
    r"|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[^\W\d_]{0,6}\.?"
)
_INTEGER = r"(?:[0-9]{1,3}(?:[ ,.][0-9]{3}){1,4}(?![0-9])|[0-9]{1,12})"
_AMOUNT = rf"(?<![^\W_]){_INTEGER}(?:[.,][0-9]{{1,2}})?"
_CURRENCY = (
    rf"(?:[₽$€£₸₴%]|(?:р|руб(?:л[^\W\d_]{{1,3}})?|коп|rub|usd|eur|gbp|kzt|тг|тенге|byn|грн|сум|долл[^\W\d_]{{0,5}}"
    rf"|евро|тыс|балл[^\W\d_]{{0,3}}|бонус[^\W\d_]{{0,3}}|points?)(?!{_LETTER}))"
)
_UNIT = (
    r"(?:мин(?:ут[^\W\d_]?)?|сек(?:унд[^\W\d_]?)?|час(?:а|ов)?|дн(?:я|ей)|день|сут(?:ок|ки)?|шт|раза?|цифр[^\W\d_]?"
    r"|символ[^\W\d_]{0,2}|знак[^\W\d_]{0,2}|км|кг|гб|мб|gb|mb|min(?:ute)?s?|sec(?:ond)?s?|hours?|hrs?|days?|digits?)"
    rf"(?!{_LETTER})"
)
# Parts of a text whose digits are no code. Each part has a limited length, so that the search takes linear
# time.
_NO_CODE = re.compile(
    "|".join(
        [
            r"(?:https?://|www\.)\S+",
            r"\.[a-zа-яё]{2,10}/\S*",
            # Telephone numbers: with a plus sign, with the national prefix, in groups, and short ones.
            r"\+[0-9](?:[ ().-]{0,3}[0-9]){6,14}(?![0-9])",
            r"(?<![0-9])[0-9][ -]?\(?[0-9]{3}\)?[ -]{0,2}[0-9]{3}[ -][0-9]{2}[ -]?[0-9]{2}(?![0-9])",
            r"(?<![0-9])[0-9][ -]\(?[0-9]{3}\)?[ -]{1,2}[0-9]{3}[ -]?[0-9]{4}(?![0-9])",
            r"\([0-9]{3,5}\)[ -]?[0-9]{1,3}(?:[ -]?[0-9]{2,4}){1,3}(?![0-9])",
            r"(?<![0-9-])[0-9]{3}[-.][0-9]{3}[-.][0-9]{4}(?![0-9])",
            r"(?<![0-9])[0-9]{2,3}-[0-9]{2}-[0-9]{2}(?![0-9-])",
            r"[0-9]{11,}",
            # Dates and years.
            r"(?<![0-9])[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?![0-9])",
            r"(?<![0-9])[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}(?![0-9])",
            rf"(?<!{_LETTER}){_MONTH} ?(?:[0-9]{{1,2}}(?:st|nd|rd|th)?)?,? ?(?:19|20)[0-9]{{2}}(?![0-9])",
            rf"(?<![0-9])(?:19|20)[0-9]{{2}}(?= ?(?:г|год[^\W\d_]{{0,2}}|years?)(?!{_LETTER}))",
            r"© ?[0-9]{4}",
            # Amounts of money and quantities.
            rf"(?:[$€£]|(?<!{_LETTER})(?:rub|usd|eur)) ?{_INTEGER}",
            r"(?<![0-9])[0-9]{1,2}-(?:знач|digit)",
            rf"{_AMOUNT} ?-?(?:{_CURRENCY}|{_UNIT})",
            # The last digits of a bank card. Asterisks around a number are bold type.
            r"[*•·×]{1,12} ?[0-9]{4}(?![0-9*])",
        ]
    ),
    re.IGNORECASE,
)
_SEPARATOR = "[ –-]"
# No letter, digit or part of a date, a time or an amount of money touches a number. A code may be written in
# groups: 123 456, 123-456, 1234-5678, or digit by digit.
_START = r"(?<![^\W_])(?<![0-9][.,:/])(?<![0-9]-)"
_END = r"(?![^\W_])(?![.,:/@-][0-9]|@)"
_GROUPS = (
    rf"[0-9]{{3}}{_SEPARATOR}[0-9]{{3}}(?!{_SEPARATOR}[0-9])|[0-9]{{4}}-[0-9]{{4}}"
    rf"|[0-9](?:{_SEPARATOR}[0-9]){{3,7}}"
)
_NUMBER = re.compile(rf"{_START}(?:{_GROUPS}|[0-9]{{1,10}}){_END}")
_PLAIN_NUMBER = re.compile(rf"(?<![№#])(?<![№#] ){_START}[0-9]{{4,8}}{_END}")
# A word and a code without a space between them: "код1234", "1234код".
_GLUED = re.compile(
    rf"(?:{_WORD.pattern})(?=[0-9])|(?<![^\W_])[0-9]{{4,8}}(?={_WORD.pattern})", re.IGNORECASE
)
# The last line of a message for browsers: "@example.com #123456" (Origin-bound one-time codes).
_BOUND = re.compile(r"^@[^\s@#]{1,255} #([0-9]{3,10})(?:[ \t]|$)", re.MULTILINE)
_CLAUSE_END = re.compile(r"[,.!?;](?!\S)|\n")
# Between a word and the code that follows directly: no other word and no end of a sentence.
_DIRECTLY = re.compile(
    r"[^\w.!?;]*(?:(?:is|was|это|number|no|номер|n)(?![^\W_])\.?)?[^\w.!?;]*", re.IGNORECASE
)
# Before a code that a colon, a dash, "is" or "это" names.
_LABEL_END = re.compile(rf"(?:[:=—–→]|(?<!{_LETTER})(?:is|это))[\"'«“*\s]*\Z", re.IGNORECASE)
# Before the number of another thing, for example "order no. 5512".
_THING = re.compile(
    rf"(?:[№#]|(?<!{_LETTER})(?:заказ|брон|заявк|договор|сч[её]т|чек|билет|карт|рейс|аккаунт|номер|накладн"
    r"|посылк|отправлени|трек|полис|кабинет|магазин|квартир|домофон|офис|тел|позвон|звон|логин|операци|сумм|баланс"
    r"|order|booking|invoice|account|card|flight|number|ref|ticket|case|room|shop|call|id|user|login"
    rf"|transaction|amount|total|balance|no){_LETTER}{{0,5}})"
    r"[^\w\n]{0,4}(?:(?:no|n|is|at|in|по|на|ending|us|номер|номеру|номером)(?![^\W_])[^\w\n]{0,3}){0,3}\Z",
    re.IGNORECASE,
)
# Typographic spaces and hyphens, and invisible characters.
_PLAIN = str.maketrans(
    {**dict.fromkeys("\u00a0\u2007\u2009\u202f", " "), **dict.fromkeys("\u2010\u2011\u2012", "-")}
    | dict.fromkeys("\u00ad\u200b\u200e\u200f\u2060\ufeff")
)
# The parts of a text between a word and a number are read up to this length.
_FAR = 200
_SHORTEST, _LONGEST = 4, 8


# The page and each search read the codes of the same messages again.
@lru_cache(maxsize=1024)
def find_code(text: str) -> str | None:
    """Return the login code in a text, or None if the text has no code or several numbers.

    The code is a string of digits with its leading zeros, as a user would type the code: 123-456 is "123456".

    The code is the number of 4 to 8 digits nearest to a word such as code, код, пароль, PIN or OTP. The
    distance is the number of characters between the word and the number. A number that follows the word
    directly comes first ("code: 1234"). Then come a number after a colon, a dash, "is" or "это" ("code for
    order 5512: 1234"), the numbers in the same clause, and the numbers in other clauses. A number that
    names another thing ("order 5512", "№ 5512") comes last. If the text has no such number, a number of
    another length may follow the word. If the last line is "@example.com #1234", the code is in this line.

    A text without such a word has a code if exactly one number has 4 to 8 digits and no "№" or "#" precedes
    the number. Links, telephone numbers, dates, times, durations, amounts of money, the last digits of a bank
    card and numbers with letters do not count.

    Args:
        text: the text of a message.
    """
    if _DIGIT.search(text) is None:
        return None
    text = text.translate(_PLAIN)
    bound = _BOUND.findall(text)
    if bound:
        return str(bound[-1])
    searched = _GLUED.sub(r"\g<0> ", _NO_CODE.sub(lambda match: "_" * len(match[0]), text))
    words = _words(searched)
    if not words:
        numbers = {match[0] for match in _PLAIN_NUMBER.finditer(searched)}
        return numbers.pop() if len(numbers) == 1 else None
    ranked = [
        (rank, number[0]) for number in _NUMBER.finditer(searched) for rank in _ranks(searched, words, number)
    ]
    return re.sub(r"[^0-9]", "", min(ranked, key=lambda each: each[0])[1]) if ranked else None


def _words(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each word near which a code stands."""
    others = [match.span() for match in _OTHER_WORD.finditer(text)]
    ends = {end for _, end in others}
    return [match.span() for match in _WORD.finditer(text) if match.end() not in ends] or others


def _ranks(text: str, words: list[tuple[int, int]], number: re.Match[str]) -> Iterator[tuple[int, int, bool]]:
    """Yield the rank of a number for the word before and for the word after. The lowest rank wins.

    A rank contains the class of the number, the distance, and whether the number precedes the word.
    """
    following = bisect_right(words, number.span())
    is_named = _THING.search(text, max(0, number.start() - 40), number.start()) is not None
    digits = sum(map(str.isdigit, number[0]))
    for precedes in (False, True):
        index = following - (not precedes)
        if not 0 <= index < len(words):
            continue
        start, end = (number.end(), words[index][0]) if precedes else (words[index][1], number.start())
        between = text[start : min(end, start + _FAR)]
        is_near = end - start <= _FAR
        kind = _kind(between, digits, is_named=is_named, precedes=precedes) if is_near else 3 + 2 * is_named
        if kind is not None and (is_near or _SHORTEST <= digits <= _LONGEST):
            yield kind, end - start, precedes


def _kind(between: str, digits: int, *, is_named: bool, precedes: bool) -> int | None:
    """Return the class of a number from 0 (the best) to 6, or None if the number is no code."""
    is_direct = not precedes and len(between) <= 40 and _DIRECTLY.fullmatch(between) is not None
    is_one_clause = _CLAUSE_END.search(between.rstrip()) is None
    is_label = not precedes and is_one_clause and _LABEL_END.search(between) is not None
    if not _SHORTEST <= digits <= _LONGEST:
        is_possible = digits >= _SHORTEST - 1 and is_one_clause and not is_named
        return 4 if is_direct or is_label else 6 if is_possible else None
    if is_direct:
        return 0
    if is_label:
        return 1
    if is_named:
        return 5
    return 2 if is_one_clause else 3
