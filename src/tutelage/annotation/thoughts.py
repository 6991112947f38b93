r"""What reasoning models think aloud before their answer, and how to tell it from the answer: by tags of many kinds.

    "<think>Hm, 12 or 17?</think>\n12 + 5 = 17.\nAnswer: 17"                            -> "12 + 5 = 17.\nAnswer: 17"
    "[THINK]Hm[/THINK]12 + 5 = 17."     "◁think▷Hm◁/think▷12 + 5 = 17."               -> "12 + 5 = 17."
    "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>17"  -> "17"

The names that follow are those of models and of their chat templates: DeepSeek, Qwen, GLM, Hunyuan and many others
`<think>` (often with the opening tag in the prompt, so that the text has the closing one alone); Claude `<thinking>`;
EXAONE `<thought>`; Reflection `<reflection>`; Magistral `[THINK]`; Kimi `◁think▷`; Seed `<seed:think>`; Command A
`<|START_THINKING|>`; OpenThinker `<|begin_of_thought|>`; Apertus `<|inner_prefix|>`; MedGemma `<unused94>`; Gemma 4
`<|channel>thought`; gpt-oss channels; Granite a sentence. `teacher.reasoning_tags` adds others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

UNENDED = "unfinished thought"
"""How a text is counted whose thought never ends."""

Tags = tuple[str, str]
"""An opening and a closing tag, as the model writes them."""

_NAME = (
    r"(?:[\w-]+:)?(?:think(?:ing)?|thoughts?|reasoning|reflections?|analysis|deliberation|cot|scratch[_ -]?pad"
    r"|chain[_ -]of[_ -]thoughts?|(?:thought|thinking|reasoning)[_ -]process"
    r"|(?:inner|internal)[_ -](?:monologue|thoughts?|thinking|reasoning))"
)
_BEGIN, _END = r"(?:begin|start)_(?:of_)?", r"end_(?:of_)?"
_OPENINGS = (
    rf"<\s*{_NAME}(?:\s[^<>]*)?>",
    r"\[\s*(?:think|thinking)\s*\]",
    rf"[◁⟨〈【]\s*{_NAME}\s*[▷⟩〉】]",
    rf"<\|\s*(?:{_BEGIN})?{_NAME}(?:_(?:begin|start))?\s*\|>",
    r"<\|inner_prefix\|>",
    r"<unused94>",
    r"<\|channel>",
)
_CLOSINGS = (
    rf"<\s*/\s*\|?{_NAME}\s*\|?>",
    rf"\[\s*/\s*{_NAME}\s*\]",
    rf"[◁⟨〈【]\s*/\s*{_NAME}\s*[▷⟩〉】]",
    rf"<\|\s*(?:/\s*{_NAME}|{_END}{_NAME}|{_NAME}_end)\s*\|>",
    r"<\|inner_suffix\|>",
    r"<unused95>",
    r"<channel\|>",
)
_GRANITE = re.compile(
    r"\s*Here(?:'s| is) my thought process:(?P<thought>.*?)(?:Here(?:'s| is) my response:(?P<said>.*))?\Z",
    re.DOTALL | re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(?P<channel>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(?P<said>.*?)(?=<\|(?:end|start|return|call|channel)\|>|\Z)",
    re.DOTALL,
)
_BARE_CHANNELS = re.compile(r"\s*(?:analysis|commentary)(?=[A-Z0-9\"'(])")
_BARE_FINAL = "assistantfinal"
"""The same where a server drops special tokens, and the words between them stay."""
_WRAPPED = re.compile(
    r"\s*<(?:\|?(?P<name>response|output|final_answer|begin_of_solution|START_RESPONSE|final)\|?)>(?P<said>.*)\Z",
    re.DOTALL | re.IGNORECASE,
)
_WRAPPER_END = re.compile(
    r"(?:</(?:response|output|final_answer|final)>|<\|(?:end_of_solution|END_RESPONSE)\|>)\Z", re.IGNORECASE
)
_TEXT_END = re.compile(
    r"(?:(?:<\|(?:im_end|im_sep|endoftext|end_of_text|eot_id|eom_id|end|return|end_of_turn|eos|end_of_sentence"
    r"|END_OF_TURN_TOKEN|end_of_solution|END_RESPONSE|user|observation)\|>|<｜end▁of▁sentence｜>|</s>|<eos>|<end_of_turn>"
    r"|<turn\|>|\[EOS\])\s*)+\Z",
    re.IGNORECASE,
)
"""Marks of the end, which some servers leave in."""
_LAST = 400
"""Characters at the end of a text among which they are looked for."""
_TAG_LIKE = re.compile(r"\s*(<[^\s<>]{1,40}>|\[/?[A-Z_]{3,20}\]|[◁⟨〈【][^\s▷⟩〉】]{1,30}[▷⟩〉】])")
_SPECIAL = re.compile(r"<\|[^\s<>|]{1,40}\|?>|<[^\s<>|/]{1,40}\|>|<｜[^<>]{1,40}｜>|[◁][^▷\s]{1,30}▷|<unused\d+>")


def without_thinking(text: str, tags: Sequence[Tags] = ()) -> str:
    """What a model says when it has thought; nothing where its thought never ends."""
    return solution_in(text, tags) or ""


def solution_in(text: str, tags: Sequence[Tags] = ()) -> str | None:
    """What stands behind the last thought of a text, without the marks of its end; None where a thought never ends.

    A closing tag alone ends a thought too. `tags` are further pairs than those known.
    """
    said = _behind_channels(text)
    if said is not None and (granite := _GRANITE.match(said)):
        said = granite["said"]
    if said is None:
        return None
    opening, closing = _patterns(tuple(tags))
    for end in [found.end() for found in closing.finditer(said)][-1:]:
        said = said[end:]
    if opening.search(said):
        return None
    said = said.strip()
    said = (said[:-_LAST] + _TEXT_END.sub("", said[-_LAST:])).rstrip()
    wrapped = _WRAPPED.match(said)
    return _WRAPPER_END.sub("", wrapped["said"]).strip() if wrapped else said


def _behind_channels(text: str) -> str | None:
    """The final channel of a text in gpt-oss's format; a text without channels as it is."""
    if _BARE_CHANNELS.match(text):
        _, mark, said = text.rpartition(_BARE_FINAL)
        return said if mark else None
    channels = [(found["channel"], found["said"]) for found in _CHANNEL.finditer(text)]
    if not channels:
        return text
    final = [said for channel, said in channels if channel == "final"]
    return "".join(final) if final else None


@cache
def _patterns(tags: tuple[Tags, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Opening tags at the start of a line, and closing tags anywhere."""
    openings = (*_OPENINGS, *(re.escape(opening) for opening, _ in tags))
    closings = (*_CLOSINGS, *(re.escape(closing) for _, closing in tags))
    return (
        re.compile(rf"^[ \t]*(?:{'|'.join(openings)})", re.IGNORECASE | re.MULTILINE),
        re.compile("|".join(closings), re.IGNORECASE),
    )


def strange_mark(text: str) -> str | None:
    """A tag at the start of a text, or a special token anywhere in it, that no rule took away; None without one."""
    found = _TAG_LIKE.match(text)
    if found:
        return found[1]
    special = _SPECIAL.search(text)
    return special[0] if special else None


def marks_note(name: str, texts: Iterable[str], *, many: float) -> str | None:
    """A warning where more than a share `many` of these texts, as they are taught, holds such marks."""
    texts = list(texts)
    marks = [mark for mark in map(strange_mark, texts) if mark]
    if not marks or len(marks) <= many * len(texts):
        return None
    commonest = max(sorted(set(marks)), key=marks.count)
    return (
        f"{name}: {len(marks):,} of {len(texts):,} texts start with a tag or hold a special token, mostly "
        f"{commonest!r}. It is no known mark of reasoning, and students would learn to write it. If the model thinks "
        "in such tags, name them: `teacher.reasoning_tags: [OPENING, CLOSING]`."
    )
