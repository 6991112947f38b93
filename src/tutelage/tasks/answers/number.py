"""Exact numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import NamedTuple

from tutelage.tasks.answers.formatting import word_set
from tutelage.tasks.answers.spans import LONGEST, announced, boxed_spans, is_denied, sentences_of, span_of


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number: "5.0" is "5", "1,200" is "1200", "1/2" is "0.5", "2/6" is "1/3".

    Read are also "negative 5", "2½", "5 and a half", "$1.2M", "3 lakh", "2^10", "3 × 10^5" and roots that come out
    even. A percent sign is left out: "50%" is "50", as the published gold answers have it.

    A number counts only where the rest of the span is known to leave it as it is: currency, units and nouns ("12
    meters per second"), or an approximation ("about 12"). Bounds ("at least 5"), what may be a multiple ("2 dozen"),
    unknowns ("3y"), "5!" (a factorial or an exclamation), "±5", ranges, ordinals, times, dates, powers of units
    excepted anything with digits of its own, infinity and numbers of more than 60 digits are unread, and so are number
    words ("twelve"). Commas group by three; "3,4" is no number.
    """

    name: str = "number"
    expected: str = "a number such as 17, -3, 1,200.50 or 1/3"

    def canonical(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """See `AnswerType.canonical`. Of "5 + 3 = 8" what follows the last equals sign is read."""
        span = span_of(text)
        return _read(span) if len(span) <= LONGEST else None

    def find(self, text: str, choices: Sequence[str] = ()) -> str | None:
        """The number last boxed or announced, else that of the last sentence with a number in it.

        There the number behind the last equals sign counts ("10 - 4 = 6 more than 3" is 6), or else the only number.
        """
        for span in (*boxed_spans(text), *announced(text)):
            answer = self.canonical(span)
            if answer:
                return answer
        for sentence in reversed(sentences_of(text)):
            if not any(ch.isdigit() for ch in sentence):
                continue
            sentence = sentence[-LONGEST:]
            if "=" in sentence:
                return _result(sentence.rpartition("=")[2])
            return _read(sentence)
        return None

    def same(self, first: str, second: str) -> bool:
        """See `AnswerType.same`. Equal as numbers."""
        one, other = _value(first), _value(second)
        return first == second if one is None or other is None else one == other


DIGITS = 60
"""Longer numbers are refused: nobody asks for them, and a model that loops writes them."""


class _Found(NamedTuple):
    value: Fraction | None
    """None for what looks like a number and is none ("3,4", "12:30", "1/0")."""
    start: int
    end: int


# The grammar of one number

_MINUS = "-–−‒－"
_CURRENCY = r"[$€£¥₹₩₽₺₪฿₫₴₦]"
_NUMBER = re.compile(
    rf"(?<![\w.,/:^√])(?P<sign>(?<![\w)\]]\s)[{_MINUS}+](?=[$€£¥₹\d.½¼¾⅐-⅞])|(?i:negative|minus)\s+)?"
    rf"(?P<currency>(?:US|A|C|HK|NZ|S)?{_CURRENCY}\s?)?(?P<inner>[{_MINUS}+])?"
    r"(?P<body>(?:[0-9]|\.[0-9])[0-9.,/:]*(?:[eE][-+]?[0-9]+(?![\w]))?(?:\s[0-9]+/[0-9]+(?![0-9/]))?)?"
    r"(?P<vulgar>\s?[½¼¾⅐-⅞])?"
)
_BODY = re.compile(
    r"(?:(?P<whole>[0-9]+)\s)?(?P<top>[0-9]+)/(?P<bottom>[0-9]+)"
    r"|(?P<plain>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?)"
)
_VULGAR = {
    "½": "1/2", "¼": "1/4", "¾": "3/4", "⅐": "1/7", "⅑": "1/9", "⅒": "1/10", "⅓": "1/3", "⅔": "2/3", "⅕": "1/5",
    "⅖": "2/5", "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_THOUSANDS = re.compile(r"(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_AND_A_PART = re.compile(
    r"\s+and\s+(?:(?:a|one)[\s-]+(?P<part>half|quarter|third)\b|(?P<fraction>[0-9]+/[0-9]+|[½¼¾⅐-⅞])(?![0-9/]))", re.I
)
_SCALE = re.compile(
    r"\s*-?(?P<word>hundred|thousand|million|billion|trillion|lakhs?|lacs?|crores?)\b(?!\s*(?:and\s+)?\d)"
    r"|(?P<short>[kK]|[mM]n|[bB]n)(?![\w²³^])|\s(?P<spaced>mn|bn|mln)(?![\w²³^])",
    re.IGNORECASE,
)
_MONEY_SCALE = re.compile(r"\s?(?P<letter>[mMbBtT])(?![\w²³^/])")
_SCALES = {
    "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "lakh": 5, "lac": 5, "crore": 7,
    "k": 3, "mn": 6, "mln": 6, "bn": 9, "m": 6, "b": 9, "t": 12,
}  # fmt: skip
"""Powers of ten."""
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_POWER = re.compile(
    r"\s?\^\s?(?:\((?P<inside>[-−]?[0-9]{1,3})\)|(?P<bare>[-−]?[0-9]{1,3}))(?![\w.(])|(?P<super>⁻?[⁰¹²³⁴-⁹]{1,3})"
)
_TIMES_TEN = re.compile(r"\s?[×x*·]\s?10(?=\s?\^|⁻?[⁰¹²³⁴-⁹])")
_ROOT = re.compile(
    r"(?<![\w.,/:^)])(?P<sign>[-−–])?(?:√(?:\[(?P<index>[23])\])?|(?P<cube>∛)|(?i:sqrt|the\s+square\s+root\s+of|square\s+root\s+of|"
    r"(?P<cubed>(?:the\s+)?cube\s+root\s+of)))\s*(?P<open>\()?\s*(?P<of>[0-9]{1,30}(?:\.[0-9]{1,20})?(?:/[0-9]{1,20})?)\s*(?(open)\))"
    r"(?![\w.,/^(!]*\d)"
)
_AFTER_NUMBER = re.compile(
    r"(?<=\d\d\d0)s\b|\s?[\^!‰×*·÷√∛]|[²³¹⁰⁴-⁹]|\.\.|…|(?:st|nd|rd|th)s?\b|\s?\+|['’]\d|_|\s?\^|\u0305|\("
)


def _numbers(text: str) -> Iterator[_Found]:
    """Numbers of a text in order."""
    roots = list(_ROOT.finditer(text))
    written = [match for match in _NUMBER.finditer(text) if match["body"] or match["vulgar"]]
    at = 0
    for match in sorted([*roots, *written], key=lambda match: match.start()):
        if match.start() >= at:
            found = _Found(_root(match), *match.span()) if match.re is _ROOT else _number(text, match)
            at = found.end
            yield found


def _root(match: re.Match[str]) -> Fraction | None:
    of = _unsigned(match["of"])
    degree = 3 if match["cube"] or match["cubed"] or match["index"] == "3" else 2
    value = None if of is None else _exact_root(of, degree)
    return -value if value is not None and match["sign"] else value


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    parts: list[int] = []
    for whole in (value.numerator, value.denominator):
        root = isqrt(whole) if degree == 2 else round(whole ** (1 / 3))
        if root**degree != whole:
            return None
        parts.append(root)
    return Fraction(parts[0], parts[1])


def _number(text: str, match: re.Match[str]) -> _Found:
    body = match["body"] or ""
    cut = len(body) - len(body.rstrip(".,:/")) if not match["vulgar"] else 0
    end = match.end() - cut
    value = _unsigned(body.rstrip(".,:/")) if body else Fraction(0)
    if match["vulgar"]:
        whole = value is not None and value.denominator == 1 and "/" not in body
        value = value + Fraction(_VULGAR[match["vulgar"].strip()]) if whole and value is not None else None
    signs = [match[group].strip().lower() for group in ("sign", "inner") if match[group]]
    minus = sum(sign not in ("+", "") for sign in signs)
    if len(signs) > 1 and minus:
        minus, value = (1, value) if minus == 1 else (0, None)
    value, end = _scaled(text, value, end, money=bool(match["currency"]))
    if minus and value is not None:
        value = -value
    if (cut and text[end : end + 2] == "..") or (not cut and _AFTER_NUMBER.match(text, end)):
        value = None
    return _Found(value, match.start(), end)


def _scaled(text: str, value: Fraction | None, end: int, *, money: bool) -> tuple[Fraction | None, int]:
    """A number with what follows it: a power, "million", "and a half"."""
    ten = _TIMES_TEN.match(text, end)
    power = _POWER.match(text, ten.end() if ten else end)
    if power:
        digits = (power["inside"] or power["bare"] or power["super"]).translate(_SUPERSCRIPTS).replace("−", "-")
        base = Fraction(10) if ten else value
        raised = None if base is None else _power(base, int(digits))
        if ten and raised is not None:
            raised = None if value is None else value * raised
        return raised, power.end()
    part = _AND_A_PART.match(text, end)
    if part and value is not None and value.denominator == 1:
        share = {"half": "1/2", "quarter": "1/4", "third": "1/3"}.get((part["part"] or "").lower()) or part["fraction"]
        added = _unsigned(_VULGAR.get(share, share))
        if added is not None and added < 1:
            value, end = value + added, part.end()
    for _ in range(2):  # "5 hundred thousand"
        scale = _SCALE.match(text, end) or (_MONEY_SCALE.match(text, end) if money else None)
        if not scale or value is None:
            break
        word = next(group for group in scale.groups() if group).lower()
        value, end, money = value * 10 ** _SCALES[word.rstrip("s")], scale.end(), False
    return value, end


def _power(base: Fraction, exponent: int) -> Fraction | None:
    if abs(exponent) > 2 * DIGITS or (base == 0 and exponent <= 0):
        return None
    largest = max(len(str(base.numerator)), len(str(base.denominator)))
    return base**exponent if largest * abs(exponent) <= 4 * DIGITS else None


def _unsigned(body: str) -> Fraction | None:
    match = _BODY.fullmatch(body)
    if not match or not 0 < len(body) <= DIGITS:
        return None
    if match["top"]:
        if int(match["bottom"]) == 0:
            return None
        return int(match["whole"] or 0) + Fraction(int(match["top"]), int(match["bottom"]))
    return Fraction(match["plain"].replace(",", ""))


def _value(text: str) -> Fraction | None:
    """The number that a canonical text is."""
    value = _unsigned(text.removeprefix("-"))
    return -value if value is not None and text.startswith("-") else value


def _number_text(value: Fraction) -> str | None:
    """An integer, else a decimal where one is exact within 20 places, else a fraction in lowest terms."""
    text = str(value)  # "17", "-3", "1/3"
    for places in range(1, 21) if value.denominator != 1 else ():
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
            text = f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
            break
    return text if len(text.removeprefix("-")) <= DIGITS else None


# What may stand around a number

_SUM = re.compile(
    rf"[0-9)]\s*[+*×·÷]\s*[($]?[0-9]|[0-9)]\s+[{_MINUS}/x]\s+[($]?[0-9]|[0-9]\s?[{_MINUS}x~][0-9]|^[{_MINUS}]\s"
)
_EQUALS = re.compile(r".*(?:[=⇒→≈]|\b(?:equals|equal\s+to)\b)", re.DOTALL | re.IGNORECASE)
_SEVERAL = re.compile(r"\b[a-zA-Z]\s*=[^=\n]*?(?:[,;]|\band\b|\bor\b)\s*[a-zA-Z]\s*=")
"""Values of two unknowns, or two of one: "x = 2, y = 3"."""
_UNKNOWN = re.compile(r"^[(\s]*(?:so\s+)?[a-zA-Z](?:\s+(?:is|was|must\s+be|would\s+be)\s+|\s*:\s*)(?=[^a-z]*\d)")
_UNIT_POWER = re.compile(
    r"(?<=[A-Za-zµ])(?:\^\(?[-−]?[23]\)?|⁻?[²³])(?!\w)|(?<![a-zA-Z])(?P<unit>[ckmd]?m|ft|in|yd|mi|s)[23](?!\w)|(?:(?<=CO)|(?<=H))2(?=O\b|\b)"
)
_SYMBOLS = re.compile(r"[^\s.,;:!?\"'’‘“”()\[\]{}$€£¥₹₩₽₺₪฿₫₴₦¢°%#~≈…/&´`′″–—\-\w]|[_ªº]")
_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
_LATIN = re.compile(r"[a-zA-ZÀ-ɏµ']+")
_SHORT_UNITS = word_set(
    "g kg mg ug µg lb lbs oz km m cm mm nm µm um mi ft in yd dm hm h hr hrs min mins s sec secs ms ns wk wks "
    "yr yrs l L ml mL dl cl gal qt pt kB KB MB GB TB kb Mb Gb W kW MW kWh V mV A mA N J kJ cal Hz kHz MHz GHz "
    "Pa kPa C F p c ct cts am pm AM PM mph kph kmh rpm dB ha ac sq pg pp pcs pc ea yo dpi px bps a I to at on "
    "of is it so we he my me us by be do an as up go mol bar psi oC oF ºC °C pH cc dy mo mos kcal Cal atm lm "
    "lx rad deg USD EUR GBP Rs rs kr zł "
)
"""What a number of a few letters may be followed by, and short words of a sentence."""
_NUMBER_WORDS = word_set(
    "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety couple hundred "
    "hundreds thousand thousands million millions billion billions trillion trillions dozen dozens "
)
_OPERATIONS = word_set(
    "negative minus twice double doubled doubles triple tripled thrice quadruple quadrupled squared cubed "
    "sqrt factorial log ln sin cos tan exp mod modulo pi tau infinity infinite divided multiplied subtracted "
    "reciprocal exponent overline menos moins negativo negatif negativ plusminus recurring repeating permille "
    "squareroot binom halved "
)
"""Words that make another number of the one they stand with, wherever in a span they stand."""
_PARTS = (
    r"(?:half|halves|quarters?|thirds?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?|"
    r"dozens?|scores?|gross|hundreds?|thousands?|millions?|billions?|trillions?|quadrillions?|lakhs?|lacs?|crores?|k|mn|bn|mln|"
    r"mil|mille|millones|millon|milliards?|milliarden?|mio|mrd|tsd|tausend|hundert|mitad|halbe?|demie?|medio|docenas?|dutzend|"
    r"douzaines?|myriad|below|minus|plus|point|ish|root|power|bar)\b"
)
_PART_AFTER = re.compile(
    rf"\s*-?\s*{_PARTS}|\s+(?:of\s+(?:a|an|the)\s+)?{_PARTS}|.*\band\s+(?:a|one)[\s-]+(?:half|quarter|third)\b",
    re.I | re.S,
)
_PART_BEFORE = re.compile(rf"\b{_PARTS[:-2]}\b(?:[\s-]+(?:of|a|an|the|and|than|that|is))*[\s-]*\(?$", re.IGNORECASE)
_OR_AFTER = re.compile(
    r"\s*,?\s*or\b(?!\s+so\b)|.*\bor\s+(?:more|less|fewer|higher|lower|greater|above|below|over|under)\b|.*\b(?:if|unless)\b",
    re.I | re.S,
)
_DENIED_AFTER = re.compile(
    r"[\s\"')]*(?:(?:is|was|isn't|wasn't|cannot|can't|couldn't|would|wouldn't|seems|must)\b.*?(?:\bnot\b|n't\b|\bwrong\b|\bincorrect\b|\bfalse\b)"
    r"|isn't\b|wasn't\b|cannot\b|can't\b|couldn't\b|wouldn't\b|[(,:-]?\s*(?:wrong|incorrect|not\s+(?:right|correct))\b)",
    re.I | re.S,
)
_BOUNDS_BEFORE = re.compile(
    r"(?:\b(?:least|most|than|over|under|above|below|beyond|exceed(?:s|ing)?|up\s+to|between|until|minimum\s+of|maximum\s+of|"
    r"min|max|times|by|of\s+the|every|squared?|every\s+other|nearest|multiple\s+of|factors?\s+of|power\s+of|approaches|"
    r"less|fewer|more|greater|within|but|no|all|version|type|number\s+of|mid|pre|post|non|page)[-\s]+|[<>≤≥]\s*)\(?$",
    re.IGNORECASE,
)
_SPOILT = re.compile(rf"[^\W\d_]-$|[\d'’]$|[{_MINUS}+]\s*\(?$")
"""Before a number: "COVID-", "1'", a sign that is not its own."""
_CYRILLIC = re.compile(r"тыс|милл?и|млн|млрд|минус|полов|полтор|дюжин|сот|сто\b|корень|пол\b|четверт", re.IGNORECASE)
_CJK_UNITS = set("个個元円圆人岁歳年月日天次本只枚张張台件米公里斤克小时分钟秒块塊条名位")
_TIMES = re.compile(
    r"\s*times\b(?!\s*(?:[.,;!?)]|$|(?:as|more|a|an|per|each|every|in|during|total|this|last|today|larger|greater|smaller|"
    r"bigger|faster|heavier|longer|older|higher)\b))",
    re.IGNORECASE,
)
_THAN = re.compile(
    r"\s*(?:less|fewer|lower|smaller)\s+than\b(?!\s+(?:[A-Z]|(?:him|her|them|me|you|us|his|hers|theirs|mine|yours|last|before|"
    r"yesterday|needed|usual|expected)\b))|.*\bthan\W*$",
    re.DOTALL,
)
_LETTER_COMPOUND = re.compile(r"\b[a-zA-Z]-(?=[a-z]{3})")
_NO = re.compile(
    r"^\s*no\s*[.,:]\s+|\bno\.\s*(?=\d)|\bor\s+so\b|\b(?:each|every|any|this|that|which|the|no)\s+one\b|\bone\s+of\b",
    re.I,
)
_SQUARED = re.compile(r"(?<=[a-z])\s+(?:squared|cubed)\b|\b(?:square|cubic|sq|cu)\.?\s+(?=[a-z])", re.IGNORECASE)
_RUPEES = re.compile(r"\b(?:Rs|INR|No|no|approx|ca|c|est)\.\s*(?=\d)")


def _read(span: str) -> str | None:
    """The one number of a span, where all the rest is harmless."""
    if _SEVERAL.search(span):
        return None
    equals = _EQUALS.match(span)
    rest = span[equals.end() :] if equals else span
    return (
        _judged(_UNKNOWN.sub("", _THOUSANDS.sub("", _RUPEES.sub("", rest)))) if any(map(str.isnumeric, rest)) else None
    )


def _judged(span: str) -> str | None:
    text = _UNIT_POWER.sub(lambda match: match["unit"] or "", _NO.sub(" ", span))
    if _SUM.search(_TIMES_TEN.sub("", text)) or _RELATION.search(text):
        return None
    found = list(_numbers(text))
    values = {None if number.value is None else _number_text(number.value) for number in found}
    if len(values) != 1 or None in values:
        return None
    return values.pop() if _harmless(text, found) else None


_RELATION = re.compile(r"[<>≤≥≠¬±∓|\\=]|\+/-|\+-")


def _harmless(text: str, found: Sequence[_Found]) -> bool:
    """Whether nothing besides these numbers changes them: no digit, sign or word that is not known to be harmless."""
    pieces: list[str] = []
    at = 0
    for number in found:
        before, after = text[at : number.start], text[number.end :]
        if not _harmless_before(before) or not _harmless_after(after):
            return False
        pieces.append(before)
        at = number.end
    rest = _LETTER_COMPOUND.sub("", _SQUARED.sub(" ", " ".join([*pieces, text[at:]])))
    if any(map(str.isnumeric, rest)) or _SYMBOLS.search(rest):
        return False
    return all(map(_harmless_word, _WORD.findall(rest))) and not re.search(r"[/&]\s*[\"(]?\s*$", text[at:])


def _harmless_before(before: str) -> bool:
    near = before[-60:]
    return not (_BOUNDS_BEFORE.search(near) or _SPOILT.search(near) or _PART_BEFORE.search(near) or is_denied(before))


def _harmless_after(after: str) -> bool:
    attached = re.match(r"[A-Za-zµ]+", after)
    if attached and len(attached[0]) < 3 and attached[0] not in _SHORT_UNITS:
        return False
    if _PEOPLE.match(after) or _TIMES.match(after) or _THAN.match(after) or _PART_AFTER.match(after):
        return False
    return not (_OR_AFTER.match(after) or _DENIED_AFTER.match(after))


_PEOPLE = re.compile(
    r"m\b\s+(?!(?:long|tall|wide|high|deep|away|apart|per|of|from|in|above|below|and|each|is|are|to)\b)[a-z]{3,}"
    r"|\s*[-–—]?\s*[xX]\b"
)
"""Behind "5": "m people", where m is a million, and an x that multiplies."""


def _harmless_word(word: str) -> bool:
    if word.lower() in _NUMBER_WORDS or word.lower() in _OPERATIONS:
        return False
    if _LATIN.fullmatch(word):
        return len(word) > 1 or word in _SHORT_UNITS or word in "aAI"
    if "\u0400" <= word[0] <= "\u04ff":
        return not _CYRILLIC.match(word)
    return all(ch in _CJK_UNITS for ch in word)


# Sentences

_RESULT_END = re.compile(
    r"[,;(]|\s(?:more|fewer|less|than|of|and|so|which|because|for|from|in|on|at|with|to|after|before|as|but|since|while|if|when|unless)\b"
)
_RESULT_START = re.compile(r"[.;:]\s|,\s|\b(?:therefore|so|thus|hence|then|that)\b", re.IGNORECASE)


def _result(text: str) -> str | None:
    """The number that opens what stands behind an equals sign, from where its clause begins to where it goes on."""
    found = [number for _, number in zip(range(2), _numbers(text), strict=False)]
    if not found:
        return None
    first = found[0]
    goes_on = _RESULT_END.search(text, first.end)
    end = goes_on.start() if goes_on else len(text)
    if len(found) > 1 and found[1].start < end and re.search(r"[^\W\d_]{3}", text[first.end : found[1].start]):
        end = found[1].start  # "170 pounds 2 years ago"
    starts = [match.end() for match in _RESULT_START.finditer(text, 0, first.start)]
    return _read(text[starts[-1] if starts else 0 : end])
