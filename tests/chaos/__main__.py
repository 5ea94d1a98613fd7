"""Kill and stop processes of a demo, round after round, and compare it with an undisturbed twin.

python -m tests.chaos 0-19 [--folder DIR]
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from local.airflow_api import ReportLine
from local.demo import STATE
from tests.chaos.arena import Arena


def read_seeds(text: str) -> list[int]:
    """Parse seeds: `7` is one, `0-19` are twenty, commas join: `0-4,17`."""
    parts = [part.partition("-") for part in text.split(",")]
    return [seed for first, dash, last in parts for seed in range(int(first), int(last if dash else first) + 1)]


def run(seeds: Sequence[int], folder: Path, report_line: ReportLine) -> list[int]:
    """Run the seeds in one demo; after one that failed, keep that demo's folder and start another.

    Returns:
        The seeds that failed.
    """
    failed: list[int] = []
    arena: Arena | None = None
    try:
        for seed in seeds:
            if arena is None:
                began, here = time.monotonic(), folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-from-{seed}"
                arena = Arena.start(here, report_line)
                report_line(
                    f"The demo has loaded its first day and is copied, after {time.monotonic() - began:.0f} s: {here}"
                )
            report = arena.run(seed)
            report_line(str(report))
            if report.reasons:
                failed.append(seed)
                (arena.demo.folder / "chaos.txt").write_text(
                    "\n\n".join([str(report), *report.faults, *report.reasons])
                )
                failing, arena = arena, None  # an interrupt must not remove the demo
                failing.stop()
                report_line(f"Kept: {failing.demo.folder.parent}, reasons in demo/chaos.txt")
    finally:
        if arena is not None:
            arena.remove()
    return failed


def main() -> int:
    """Run the seeds; return exit code 1 if one failed."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=read_seeds, help="0-19, 7, or 0-4,17")
    parser.add_argument(
        "--folder", type=Path, default=STATE / "chaos", help="where demos and logs of failures are kept"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)

    def print_line(line: str) -> None:
        print(line, flush=True)

    try:
        failed = run(arguments.seeds, arguments.folder.absolute(), print_line)
    except KeyboardInterrupt:
        return 130
    number = len(arguments.seeds)
    print_line(
        f"{number - len(failed)} of {number} seeds passed"
        + (f"; failed: {', '.join(map(str, failed))}" if failed else "")
    )
    return 1 if failed else 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
