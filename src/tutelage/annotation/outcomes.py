"""What can become of a call, and of a sample that was asked for. Each has exactly one, and all are counted.

A call ends once: with an answer, or with a fault that says whether to try again, and whether it may have been paid for.
A sample ends once too: written, or with the reason why there is no text to learn from.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Fate(StrEnum):
    """What became of one call to the server."""

    ANSWERED = "answered"
    SLOWED = "rate limited"
    BROKEN = "server error"
    DROPPED = "connection dropped"
    UNREACHED = "server not reached"
    TIMED_OUT = "timed out"
    GARBLED = "answer not readable"
    REJECTED = "request rejected"
    DENIED = "access denied"
    LOST = "lost with its process"
    """The process that made the call was killed before the answer was stored."""

    @property
    def is_fault(self) -> bool:
        """Whether no answer came of it."""
        return self is not Fate.ANSWERED

    @property
    def is_free(self) -> bool:
        """Whether it certainly cost nothing: the server said so by its status, or was never reached."""
        return self in (Fate.SLOWED, Fate.BROKEN, Fate.UNREACHED, Fate.REJECTED, Fate.DENIED)

    @property
    def may_pass(self) -> bool:
        """Whether another try may help."""
        return self in (Fate.SLOWED, Fate.BROKEN, Fate.DROPPED, Fate.UNREACHED, Fate.TIMED_OUT, Fate.GARBLED)

    @property
    def asks_for_calm(self) -> bool:
        """Whether the server has more to do than it can."""
        return self in (Fate.SLOWED, Fate.BROKEN, Fate.TIMED_OUT)


class Outcome(StrEnum):
    """What became of one sample."""

    WRITTEN = "written"
    CUT = "cut off"
    """The text reached the limit of tokens; what there is of it is stored."""
    STOPPED = "stopped"
    """It ended for another reason, which the server names: an error, a call of a tool."""
    REFUSED = "refused"
    """The server says that the model declined, or filtered the text."""
    EMPTY = "empty"
    FAILED = "failed"
    """Every try ended with a fault."""
    REJECTED = "rejected"
    """The server finds fault with the request itself, e.g. it is too long for the model."""

    @property
    def has_text(self) -> bool:
        """Whether there is a whole text to grade."""
        return self is Outcome.WRITTEN


RETRIED = (Outcome.FAILED, Outcome.REJECTED, Outcome.REFUSED, Outcome.EMPTY, Outcome.STOPPED)
"""What `--retry-failed` asks for again. A cut text would be cut again."""

FINISHED = frozenset({"", "stop", "end_turn", "eos", "eos_token", "stop_sequence"})
"""Reasons, in lower case, for which a whole text ends: OpenAI's and Gemini's, Anthropic's, TGI's, or none at all."""
_REFUSING = frozenset(
    {"content_filter", "safety", "refusal", "recitation", "blocklist", "prohibited_content", "spii", "guardrails"}
)
_LIMITS = ("length", "token", "context")
"""Words in the reasons of a text that came to a limit: length, max_tokens, MAX_TOKENS, model_length."""
LONGEST_REASON = 40


class Ending(NamedTuple):
    """Why a text ended."""

    outcome: Outcome
    """WRITTEN where it is whole."""
    reason: str
    """In the server's word; empty for a whole text, and for OpenAI's `length` and `content_filter`."""

    @property
    def label(self) -> str:
        """Under which it is counted."""
        return label(self.outcome, self.reason)


def ending(reason: object) -> Ending:
    """What a server's `finish_reason` means. One that is not known to end a whole text does not."""
    name = " ".join(str("" if reason is None else reason).split())[:LONGEST_REASON]
    lower = name.lower()
    if lower in FINISHED:
        return Ending(Outcome.WRITTEN, "")
    if lower in _REFUSING:
        return Ending(Outcome.REFUSED, "" if lower == "content_filter" else name)
    if any(word in lower for word in _LIMITS):
        return Ending(Outcome.CUT, "" if lower == "length" else name)
    return Ending(Outcome.STOPPED, name)


def label(outcome: Outcome, reason: str) -> str:
    """An outcome with the server's word for it: "written", "cut off: max_tokens", "stopped: error"."""
    return f"{outcome}: {reason}" if reason else str(outcome)
