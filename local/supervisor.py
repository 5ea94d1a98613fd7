"""Supervisor process: restart PostgreSQL and every recorded process of a state folder when they die, PostgreSQL first.

A component of Airflow that is alive but no longer works is killed, and then restarted as if it had died.

Before a process is restarted, its remaining children are killed: a killed scheduler leaves workers and tasks behind that keep its
database session and row locks. A process that keeps dying is restarted at growing intervals, without limit.

    state_dir/supervisor.log    one line per restart or kill

`python -m local.supervisor STATE_DIR POSTGRES_DATA_DIR POSTGRES_PORT`
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from include import watchdog
from include.errors import ConfigurationError
from local.postgres import Postgres
from local.processes import Processes

NAME = "supervisor"
POLL_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
CALM_SECONDS = 60.0
"""Seconds after which a process counts as recovered, so that it is restarted at once when it dies."""

log = logging.getLogger(NAME)


def start(processes: Processes, postgres: Postgres) -> int:
    """Start a supervisor for the PostgreSQL server and all recorded processes; return its pid."""
    command = [sys.executable, "-m", "local.supervisor"]
    where = [str(processes.state_dir.absolute()), str(postgres.data_dir), str(postgres.port)]
    return processes.start(NAME, [*command, *where], folder=Path(__file__).parents[1])


def stop(processes: Processes) -> bool:
    """Stop the supervisor; return whether it ran."""
    return processes.stop(NAME)


@dataclass
class Pace:
    """Restart delays of one process: none after a stable run, then 1, 2, 4, ... seconds between starts, up to `LONGEST_PAUSE_SECONDS`."""

    failures: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def pause(self) -> float:
        """Seconds from the last start to the next one."""
        return min(LONGEST_PAUSE_SECONDS, 2.0 ** (self.failures - 1)) if self.failures else 0.0

    def is_due(self) -> bool:
        """Return whether the dead process may be restarted now. Forget its failures if it ran longer than `CALM_SECONDS`."""
        lived = time.monotonic() - self.started
        if lived > CALM_SECONDS:
            self.failures = 0
        return lived >= self.pause

    def record_start(self) -> None:
        """Count a start."""
        self.failures += 1
        self.started = time.monotonic()


def watch(processes: Processes, postgres: Postgres, end: Event) -> None:
    """Restart dead processes until `end` is set. While PostgreSQL is down, start no other process, because all of them need it."""
    paces: dict[str, Pace] = {}
    hangs = Hangs(processes)
    while not end.wait(POLL_SECONDS):
        if postgres.pid is None:
            _restart("postgres", paces, lambda: Postgres.start(postgres.data_dir, postgres.port))
            continue
        living = processes.pids()
        for name in processes.names():
            if name not in (NAME, *living) and not end.is_set():
                _restart(name, paces, lambda name=name: processes.restart(name))  # type: ignore[misc]
        hangs.kill(living)


@dataclass
class Hangs:
    """Finds the components of Airflow that hang.

    Attributes:
        processes: The record of the components.
        worked: When each component last worked, by pid (monotonic seconds). For a new component, this is a time in the future, so that
            it has time to start.
        due: When to check again (monotonic seconds).
    """

    processes: Processes
    worked: dict[int, float] = field(default_factory=dict)
    due: float = 0.0

    def kill(self, living: dict[str, int]) -> None:
        """Kill the components that failed all checks for `watchdog.HANG_SECONDS`.

        Args:
            living: The pid of each live process, by name.
        """
        if time.monotonic() < self.due:
            return
        self.worked = {pid: worked for pid, worked in self.worked.items() if pid in living.values()}
        for name in living.keys() & set(watchdog.COMPONENTS):
            try:
                is_failing = watchdog.is_working(name, self.processes.environment(name)) is False
            except ConfigurationError:  # another command has just stopped it
                continue
            except Exception as error:  # the supervisor must live, whatever a check meets
                log.error("%s could not be checked: %s", name, error)
                continue
            now, pid = time.monotonic(), living[name]
            worked = self.worked.setdefault(pid, now + watchdog.START_SECONDS)
            if not is_failing:
                self.worked[pid] = max(now, worked)
            elif now - worked > watchdog.HANG_SECONDS:
                log.warning("%s hangs: it is alive, but does not work; killing it", name)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.due = time.monotonic() + watchdog.POLL_SECONDS


def _restart(name: str, paces: dict[str, Pace], restart: Callable[[], object]) -> None:
    pace = paces.setdefault(name, Pace())
    if not pace.is_due():
        return
    pace.record_start()
    try:
        restart()
    except Exception as error:
        log.error("%s died and could not be restarted; next attempt in %.0f s: %s", name, pace.pause, error)
    else:
        log.warning("%s died and was restarted in %.1f s", name, time.monotonic() - pace.started)


def main() -> None:
    """Run until SIGTERM. Complete a restart in progress, because only a recorded process can be stopped later."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    state_dir, data_dir, port = sys.argv[1:]
    end = Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    watch(Processes(Path(state_dir)), Postgres(Path(data_dir), int(port)), end)


if __name__ == "__main__":
    main()
