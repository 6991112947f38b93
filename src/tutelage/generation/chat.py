"""A causal model that was taught to converse: its prompts are conversations, put as its tokenizer's template says.

A prompt is the JSON of the messages: [{"role": "user", "content": "Tova has 12 beads ..."}]
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from tutelage.models import LanguageModel


@dataclass(frozen=True)
class ChatModel(LanguageModel):
    """The same model, asked by its chat template."""

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of a conversation up to where the model goes on.

        Marks of the template that stand in a message are broken up: a question must not end its own turn.
        """
        messages = [{**m, "content": self._harmless(m["content"])} for m in json.loads(text)]
        found: Any = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        return list(found["input_ids"])

    def _harmless(self, text: str) -> str:
        for mark in self.tokenizer.get_added_vocab():
            text = text.replace(mark, f"{mark[:1]} {mark[1:]}") if len(mark) > 1 else text
        return text


def conversing(lm: LanguageModel) -> ChatModel | None:
    """The model as one that converses; None where its tokenizer has no chat template."""
    if lm.kind != "causal" or not getattr(lm.tokenizer, "chat_template", None):
        return None
    return ChatModel(**{field.name: getattr(lm, field.name) for field in fields(lm)})
