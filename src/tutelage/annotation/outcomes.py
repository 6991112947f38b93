"""What can become of a call, and of a sample that was asked for. Each has exactly one, and all are counted.

A call ends once: with an answer, or with a fault that says whether to try again, and whether it may have been paid for.
A sample ends once too: written, or with the reason why there is no text to learn from.
"""

from __future__ import annotations

from enum import StrEnum


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
    """The text reached the limit of tokens; what there is of it is kept."""
    REFUSED = "refused"
    """The server says that the model declined, or filtered the text."""
    EMPTY = "empty"
    FAILED = "failed"
    """Every try ended with a fault."""
    REJECTED = "rejected"
    """The server finds fault with the request itself, e.g. it is too long for the model."""

    @property
    def has_text(self) -> bool:
        """Whether there is something to grade."""
        return self in (Outcome.WRITTEN, Outcome.CUT)


RETRIED = (Outcome.FAILED, Outcome.REJECTED, Outcome.REFUSED, Outcome.EMPTY)
"""What `--retry-failed` asks for again. A cut text would be cut again."""
