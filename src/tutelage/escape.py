r"""Texts that a tokenizer cannot carry, written in characters that it can, and back again without loss.

T5's vocabulary has no `{ } < ~ \` and no newline, and it reads a run of spaces as one. Left alone, the braces of a
formula become <unk> and the steps of a rationale run together; the student learns to write <unk>. With the mark "¤":

    if x < 3:\n  {x}      becomes      if x ¤l 3:¤n¤s¤s¤o¤xc

A tokenizer that lacks nothing (byte-level BPE) has no mark, and its texts pass unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

MARKS = "¤¬§¶^`|#@*+=&%"
"""Candidates for the mark, the rarest in ordinary text first."""

SHORT = {"\n": "n", "\t": "t", " ": "s", "<": "l", "\\": "b", "{": "o", "}": "c", "~": "w"}
"""Characters with a short name of one letter; the mark itself is "m", any other character "u" + hex digits + mark."""

NAMES = "ntslbocwmu0123456789adef"
"""Every character that an escape may use besides the mark."""

PROBES = ("a", "1", "the", "A 1.")
"""Texts that show what a tokenizer puts around a text; one that it knows nothing of shows nothing."""

LEADS = [*range(0x1000, 0xD800, 0x1000), 0xE000, 0xF000, *range(0x10000, 0x110000, 0x10000)]
EVERY_BYTE = "".join(map(chr, [*range(0x800), *LEADS]))
"""A text whose UTF-8 form uses every byte that UTF-8 can use. A tokenizer that gives it back carries any text."""


@dataclass(frozen=True)
class Escape:
    """A lossless way into the characters of one tokenizer. Built by `Escape.of`."""

    tokenizer: Any = field(default=None, repr=False)
    mark: str | None = None
    """None: texts pass unchanged."""
    collapses: bool = False
    """Whether the tokenizer drops outer spaces or reads a run of spaces as one."""
    _carried: dict[str, bool] = field(default_factory=dict[str, bool], repr=False, compare=False)

    @classmethod
    def of(cls, tokenizer: Any) -> Escape:
        """The escape that a tokenizer needs, found by sending texts through it and looking at what comes back.

        Identity when nothing is lost, and also when no mark can be carried; `audit` then names what is lost.
        """
        if survives(tokenizer, EVERY_BYTE) and survives(tokenizer, "e\u0301 \ufb01  \n"):
            return cls()
        for mark in MARKS:
            if survives(tokenizer, f"a {mark}{mark.join(NAMES)}{mark} {mark}"):
                return cls(tokenizer, mark, not survives(tokenizer, " a  b "))
        return cls()

    def encode(self, text: str) -> str:
        """The text in characters that the tokenizer carries: `decode` of it, even after tokenizing, is `text`."""
        if self.mark is None:
            return text
        escaped = "".join(c if self._carries(c) else self._name(c) for c in text)
        if not escaped.isascii() and not survives(self.tokenizer, self._spaced(escaped)):
            # Normalisation looks at neighbours: "e" and an accent become one character. ASCII has no such pairs.
            escaped = "".join(c if c.isascii() and self._carries(c) else self._name(c) for c in text)
        return self._spaced(escaped)

    def decode(self, text: str) -> str:
        """The inverse of `encode`. Total: a damaged escape, as a half-trained student writes it, stays as it is."""
        if self.mark is None:
            return text
        mark = re.escape(self.mark)
        return re.sub(f"{mark}(?:([ntslbocwm])|u([0-9a-f]{{1,6}}){mark})", self._read, text)

    def _carries(self, character: str) -> bool:
        if character == self.mark:
            return False
        if character == " ":
            return True
        if character not in self._carried:
            self._carried[character] = survives(self.tokenizer, f"a{character}a")
        return self._carried[character]

    def _name(self, character: str) -> str:
        if character == self.mark:
            return f"{self.mark}m"
        short = SHORT.get(character)
        return f"{self.mark}{short}" if short else f"{self.mark}u{ord(character):x}{self.mark}"

    def _spaced(self, escaped: str) -> str:
        """Name the spaces that would be dropped: the outer ones, and all but the first of a run."""
        if not self.collapses:
            return escaped
        named = f"{self.mark}s"
        body = escaped.strip(" ")
        if not body:
            return named * len(escaped)
        before, after = escaped.index(body[0]), len(escaped) - len(escaped.rstrip(" "))
        body = re.sub(r" ( +)", lambda run: " " + named * len(run[1]), body)
        return named * before + body + named * after

    def _read(self, match: re.Match[str]) -> str:
        letter, digits = match.groups()
        if letter:
            return self.mark or "" if letter == "m" else LETTERS[letter]
        code = int(digits, 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]


LETTERS = {name: character for character, name in SHORT.items()}


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a text alone. A text that spells "</s>" stays text."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids


class Added(NamedTuple):
    """Special tokens that a tokenizer puts around a text by itself."""

    before: list[int]
    """For example [<s>] (Llama, Gemma), a language code (NLLB); often none (GPT-2, Qwen)."""
    after: list[int]
    """For example [</s>] (T5, BART)."""


def added_ids(tokenizer: Any, *, target: bool = False) -> Added:
    """What the tokenizer puts around a prompt, or around a target, found by encoding a text with and without it.

    Its attributes do not tell: a post-processor can add <s> although `add_bos_token` is False.
    """
    kwargs = {"split_special_tokens": True, "verbose": False}
    for text in PROBES:
        given = {"text_target" if target else "text": text}
        bare = list(tokenizer(**given, add_special_tokens=False, **kwargs).input_ids)
        whole = list(tokenizer(**given, add_special_tokens=True, **kwargs).input_ids)
        starts = [at for at in range(len(whole) - len(bare) + 1) if whole[at : at + len(bare)] == bare]
        if bare and starts:
            return Added(whole[: starts[0]], whole[starts[0] + len(bare) :])
    raise ValueError(f"the tokenizer splits {PROBES[0]!r} differently with special tokens around it")


def token_text(tokenizer: Any, ids: list[int]) -> str:
    """The text of token ids without special tokens, with no tidying of spaces."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def survives(tokenizer: Any, text: str) -> bool:
    """Whether a text comes back from the tokenizer as it went in."""
    return token_text(tokenizer, token_ids(tokenizer, text)) == text


class Carrier(Protocol):
    """What `audit` needs of a language model."""

    @property
    def tokenizer(self) -> Any: ...  # noqa: D102
    @property
    def escape(self) -> Escape: ...  # noqa: D102


def audit(lm: Carrier, texts: Mapping[str, str]) -> list[str]:
    """One sentence for each text that the tokenizer would change even after escaping, naming the lost characters.

    Run over all prompts and targets before training: one <unk> in a target is learnt as an answer.
    """
    return [f"{name}: {problem}" for name, text in texts.items() if (problem := _problem(lm, text))]


def _problem(lm: Carrier, text: str) -> str:
    halves = sorted({c for c in text if 0xD800 <= ord(c) < 0xE000})
    if halves:
        return f"holds half a surrogate pair ({_listed(halves)}), which is no text"
    if lm.escape.decode(_sent(lm, lm.escape.encode(text))) == text:
        return ""
    lost = sorted({c for c in text if not survives(lm.tokenizer, f"a{c}a")})
    return f"cannot carry {_listed(lost)}" if lost else "white space would be changed"


def _sent(lm: Carrier, text: str) -> str:
    return token_text(lm.tokenizer, token_ids(lm.tokenizer, text))


def _listed(characters: list[str]) -> str:
    shown = ", ".join(f"{c!a} (U+{ord(c):04X})" for c in characters[:20])
    return shown + (f" and {len(characters) - 20} more" if len(characters) > 20 else "")
