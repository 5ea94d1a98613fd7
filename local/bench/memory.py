"""The peak memory of a process."""

from __future__ import annotations

import re
from pathlib import Path


def read_peak() -> float:
    """Return the most memory that this process has used so far, in MB (2**20 bytes).

    The kernel's `ru_maxrss` serves only for a process whose parent is small: a new process begins with its parent's figure.
    """
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) / 1024
