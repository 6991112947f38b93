"""How many calls at once: half after a call that is turned away, a little more after each that is answered."""

import random

from tutelage.annotation.pace import Pace, backoff


def test_it_starts_at_the_most_that_is_allowed():
    """A client that feels its way up leaves a free server idle for minutes."""
    assert Pace(64).allowed == 64


def test_calls_turned_away_together_halve_it_once():
    """64 calls that meet one overload would otherwise bring it down to one."""
    pace = Pace(64)
    for _ in range(10):
        pace.slow_down(started=0.0, now=5.0, wait=None)
    assert pace.allowed == 32
    pace.slow_down(started=6.0, now=7.0, wait=None)
    assert pace.allowed == 16


def test_it_never_falls_below_one_and_grows_back():
    """A pace of nothing would never learn that the server is well again."""
    pace = Pace(8)
    for second in range(10):
        pace.slow_down(started=float(second), now=float(second), wait=None)
    assert pace.allowed == 1
    for _ in range(100):
        pace.answered()
    assert pace.allowed == 8


def test_what_the_server_asks_to_wait_is_waited():
    """Whoever asks before the time is turned away again, and some servers count it."""
    pace = Pace(8)
    pace.slow_down(started=0.0, now=10.0, wait=3.0)
    pace.slow_down(started=0.0, now=10.0, wait=1.0)
    assert pace.resumes_at == 13.0


def test_backoff_doubles_is_bounded_and_never_in_step():
    """Clients in step meet again at every try."""
    waits = [[backoff(n, first=1.0, longest=8.0, rng=random.Random(seed)) for seed in range(50)] for n in (1, 2, 3, 9)]
    for tries, middle in zip(waits, (1.0, 2.0, 4.0, 8.0), strict=True):
        assert middle / 2 <= min(tries) < max(tries) <= middle * 1.5
        assert len(set(tries)) == 50
