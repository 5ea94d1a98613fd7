"""A process that restarts what died: PostgreSQL first, then every recorded process of a state folder.

A killed scheduler leaves workers and tasks behind that keep its database session open, and with it locks on rows. So what is left of
a process is killed before the process is started again. One that keeps dying is started at growing intervals, without an end.

    state_dir/supervisor.log    a line for every restart

`python -m local.supervisor STATE_DIR POSTGRES_DATA_DIR POSTGRES_PORT`
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from local.postgres import Postgres
from local.processes import Processes

NAME = "supervisor"
POLL_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
CALM_SECONDS = 60.0
"""A process that lived this long has recovered: when it dies, it is restarted at once."""

log = logging.getLogger(NAME)


def start(processes: Processes, postgres: Postgres) -> int:
    """Restart the server and all recorded `processes` when they die, from now on; returns the supervisor's pid."""
    command = [sys.executable, "-m", "local.supervisor"]
    where = [str(processes.state_dir.absolute()), str(postgres.data_dir), str(postgres.port)]
    return processes.start(NAME, [*command, *where], folder=Path(__file__).parents[1])


def stop(processes: Processes) -> bool:
    """Restart nothing from now on; returns whether a supervisor ran."""
    return processes.stop(NAME)


@dataclass
class Pace:
    """The pauses of one process: none after a calm life, then 1, 2, 4, ... seconds between two starts."""

    failures: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def pause(self) -> float:
        """Seconds from the last start to the next one."""
        return min(LONGEST_PAUSE_SECONDS, 2.0 ** (self.failures - 1)) if self.failures else 0.0

    def is_due(self) -> bool:
        """Whether the process, which is dead, may be started now."""
        lived = time.monotonic() - self.started
        if lived > CALM_SECONDS:
            self.failures = 0
        return lived >= self.pause

    def record_start(self) -> None:
        """Count a start."""
        self.failures += 1
        self.started = time.monotonic()


def watch(processes: Processes, postgres: Postgres, end: Event) -> None:
    """Restart what died until `end`. While the server is down nothing else is started, for all of it needs the server."""
    paces: dict[str, Pace] = {}
    while not end.wait(POLL_SECONDS):
        if postgres.pid is None:
            _restart("postgres", paces, lambda: Postgres.start(postgres.data_dir, postgres.port))
            continue
        living = processes.pids()
        for name in processes.names():
            if name not in (NAME, *living) and not end.is_set():
                _restart(name, paces, lambda name=name: processes.restart(name))  # type: ignore[misc]


def _restart(name: str, paces: dict[str, Pace], restart: Callable[[], object]) -> None:
    pace = paces.setdefault(name, Pace())
    if not pace.is_due():
        return
    pace.record_start()
    try:
        restart()
    except Exception as error:
        log.error("%s died and could not be restarted, next try in %.0f s: %s", name, pace.pause, error)
    else:
        log.warning("%s died and was restarted in %.1f s", name, time.monotonic() - pace.started)


def main() -> None:
    """Watch until SIGTERM. A restart that has begun is completed, for a process must be recorded to be ended."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    state_dir, data_dir, port = sys.argv[1:]
    end = Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    watch(Processes(Path(state_dir)), Postgres(Path(data_dir), int(port)), end)


if __name__ == "__main__":
    main()
