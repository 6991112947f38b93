"""How far an annotation is, for whoever watches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tutelage.annotation.budget import in_money
from tutelage.annotation.outcomes import Fate, Outcome


@dataclass(slots=True)
class Progress:
    """Samples and calls, as they end."""

    total: int
    """Samples wanted."""
    before: int = 0
    """Those that were there when it began."""
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    """Samples that are there now, with those from before."""
    fates: Counter[Fate] = field(default_factory=Counter[Fate])
    """Calls of this time."""
    tokens_read: int = 0
    tokens_written: int = 0
    cost: int | None = None
    """Spent, and perhaps spent, by all who ever wrote into the store; None without prices."""
    currency: str = ""
    seconds: float = 0.0
    under_way: int = 0
    allowed: int = 0
    """Calls that may be under way at once; fewer than set while the server asks for calm."""

    @property
    def done(self) -> int:
        """Samples with an outcome."""
        return self.outcomes.total()

    @property
    def left(self) -> float | None:
        """Seconds until all are done, at the mean rate of this time."""
        new = self.done - self.before
        return (self.total - self.done) * self.seconds / new if new > 0 else None

    @property
    def money(self) -> str | None:
        """What it has cost until now; None without prices."""
        return f"{in_money(self.cost):.4f} {self.currency}" if self.cost is not None else None

    def line(self) -> str:
        """All of it in one line."""
        rate = (self.done - self.before) / self.seconds if self.seconds > 0 else 0.0
        parts = [
            f"{self.done:,}/{self.total:,}",
            f"{rate:.1f}/s" if rate >= 1 or rate == 0 else f"{rate * 60:.1f}/min",
            f"{self.tokens_read:,} + {self.tokens_written:,} tokens",
            self.money or "",
            f"{duration(self.left)} left" if self.left is not None else "",
            f"{self.under_way} under way" + (f" of {self.allowed}" if self.allowed else ""),
            *(f"{count} {fate}" for fate, count in self.fates.items() if fate.is_fault),
        ]
        return "  ".join(part for part in parts if part)


Tell = Callable[[Progress], None]


def duration(seconds: float) -> str:
    """A time in the unit that suits it: 48 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
