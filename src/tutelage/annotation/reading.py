r"""How the texts of a teacher are read: models write a last line in a dress of their own, and it must not be taught.

    "2 + 10 = 12.\n**Answer:** 12"        rationale "2 + 10 = 12."    answer "12"
    "2 + 10 = 12.\n### Final answer: 12"  the same

A student's texts are read to the letter (`Format.read`): it was taught what to write.
"""

from __future__ import annotations

import re
from functools import cache

from tutelage.formats import Format, Reading

_DRESS = r"[\s>*_`#~-]*"
"""Marks of Markdown, and white space."""
_LEAD = r"(?:(?:so|thus|hence|therefore)[\s,]+)?(?:(?:the|my|our)\s+)?(?:(?:final|correct|right|best)\s+)*"
_RULE = re.compile(r"\n[\s*_#~=-]*\Z")


def read_teacher(text: str, fmt: Format) -> Reading:
    """A teacher's text split at its answer line, without what the line was dressed in.

    For formats whose marker is a word and a colon, which is what ours ask for; others are read to the letter, as a text
    is whose marker stands behind the last such line.
    """
    plain, line = fmt.read(text), _last_line(text, fmt.marker)
    if line is None or (plain.answer is not None and text.rindex(fmt.marker) >= line.end()):
        return plain
    answer = text[line.end() :].strip().removesuffix(fmt.closing).strip("*_` \t\n")
    rationale = _RULE.sub("", "\n" + text[: line.start()].rstrip()).strip()
    return Reading(rationale, answer) if answer else plain


def _last_line(text: str, marker: str) -> re.Match[str] | None:
    word = marker.removesuffix(":")
    if not marker.endswith(":") or not re.fullmatch(r"\w+", word):
        return None
    return max(_pattern(word).finditer(text), key=lambda found: found.end(), default=None)


@cache
def _pattern(word: str) -> re.Pattern[str]:
    return re.compile(rf"^{_DRESS}{_LEAD}{re.escape(word)}{_DRESS}[:：][*_`]*", re.IGNORECASE | re.MULTILINE)
