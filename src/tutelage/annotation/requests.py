"""What is sent to a server, and the key under which its answers are kept.

One request asks for any number of samples; the number is no part of it, so that three samples asked for today and two
more tomorrow are five samples of one request. Its body, as it is hashed and sent:

    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tova has 12 beads ..."}],
     "temperature": 0.7, "max_tokens": 512}

Neither the address of the server nor the API key is part of it: the same model on another port has given the same
answers, and a key changes none. So a model's name must mean its weights; decision 13 says what follows from that.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
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
    weights: str | None = None
    """Digest of a model on this machine, which may change under its name; part of the key, and never sent."""

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
        content = {"endpoint": self.endpoint, **self.body, **({"weights": self.weights} if self.weights else {})}
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
        return max((int(self.sampling[name]) for name in LIMITS if self.sampling.get(name) is not None), default=None)

    @property
    def most_read(self) -> int:
        """More tokens than the prompt can have.

        A token is at least one byte of the text as the tokenizer reads it, which may be a longer normal form than what
        was sent. Chat templates add words of their own: a few for each turn, and some a page in front. A server that
        counts more all the same ends an annotation with a budget; see `Round`.
        """
        return sum(_most_bytes(m.text) + TURN for m in self.messages) + TEMPLATE


TURN = 16
"""Tokens that a chat template puts around a turn, at most."""
TEMPLATE = 1024
"""Tokens that a chat template may put in front of a conversation; a default system prompt of some takes hundreds."""
FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")


def _most_bytes(text: str) -> int:
    """Its bytes in the normal form that has the most: tokenizers of the NFKC kind read one ligature as 18 letters."""
    if text.isascii():
        return len(text)
    return max(len(form.encode()) for form in (text, *(unicodedata.normalize(name, text) for name in FORMS)))
