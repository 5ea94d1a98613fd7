"""Wait for something that another process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(is_done: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.2)
