"""Which characters make up a word, and which spellings of a word are one: for graded answers and for search alike.

    fold("Zu\u0308rich, Straße")  ->  "zürich, strasse"

Vowel signs and accents that have no letter of their own (Unicode's categories Mn, Mc and Me) belong to the word: Hindi,
Bengali, Tamil and Thai tell words apart by nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u0640\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Shape how a word looks and spell nothing: joiners, soft hyphens, directions, Arabic stretching, glyph variants."""


def fold(text: str) -> str:
    """A text without case, in one normal form (NFKC), without characters that only shape how it looks.

    Case is folded as Unicode does for every language: "ß" is "ss", a final sigma is a sigma, and the Turkish dotless
    "ı" is a letter of its own. The dot of "İ" goes, as "i" has one.
    """
    if text.isascii():
        return text.lower()
    spelt = _IGNORED.sub("", unicodedata.normalize("NFKD", text))
    folded = unicodedata.normalize("NFKC", spelt.casefold())
    return unicodedata.normalize("NFKC", folded.casefold().replace("i\u0307", "i"))


def is_mark(character: str) -> bool:
    """Whether a character belongs to the letter before it."""
    return unicodedata.category(character)[0] == "M"


@cache
def marks() -> str:
    """All such characters as ranges for a regular expression, e.g. "\u0300-\u036f..."; made once, in some 20 ms."""
    found = {chr(number) for number in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)) if is_mark(chr(number))}
    firsts = sorted(ch for ch in found if chr(ord(ch) - 1) not in found)
    lasts = sorted(ch for ch in found if chr(ord(ch) + 1) not in found)
    return "".join(f"{first}-{last}" for first, last in zip(firsts, lasts, strict=True))
