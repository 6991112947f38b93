"""The words of a short answer, with the signs that change what it means.

    "New  York!" -> new york      "C++" -> c++      "-5" -> -5      "$1,200.50" -> $1200.50      "3.5 km/h" -> 3.5 km/h

What only dresses an answer goes: case, quotes, brackets, Markdown, punctuation, apostrophes, hyphens between letters.
What tells two answers apart stays: a sign, point, colon or slash of a number, units and currencies, "+" and "#" behind
a name, operators.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import dropwhile, pairwise

from tutelage.spelling import fold, is_mark, marks

_LOWERED = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")

_RAISED = re.compile(r"(?<=[\w)])[⁺⁻]?[⁰¹²³⁴-⁹]+(?![⁰¹²³⁴-⁹⁺⁻])")
"""A power: 10² is not 102. "Ca²⁺" has none."""
_MIXED = re.compile(r"(?<=[0-9])(?=[¼-¾⅐-⅞])")
_NARROW = re.compile(r"(?<=[0-9])[\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_GROUPS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
"""Thousands."""
_MATHS = re.compile(r"\$(?=\S)([^$]*)(?<=\S)\$(?![0-9])")
_ALIKE = str.maketrans({**dict.fromkeys("‐‑‒–−﹣－", "-"), **dict.fromkeys("’‘ʼ＇`", "'"), "\u2044": "/"})
_BULLET = re.compile(r"[=>→⇒+]+")
"""In front of an answer, as Markdown quotes and lists have it."""
_SPACED = re.compile(r"(?<=[0-9]) ([-/]) (?=[0-9])|(?<=\S) (/) (?=\S)")
_SIGN = re.compile(r"[^\w\s]|_")
_DIGIT = re.compile(r"[0-9]")
UNITS = "%&@°"
OPERATORS = "<>=±×÷√∞≤≥≠≈∓∑∏∫∂∆∇∈∪∩⊂⊃¬∧∨"
CURRENCIES = "€£¥₹¢₽₩₪₫₴₦₺₱฿"
LONGEST_CHARGED = 4
"""Characters that may stand before a closing minus, as in "AB-" or "HCO3-"; behind longer words it is a dash."""


def words(text: str) -> list[str]:
    """Folded words in order, signs where they stood: "A + B" is three, "A+" is one."""
    plain = _RAISED.sub(lambda found: "^" + found[0].translate(_LOWERED), _NARROW.sub("", _MIXED.sub(" ", text)))
    plain = _GROUPS.sub(lambda found: found[0].replace(",", ""), fold(plain).translate(_ALIKE))
    plain = plain if plain.isascii() else _strays().sub("", plain)
    plain = " ".join(_MATHS.sub(r"\1", plain).replace("'", "").split())
    return list(dropwhile(_BULLET.fullmatch, _SIGN.sub(_kept, _SPACED.sub(r"\1\2", plain)).split()))


def together(found: list[str]) -> str:
    """Words as compared: without the spaces between them, which "new york" and "newyork" differ by; "3 5" is not 35."""
    if not found:
        return ""
    between = (" " if before[-1].isdigit() and after[0].isdigit() else "" for before, after in pairwise(found))
    return found[0] + "".join(space + word for space, word in zip(between, found[1:], strict=True))


def are_spelt_out(found: list[str]) -> bool:
    """Whether these are the letters of a word, one by one."""
    return all(word[0].isalpha() and all(map(is_mark, word[1:])) for word in found)


@cache
def _strays() -> re.Pattern[str]:
    """Marks behind no letter."""
    return re.compile(rf"(?<![^\W_{marks()}])(?<![{marks()}])[{marks()}]+")


def _kept(found: re.Match[str]) -> str:
    """A sign where it means something; else nothing, or the space that it stands for."""
    text, at, sign = found.string, found.start(), found[0]
    before, after = text[at - 1] if at else " ", text[at + 1] if at + 1 < len(text) else " "
    if is_mark(sign):
        return sign
    kept = _KEPT.get(sign)
    return sign if kept is not None and kept(text, at, before, after) else " "


def _is_part(character: str) -> bool:
    """Whether a character is of a word."""
    return character.isalnum() or is_mark(character)


def _is_digit(character: str) -> bool:
    return bool(_DIGIT.match(character))


def _always(text: str, at: int, before: str, after: str) -> bool:
    return True


def _plus(text: str, at: int, before: str, after: str) -> bool:
    """Not the sign of a positive number."""
    return not _is_digit(after) or _is_part(before) or before in ")+"


def _minus(text: str, at: int, before: str, after: str) -> bool:
    """Between digits, before a number, or at the end of a short name: "2-3", "-5", "O-"; not "e-mail" nor a bullet."""
    if _is_digit(after) or (after == "." and _is_digit(text[at + 2 : at + 3])):
        return _is_digit(before) or not (_is_part(before) or before == "-")
    short = at <= LONGEST_CHARGED or " " in text[at - LONGEST_CHARGED - 1 : at]
    return _is_part(before) and short and after in " .,;:!?)]"


def _point(text: str, at: int, before: str, after: str) -> bool:
    """Within a number, or in front of one or of a name: "3.5", ".5", ".net"; not at the end of a sentence."""
    if _is_digit(after):
        return _is_digit(before) or before in " -+(" or before in "$" + CURRENCIES
    return before == " " and _is_part(after)


def _between_digits(text: str, at: int, before: str, after: str) -> bool:
    return _is_digit(before) and _is_digit(after)


def _slash(text: str, at: int, before: str, after: str) -> bool:
    return _is_part(before) and _is_part(after)


def _hash(text: str, at: int, before: str, after: str) -> bool:
    """Behind a name or before a number: "C#", "#1"; not a heading's."""
    return _is_part(before) or _is_digit(after)


def _power(text: str, at: int, before: str, after: str) -> bool:
    return _is_part(after) or after in "-+"


def _dollar(text: str, at: int, before: str, after: str) -> bool:
    return any(map(_is_digit, (text[at + 1 : at + 4].lstrip(" -.")[:1], text[max(0, at - 2) : at].rstrip()[-1:])))


_KEPT = {
    **dict.fromkeys(UNITS + OPERATORS + CURRENCIES, _always),
    "+": _plus,
    "-": _minus,
    ".": _point,
    ",": _between_digits,
    ":": _between_digits,
    "/": _slash,
    "#": _hash,
    "^": _power,
    "$": _dollar,
}
