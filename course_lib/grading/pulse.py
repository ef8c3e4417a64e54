"""Notices when this process stood still: stopped from outside, or on a machine that was.

A student's time goes on meanwhile, and what the student's code did in it cannot be told from what it did not.
"""

from __future__ import annotations

import threading
import time
from functools import cache

BEAT = 0.5
STILL = 5.0
"""Seconds without a beat that count as standing still; a busy machine stays below."""


class Pulse:
    """Beats in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._still = 0.0
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def seconds_still(self) -> float:
        """How long this process has stood still so far."""
        with self._lock:
            gap = time.monotonic() - self._last
            return self._still + (gap if gap > STILL else 0.0)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT)
            with self._lock:
                now = time.monotonic()
                gap, self._last = now - self._last, now
                self._still += gap if gap > STILL else 0.0


@cache
def pulse() -> Pulse:
    """This process's."""
    return Pulse()
