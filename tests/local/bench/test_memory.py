"""The peak memory that benchmarks report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local.bench.memory import read_peak

ROOT = Path(__file__).parents[3]
READ = "from local.bench.memory import read_peak; {}; print(read_peak())"
OWN_MB, PARENTS_MB = 100, 300


def read_in_another_process(statement: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", READ.format(statement)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def test_the_peak_of_a_process_includes_what_it_has_freed_and_nothing_of_its_parent() -> None:
    held = bytearray(PARENTS_MB * 2**20)
    assert read_peak() > PARENTS_MB
    assert OWN_MB < read_in_another_process(f"bytearray({OWN_MB * 2**20})") < len(held) / 2**20
