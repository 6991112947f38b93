"""Ctrl-C while calls are under way: they are paid for, so they are waited for."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable


def on_interrupt(act: Callable[[], None]) -> Callable[[], None]:
    """Let Ctrl-C call `act`, where it would raise KeyboardInterrupt; gives a function that undoes it."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before = signal.getsignal(signal.SIGINT)
    if before in (signal.SIG_IGN, signal.SIG_DFL, None):
        return lambda: None
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, act)
    except NotImplementedError:  # not on this system
        return lambda: None

    def restore() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)

    return restore
