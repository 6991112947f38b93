"""How many calls may be under way at once: as many as allowed, fewer while the server asks for calm.

A call that is turned away halves the number. Every answered one lets it grow again: soon to nearly what it was when a
call was turned away, then slowly, as TCP feels its way to what a line carries. Calls that were under way when it was
halved say nothing new, so they do not halve it again.
"""

from __future__ import annotations

import random

BACK = 4.0
"""By how much the number grows while as many calls are answered as may be under way, after it was halved."""
BEYOND = 0.5
"""The same from nine tenths of where it was halved."""


class Pace:
    """Reckons with a clock of the caller's: seconds that only grow."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._allowed = float(most)
        self._slowed_at = float("-inf")
        self._too_many = float("inf")
        self.resumes_at = float("-inf")
        """No call may start before this time."""

    @property
    def allowed(self) -> int:
        """Calls that may be under way, at least one."""
        return max(1, int(self._allowed))

    def answered(self) -> None:
        """Let a little more happen at once."""
        growth = BACK if self._allowed < 0.9 * self._too_many else BEYOND
        self._allowed = min(float(self.most), self._allowed + growth / self._allowed)

    def slow_down(self, *, started: float, now: float, wait: float | None) -> None:
        """Half as many after a call that started at `started` was turned away; none at all for `wait` seconds."""
        if started >= self._slowed_at:
            self._too_many, self._allowed = self._allowed, max(1.0, self._allowed / 2)
            self._slowed_at = now
        if wait:
            self.resumes_at = max(self.resumes_at, now + wait)


def backoff(attempt: int, *, first: float, longest: float, rng: random.Random) -> float:
    """Seconds before try `attempt` (1 is the first repetition): doubling, and never two clients in step."""
    return min(longest, first * 2 ** (attempt - 1)) * (0.5 + rng.random())
