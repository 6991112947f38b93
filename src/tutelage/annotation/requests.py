"""What is sent to a server, and the key under which its answers are kept.

One request asks for any number of samples; the number is no part of it, so that three samples asked for today and two
more tomorrow are five samples of one request. Its body, as it is hashed and sent:

    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tova has 12 beads ..."}],
     "temperature": 0.7, "max_tokens": 512}

Neither the address of the server nor the API key is part of it: the same model on another port has given the same
answers, and a key changes none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Endpoint = Literal["chat", "completion"]

LIMITS = ("max_completion_tokens", "max_tokens")
"""Names that servers have for the most tokens of a text, the newer one first."""


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for one model, with how to sample from it."""

    model: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any]
    """As the server names them: temperature, top_p, max_tokens, and whatever a server of the user's understands."""
    endpoint: Endpoint = "chat"
    """A completion's prompt is its messages, a blank line apart: for models that were never taught to converse."""

    @property
    def body(self) -> dict[str, Any]:
        """What is sent, without the number of samples."""
        if self.endpoint == "completion":
            return {"model": self.model, "prompt": "\n\n".join(m.text for m in self.messages), **self.sampling}
        messages = [{"role": m.role, "content": m.text} for m in self.messages]
        return {"model": self.model, "messages": messages, **self.sampling}

    @property
    def key(self) -> str:
        """SHA-256 of the endpoint and the body as canonical JSON: 64 hex digits."""
        content = {"endpoint": self.endpoint, **self.body}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def asking(self, samples: tuple[int, ...]) -> dict[str, Any]:
        """The body that asks for these samples at once.

        A seed is moved on by the number of the first sample: a server that writes one text a call would otherwise write
        the same one every time.
        """
        body = self.body if len(samples) == 1 else {**self.body, "n": len(samples)}
        return {**body, "seed": body["seed"] + samples[0]} if isinstance(body.get("seed"), int) else body

    @property
    def most_written(self) -> int | None:
        """Most tokens of one text; None where the request sets no limit, so that its cost has none."""
        return next((int(self.sampling[name]) for name in LIMITS if self.sampling.get(name) is not None), None)

    @property
    def most_read(self) -> int:
        """More tokens than the prompt can have.

        A token is at least one byte for every tokenizer that reads bytes in the end, as all current ones do. Chat
        templates add words of their own: a few for each turn, and some a whole paragraph in front.
        """
        return sum(len(m.text.encode()) + TURN for m in self.messages) + TEMPLATE


TURN = 16
"""Tokens that a chat template puts around a turn, at most."""
TEMPLATE = 256
"""Tokens that a chat template may put in front of a conversation that has no system message."""
