"""From a question to the messages that a teacher is sent, by a Jinja file with a block for each message.

    {% block system %}You write worked solutions ...{% endblock %}
    {% block user %}{{ put.ask(question, choices, passages) }}{% endblock %}

A file without blocks is one message of the user. It sees `question`, `choices` (each with `letter` and `text`),
`passages` (`title` and `text`), `shots` (`question`, `choices`, `rationale`, `answer`), `answer_form` (how the answer
is to be given), `words` (None for any length), `task`, and with `teacher.hint` also `gold`.

Texts of questions and passages are data: what looks like a template in them is sent as it stands, and blocks are
rendered apart, so that no text can open a message of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import yaml
from jinja2 import ChoiceLoader, DictLoader, FunctionLoader, StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tutelage.annotation.requests import Message
from tutelage.errors import RecipeError
from tutelage.formats import LETTERS
from tutelage.plugins import unknown
from tutelage.types import Passage, Question

OURS = ("zero-shot", "few-shot", "hinted", "few-shot-hinted")
ROLES: tuple[Literal["system", "user", "assistant"], ...] = ("system", "user", "assistant")
MAIN = "your prompt"

FORMS = {
    "letter": "the letter of the right option, and nothing else",
    "yes_no": "yes or no, and nothing else",
    "number": "the number alone, without a unit",
    "words": "the answer in as few words as possible",
    "math": "a mathematical expression in LaTeX, without words",
}
"""How an answer is to be given, by answer type."""


class SolvedQuestion(NamedTuple):
    """A question with reasons and answer, shown before the one that is asked."""

    question: str
    choices: tuple[str, ...]
    rationale: str
    answer: str


class Prompt:
    """A template, ready to be filled in."""

    def __init__(self, name_or_path: str, *, hint: bool = False) -> None:
        """One of ours by name, or a file. Raises RecipeError where there is none, or where it is no template."""
        self.hint = hint
        self.source = _source(name_or_path)
        environment = ImmutableSandboxedEnvironment(
            loader=ChoiceLoader([DictLoader({MAIN: self.source}), FunctionLoader(_ours)]),
            autoescape=False,  # prompts are no HTML
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        try:
            self._template = environment.get_template(MAIN)
        except TemplateError as error:
            raise RecipeError(f"teacher.prompt: {name_or_path}: line {_line(error)}: {error}") from error
        tree = environment.parse(self.source)
        self._has_blocks = bool(self._template.blocks) or any(tree.find_all(nodes.Extends))
        if self._has_blocks and (stray := _outside(tree)):
            raise RecipeError(
                f"teacher.prompt: {name_or_path}: {stray!r} stands outside of the blocks and would not be sent. Put it "
                f"into one: {', '.join(ROLES)}."
            )
        strange = sorted(set(self._template.blocks) - set(ROLES))
        if strange:
            raise RecipeError(f"teacher.prompt: {name_or_path}: {unknown('message', strange[0], ROLES)}")
        self.name = name_or_path

    @property
    def fingerprint(self) -> str:
        """What the words of the prompt amount to: SHA-256 of the template and of what it may include."""
        return hashlib.sha256("\0".join([self.source, _ours("question.j2") or ""]).encode()).hexdigest()

    def messages(
        self,
        question: Question,
        answers: str,
        *,
        passages: Sequence[Passage] = (),
        shots: Sequence[SolvedQuestion] = (),
        words: int | None = None,
    ) -> tuple[Message, ...]:
        """What is sent for a question; `answers` is the name of the task's answer type.

        Raises RecipeError where the template asks for what there is not, such as `gold` without `teacher.hint`.
        """
        values: dict[str, Any] = {
            "question": question.text,
            "choices": _lettered(question.choices),
            "passages": [{"title": p.title, "text": p.text} for p in passages],
            "shots": [{**shot._asdict(), "choices": _lettered(shot.choices)} for shot in shots],
            "answer_form": FORMS.get(answers, "the answer alone"),
            "words": words,
            "task": question.task,
        }
        if self.hint:
            values["gold"] = question.answer
        try:
            messages = self._rendered(values)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            advice = " `gold` needs `teacher.hint: true`." if "'gold' is undefined" in str(error) else ""
            raise RecipeError(f"teacher.prompt: {self.name}: {type(error).__name__}: {error}.{advice}") from error
        if not any(message.role == "user" for message in messages):
            raise RecipeError(f"teacher.prompt: {self.name}: sends no message of the user for {question.text[:60]!r}.")
        return messages

    def _rendered(self, values: Mapping[str, Any]) -> tuple[Message, ...]:
        template: Template = self._template
        if self._has_blocks:
            messages = [Message(role, _block(template, role, values)) for role in ROLES]
        else:
            messages = [Message("user", _tidy(template.render(values)))]
        return tuple(message for message in messages if message.text)


def default_prompt(*, hint: bool, shots: int) -> str:
    """Which of ours fits."""
    return ("few-shot" if shots else "zero-shot") if not hint else ("few-shot-hinted" if shots else "hinted")


def our_shots(task: str, answers: str) -> tuple[SolvedQuestion, ...]:
    """Solved questions of our own: of the task's kind where we wrote such, else of its answer type."""
    folder = _prompts().joinpath("shots")
    named = next(
        (folder.joinpath(f"{name}.yaml") for name in (task, answers) if folder.joinpath(f"{name}.yaml").is_file()), None
    )
    if named is None:
        raise RecipeError(f"teacher.shots: we wrote none for answers of type {answers!r}; name a `shots_file`.")
    rows = cast("list[dict[str, Any]]", yaml.safe_load(named.read_text(encoding="utf-8")))
    return tuple(
        SolvedQuestion(row["question"], tuple(map(str, row.get("choices", ()))), row["rationale"], row["answer"])
        for row in rows
    )


def shots_fingerprint() -> str:
    """What our solved questions amount to."""
    texts = sorted(path.read_text(encoding="utf-8") for path in _prompts().joinpath("shots").iterdir())
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _prompts() -> Traversable:
    return files("tutelage.annotation").joinpath("prompts")


def _source(name_or_path: str) -> str:
    if name_or_path in OURS:
        return _ours(f"{name_or_path}.j2") or ""
    path = Path(name_or_path).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise RecipeError(f"teacher.prompt: no file; {unknown('prompt', name_or_path, OURS)}") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"teacher.prompt: {path}: not UTF-8") from error


def _ours(name: str) -> str | None:
    path = _prompts().joinpath(name)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _lettered(choices: Sequence[str]) -> list[dict[str, str]]:
    return [{"letter": letter, "text": text} for letter, text in zip(LETTERS, choices, strict=False)]


def _block(template: Template, role: str, values: Mapping[str, Any]) -> str:
    context = template.new_context(dict(values))
    list(template.root_render_func(context))  # names that the file imports or sets, and blocks of one that it extends
    return _tidy("".join(context.blocks[role][0](context))) if role in context.blocks else ""


def _outside(tree: nodes.Template) -> str:
    """The first words outside of all blocks; empty where there are none."""
    pieces = (piece for node in tree.body if isinstance(node, nodes.Output) for piece in node.nodes)
    stray = (piece.data.strip() if isinstance(piece, nodes.TemplateData) else "{{ ... }}" for piece in pieces)
    return next(filter(None, stray), "")[:40]


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _line(error: TemplateError) -> object:
    return getattr(error, "lineno", "?")
