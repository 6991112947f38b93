r"""Text without its formatting: what every reader of answers sees, whether a model, a teacher or a data file wrote it.

    "**Answer:** $\boxed{\text{B}}$<|im_end|>"  ->  "Answer: B"        "\dfrac{3}{4}\,\text{cups}"  ->  "3/4 cups"

Formatting is removed once, here, so that no reader depends on it: LaTeX, tags, end-of-text tokens, Markdown, full-width
characters. Whatever changes the meaning stays: a superscript becomes "^3", a root "√(2)", an unknown command its own
name. Every pass is linear in the length of the text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache


def word_set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


_OPEN, _CLOSE, _DOLLAR = "\ue000", "\ue001", "\ue002"
"""Private characters: the two ends of a boxed answer, and a dollar sign that is no LaTeX delimiter."""


def strip_formatting(text: str) -> str:
    """A text without formatting; lines stay lines. Where nothing else would be left, only its tokens are removed."""
    return _unmarked(_stripped(text)) or _TOKEN.sub("", text).strip()


def boxed_answers(text: str) -> list[tuple[str, str, str]]:
    r"""What each `\boxed{...}` or `<answer>...</answer>` holds, with what stands before and after it on its line."""
    found: list[tuple[str, str, str]] = []
    if _BOX_STARTS.search(text):
        for match in _BOX.finditer(_stripped(text)):
            before = match.string[max(0, match.start() - NEAR) : match.start()].rpartition("\n")[2]
            after = match.string[match.end() : match.end() + NEAR].partition("\n")[0]
            found.append((_unmarked(before), _unmarked(match[1]), _unmarked(after)))
    return found


def strip_markup(text: str) -> str:
    """A text without tags, end-of-text tokens, Markdown and full-width characters, but with its LaTeX."""
    return _unmarked(_markdown(_tags(_characters(text)))) or _TOKEN.sub("", text).strip()


NEAR = 200
"""Characters looked at on each side of a boxed answer."""

_BOX_STARTS = re.compile(r"boxed|fbox|<answer|<final", re.IGNORECASE)
_BOX = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]+){_CLOSE}")
_FORMATTED = re.compile(r"[^\x20-\x7e]|[\\$<>&\[{}*_`#~|]|^\s*[-+•]\s")


def _stripped(text: str) -> str:
    if not _FORMATTED.search(text):
        return text
    return _markdown(_latex(_tags(_characters(text))))


def _unmarked(text: str) -> str:
    return text.replace(_OPEN, "").replace(_CLOSE, "").replace(_DOLLAR, "$").strip()


# Characters

_STRING_ESCAPES = (("\x08oxed", r"\boxed"), ("\x0crac", r"\frac"), ("\text{", r"\text{"), ("\right", r"\right"))
"""LaTeX that went through a string literal without its backslash."""
_SPACES = re.compile("[\u200b\u2060\ufeff\u00ad]")
_APOSTROPHE = re.compile(r"(?<=\w)[’ʼ′](?=\w)")


def _characters(text: str) -> str:
    """Composed characters, plain letters for full-width, circled and mathematical ones, and straight apostrophes.

    Superscripts and fractions ("²", "½") keep their form: NFKC would make "2½" the number 21/2.
    """
    for wrong, right in _STRING_ESCAPES:
        text = text.replace(wrong, right)
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    if text.isascii():
        return text
    text = _SPACES.sub("", unicodedata.normalize("NFC", text))
    changed = {ord(ch): plain for ch in set(text) if not ch.isascii() and (plain := _plain_character(ch)) != ch}
    return _APOSTROPHE.sub("'", text.translate(changed))


_COMPATIBLE = ("<wide>", "<narrow>", "<font>", "<circle>", "<square>", "<small>", "<compat>")
_SIGNS = {
    "。": ".", "、": ",", "【": "[", "】": "]", "〔": "[", "〕": "]", "「": '"', "」": '"', "『": '"', "』": '"',
    "《": '"', "》": '"', "〈": '"', "〉": '"', "‑": "-", "‐": "-", "⁄": "/", "∕": "/", "∶": ":", "﹣": "-",
    "\x85": "\n",
}  # fmt: skip


@cache
def _plain_character(ch: str) -> str:
    if ch in _SIGNS:
        return _SIGNS[ch]
    if ch.isspace() or not unicodedata.decomposition(ch).startswith(_COMPATIBLE):
        return ch
    return unicodedata.normalize("NFKC", ch)


# Tags and tokens

_REASONING = r"(?:think|thinking|thought|thoughts|reasoning|scratchpad|reflection|analysis)"
_CLOSED_REASONING = re.compile(rf"^.*</{_REASONING}>(?=.*\w)", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(
    r"<\|channel\|>\s*\w+\s*(?:<\|message\|>)?"
    r"|<\|start_header_id\|>\s*\w*\s*<\|end_header_id\|>"
    r"|(?:<\|im_start\|>|<\|start\|>|<start_of_turn>)(?:\s*(?:assistant|model|user|system)\b)?"
    r"|<[|｜][^<>\n]{1,40}?[|｜]>"
    r"|</?s>|<(?:eos|bos|pad|unk|end_of_turn|start_of_turn|end_of_text|endoftext|eot|end|eod|extra_id_\d+|sep|cls)>"
    r"|\[/?(?:EOS|BOS|PAD|SEP|CLS|UNK|INST|END|gMASK|EOT)\]",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)([A-Za-z][\w:-]{0,30})((?:\s[^<>\n]{0,200})?)/?>")
_ANSWER_TAGS = {"answer", "final_answer", "final-answer", "finalanswer", "final"}
_CLOSING = ("", *"$)]}.*_`\\<\"'”’")
"""What may close behind an answer tag and is no text of its own."""
_INLINE_TAGS = {
    "b",
    "i",
    "u",
    "em",
    "strong",
    "span",
    "mark",
    "font",
    "code",
    "tt",
    "small",
    "big",
    "a",
    "q",
    "kbd",
    "bold",
}
_CALCULATION = re.compile(r"<<[^<>\n]{0,200}>>")
"""A calculator annotation of GSM8K: "48/2 = <<48/2=24>>24"."""
_STRUCK = re.compile(r"<(s|del|strike)>[^<>\n]{0,500}</\1>", re.IGNORECASE)


def _tags(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if "<" not in text and "[" not in text:
        return text
    text = _CALCULATION.sub("", text)
    closed = _CLOSED_REASONING.match(text) if "</" in text else None
    if closed:
        text = text[closed.end() :]
    text = _TOKEN.sub("\n", _STRUCK.sub("", text))
    return _TAG.sub(_tag, text) if "<" in text else text


def _tag(match: re.Match[str]) -> str:
    name = match[2].lower()
    if name in _ANSWER_TAGS:
        apart = "" if match.string[match.end() : match.end() + 1] in _CLOSING else "\n"
        return f"{_CLOSE}{apart}" if match[1] else f" {_OPEN}"
    if name in ("sup", "sub"):
        return ")" if match[1] else "^(" if name == "sup" else "_("
    return "" if name in _INLINE_TAGS else "\n" if name in ("br", "p", "div", "li", "hr", "tr") else " "


# LaTeX

_WRAPPERS = word_set(
    "text textbf textit textrm textsf texttt textnormal textup textsc emph underline mbox hbox mathrm mathbf "
    "mathit mathsf mathtt mathbb mathcal mathfrak boldsymbol bm operatorname ensuremath displaystyle "
    "textstyle rm bf it sf tt bold left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr "
    "middle limits nolimits centering large Large huge normalsize small phantom hfill boldmath scriptstyle "
)
"""Commands that change how their argument looks and nothing else."""
_BOXES = {"boxed", "fbox", "framebox", "colorbox", "answer"}
_DROPPED = {
    "color",
    "hspace",
    "vspace",
    "hskip",
    "label",
    "tag",
    "begin",
    "end",
    "cancel",
    "bcancel",
    "xcancel",
    "sout",
    "st",
}
"""Commands that go with their argument: lengths and colours, and what is struck out."""
_SYMBOLS = {
    "times": "×", "cdot": "·", "ast": "*", "div": "÷", "pm": "±", "mp": "∓", "pi": "π", "infty": "∞",
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "lt": "<", "gt": ">", "ne": "≠", "neq": "≠", "approx": "≈",
    "sim": "~", "simeq": "≈", "cong": "≅", "circ": "°", "degree": "°", "degrees": "°", "percent": "%",
    "pounds": "£", "euro": "€", "yen": "¥", "cent": "¢", "dots": "…", "ldots": "…", "cdots": "…", "quad": " ",
    "qquad": " ", "therefore": "", "to": "→", "rightarrow": "→", "Rightarrow": "⇒", "implies": "⇒", "neg": "¬",
    "lnot": "¬", "not": "¬", "checkmark": "", "lbrace": "{", "rbrace": "}", "langle": "<", "rangle": ">",
    "mid": "|", "vert": "|", "lor": " or ", "vee": " or ", "land": " and ", "wedge": " and ", "equiv": "=",
    "space": " ", "newline": "\n", "par": "\n", "dollar": _DOLLAR, "textdollar": _DOLLAR, "USD": _DOLLAR,
}  # fmt: skip
_ESCAPED = {
    ",": "\u202f",
    ";": " ",
    ":": " ",
    "!": "",
    " ": " ",
    "\n": "\n",
    "$": _DOLLAR,
    "\\": "\n",
    "/": "",
    ">": " ",
}
_DELIMITERS = "()[]"
_FRACTIONS = {"frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"}
_ARGUMENTS = {
    **dict.fromkeys([*_DROPPED, *_BOXES], 1),
    **dict.fromkeys(_FRACTIONS, 2),
    "sqrt": 1,
    "textcolor": 2,
    "colorbox": 2,
    "binom": 2,
    "overline": 1,
    "bar": 1,
}
_PIECES = re.compile(r"\\([A-Za-z]+)\*?[ \t]*|\\([^A-Za-z])|([{}])|([^\\{}]+)|\\$")
_DOUBLED = re.compile(
    r"(?<!\\)\\{2,16}(?=[()\[\]$%,!;{}]|(?:" + "|".join(sorted(_ARGUMENTS | dict.fromkeys(_WRAPPERS, 0))) + r")\b)"
)
_SIMPLE = re.compile(r"[-+]?[\w.,]+")


@dataclass(slots=True)
class _Group:
    """An open brace: the pieces written in it, and the commands that still wait for arguments."""

    pieces: list[str] = field(default_factory=list[str])
    waiting: list[tuple[str, list[str]]] = field(default_factory=list[tuple[str, list[str]]])

    def add(self, piece: str) -> None:
        while self.waiting:
            command, arguments = self.waiting[-1]
            arguments.append(piece)
            if len(arguments) < _ARGUMENTS[command] + (arguments[0].startswith("[") if command == "sqrt" else 0):
                return
            self.waiting.pop()
            piece = _rendered(command, arguments)
            before = self.pieces[-1][-1:] if self.pieces and not self.waiting else ""
            if command in _FRACTIONS and before.isdigit():
                piece = " " + piece
        self.pieces.append(piece)

    def add_text(self, text: str) -> None:
        """Plain text; without braces a waiting command takes its first character, a root all digits."""
        while self.waiting and text.strip():
            text = text.lstrip()
            command = self.waiting[-1][0]
            taken = re.match(r"\[[^\]]{0,9}\]|\d+|.", text) if command == "sqrt" else re.match(".", text)
            if command in _BOXES:
                taken = re.match(r"\S+", text)
            assert taken
            self.add(taken[0])
            text = text[taken.end() :]
        if text and not self.waiting:
            self.pieces.append(text)

    def text(self) -> str:
        while self.waiting:
            command, arguments = self.waiting.pop()
            self.pieces.append(f"{' '.join(arguments)}/" if command in _FRACTIONS else " ".join(arguments))
        return "".join(self.pieces)


def _rendered(command: str, arguments: Sequence[str]) -> str:
    first, last = arguments[0], arguments[-1]
    if command in _BOXES:
        return f"{_OPEN}{last}{_CLOSE}"
    if command in _FRACTIONS:
        top = first.strip() if _SIMPLE.fullmatch(first.strip()) else f"({first})"
        return f"{top}/{last.strip()}" if last.strip().isalnum() else f"{top}/({last})"
    if command == "sqrt":
        return f"√{first}({last})" if len(arguments) > 1 else f"√({first})"
    if command == "textcolor":
        return last
    if command in _DROPPED:
        return "\n" if command in ("begin", "end") else ""
    return f"{command}({', '.join(arguments)})"


def _latex(text: str) -> str:
    if "\\" not in text and "{" not in text and "}" not in text:
        return _without_dollars(text)
    groups = [_Group()]
    for match in _PIECES.finditer(_DOUBLED.sub(r"\\", text)):
        command, escaped, brace, plain = match.groups()
        if plain is not None:
            groups[-1].add_text(plain)
        elif command is not None:
            _add_command(groups[-1], command)
        elif escaped is not None:
            if escaped not in _DELIMITERS:
                groups[-1].add_text(_ESCAPED.get(escaped, escaped))
        elif brace == "{":
            groups.append(_Group())
        elif brace == "}" and len(groups) > 1:
            _close(groups)
    while len(groups) > 1:
        _close(groups)
    return _without_dollars(groups[0].text())


def _add_command(group: _Group, command: str) -> None:
    if command in _ARGUMENTS:
        group.waiting.append((command, []))
    elif command in _SYMBOLS:
        symbol = _SYMBOLS[command]
        if symbol == "°" and group.pieces and group.pieces[-1].endswith("^"):
            group.pieces[-1] = group.pieces[-1][:-1]
        group.add(symbol)
    elif command not in _WRAPPERS:
        group.add(f"\\{command} ")


def _close(groups: list[_Group]) -> None:
    content = groups.pop().text()
    outer = groups[-1]
    if not outer.waiting and outer.pieces and outer.pieces[-1].endswith("^"):
        if content.strip() == "°":
            outer.pieces[-1] = outer.pieces[-1][:-1]
        elif not content.strip().isdigit():
            content = f"({content})"
    outer.add(content)


def _without_dollars(text: str) -> str:
    """Dollar signs in pairs go, as Pandoc pairs them; the others are money."""
    if "$" not in text:
        return text
    return "\n".join(map(_line_without_dollars, text.replace("$$", "\ue003").split("\n"))).replace("\ue003", "")


def _line_without_dollars(line: str) -> str:
    places = [n for n, ch in enumerate(line) if ch == "$"]
    if len(places) < 2:
        return line
    bare = line.strip()
    if len(places) == 2 and bare[0] == bare[-1] == "$":
        return bare[1:-1].strip()
    drop: set[int] = set()
    n = 0
    while n + 1 < len(places):
        start, end = places[n], places[n + 1]
        opens = not line[start + 1].isspace()
        closes = not line[end - 1].isspace() and not line[end + 1 : end + 2].isdigit()
        spaced = "\\" in line[start:end] or (not opens and line[end - 1].isspace())
        if (opens and closes) or spaced:
            drop |= {start, end}
            n += 1
        n += 1
    return "".join(ch for at, ch in enumerate(line) if at not in drop)


# Markdown

_FENCE = re.compile(r"^\s*(?:```|~~~)[\w+-]*\s*$")
_LINE_START = re.compile(r"^\s*(?:#{1,6}\s*(?=\S)|[*•‣◦▪]\s+(?=\S)|[-+–]\s+(?=[^\s\d$€£¥₹.−-]))")
_QUOTE = re.compile(r"^\s*>[\s>]*")
_QUOTE_FIRST = re.compile(r"^\s*>[\s>]*(?![\s>]*[-+$€£]?\.?\d)")
_LINK = re.compile(r"!?\[([^\]\[\n]{0,300})\]\((?:https?:|/|#|www|mailto:|\.)[^()\n]{0,500}\)")
_STRUCK_OUT = re.compile(r"~~[^~\n]{1,500}~~")
_RUN = re.compile(r"\*+|_+|`+")
_RULE = re.compile(r"^\s*(?:[-*_=~#]\s*){3,}$")
_CELL = re.compile(r"^\s*\|\s+|\s+\|\s*$")


def _markdown(text: str) -> str:
    if not _FORMATTED.search(text):
        return text
    lines: list[str] = []
    written = False
    for line in text.split("\n"):
        if _FENCE.match(line) or _RULE.match(line):
            lines.append("")
            continue
        for _ in range(4):  # a bullet in a quote in a bullet
            quoted = (_QUOTE if written else _QUOTE_FIRST).sub("", line, count=1)
            written = written or (quoted != line and not quoted.strip())
            plain = _LINE_START.sub("", quoted, count=1)
            if plain == line:
                break
            line = plain
        written = written or bool(line.strip())
        if "](" in line:
            line = _LINK.sub(r"\1", line)
        if "~~" in line:
            line = _STRUCK_OUT.sub("", line)
        if "|" in line:
            line = _CELL.sub("", line)
        lines.append("".join(_without_emphasis(line)) if _RUN.search(line) else line)
    return "\n".join(lines)


def _without_emphasis(line: str) -> Iterator[str]:
    """A line without `*`, `_` and backticks that come in pairs around words; `2*3` and `x_1` keep theirs."""
    drop: set[int] = set()
    opened: dict[str, list[re.Match[str]]] = {}
    runs = list(_RUN.finditer(line))
    for run in runs:
        before, after = line[run.start() - 1 : run.start()], line[run.end() : run.end() + 1]
        opens, closes = _flanks(run[0], before, after)
        started = opened.setdefault(run[0], [])
        if closes and started:
            drop |= {started.pop().start(), run.start()}
        elif opens:
            started.append(run)
    for run in runs:  # a line that was cut, or one half of a pair that a marker was in
        if (
            run[0][0] == "`"
            or line[: run.start()].isspace()
            or not line[: run.start()]
            or not line[run.end() :].strip(_TRAILING)
        ):
            drop.add(run.start())
    at = 0
    for run in runs:
        yield line[at : run.start()] + ("" if run.start() in drop else run[0])
        at = run.end()
    yield line[at:]


_TRAILING = " \t.,;:!?*_`"


def _flanks(run: str, before: str, after: str) -> tuple[bool, bool]:
    """Whether a run of marks may open and may close emphasis."""
    words = before.isalnum() and after.isalnum()
    loose = not words if len(run) == 1 or run[0] == "_" else not (before.isdigit() and after.isdigit())
    return (
        loose and bool(after.strip()) and (len(run) > 1 or not before.isalnum()),
        loose and bool(before.strip()) and (len(run) > 1 or not after.isalnum()),
    )
