"""Child processes that outlive the command which started them, and are restarted and ended by others.

Each is the leader of its own session, writes to its own log, and is recorded with its pid and the time at
which that was born: a pid alone may by now be somebody else's.

    state_dir/processes.json     0600, in the order of their first start: pids, commands and environments
    state_dir/<name>.log
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from include.errors import ConfigurationError
from local.private_file import write_private

GRACE_SECONDS = 15.0
"""How long a process may take to end by itself before it is killed."""

SAME_BIRTH_SECONDS = 2.0
"""Births closer than this are one process: clocks are set by a little, and no pid comes round so fast."""


@dataclass(frozen=True)
class Process:
    """A process that we started.

    Attributes:
        name: ours, unique in its state folder.
        pid: also the id of its session.
        born_at: seconds since 1970 at which the pid came to life.
        command: what it runs.
        environment: its whole environment; None is that of the process that starts it.
        folder: its working directory.
        restarts: how often it was started again since its first start.
    """

    name: str
    pid: int
    born_at: float
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    folder: str | None = None
    restarts: int = 0


class Processes:
    """The processes recorded in one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._record = state_dir / "processes.json"

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> int:
        """Start `command` in a session of its own, with a log; one that runs already is left as it is.

        Returns:
            Its pid.
        """
        with self._lock():
            for process in self._read():
                if process.name == name and _is_alive(process):
                    return process.pid
            where = str(folder) if folder else None
            started = self._spawn(Process(name, 0, 0.0, [str(part) for part in command], environment, where))
            self._write([*(process for process in self._read() if process.name != name), started])
        return started.pid

    def restart(self, name: str) -> int:
        """Kill what is left of the process, its orphans included, and start it again as it was started first.

        Returns:
            Its new pid.
        """
        with self._lock():
            process = self._find(name)
            _kill(process, self._sessions(name))
            started = self._spawn(replace(process, restarts=process.restarts + 1))
            self._write([started if other.name == name else other for other in self._read()])
        return started.pid

    def pids(self) -> dict[str, int]:
        """The pid of every recorded process that lives, by name."""
        return {process.name: process.pid for process in self._read() if _is_alive(process)}

    def names(self) -> list[str]:
        """All recorded processes, in the order of their first start, whether they live or not."""
        return [process.name for process in self._read()]

    def restarts(self, name: str) -> int:
        """How often a process was restarted; 0 for one that is not recorded."""
        return next((process.restarts for process in self._read() if process.name == name), 0)

    def environment(self, name: str) -> dict[str, str]:
        """The environment in which a process was started.

        Raises:
            ConfigurationError: It was not started, or was stopped.
        """
        return dict(self._find(name).environment or {})

    def log(self, name: str) -> Path:
        """Where `name` writes its output; later starts append."""
        return self.state_dir / f"{name}.log"

    def is_running(self, name: str) -> bool:
        """Whether the process that was started under this name still lives."""
        return any(process.name == name and _is_alive(process) for process in self._read())

    def stop(self, name: str) -> bool:
        """End one process with its children, and forget it.

        Returns:
            Whether it still ran.
        """
        for process in self._read():
            if process.name == name:
                was_running = _stop(process, self._sessions(name))
                with self._lock():
                    self._write([other for other in self._read() if other.name != name])
                return was_running
        return False

    def stop_all(self) -> list[str]:
        """End what was started here, the last one first, each with its children, and nothing else.

        Returns:
            The names of those that still ran.
        """
        return [name for name in reversed(self.names()) if self.stop(name)]

    def _sessions(self, name: str) -> set[int]:
        """The sessions of all processes but `name`, which may have restarted them: then they are its children."""
        return {process.pid for process in self._read() if process.name != name}

    def _find(self, name: str) -> Process:
        for process in self._read():
            if process.name == name:
                return process
        raise ConfigurationError(f"{name} does not run here: start it with `make demo`")

    def _spawn(self, process: Process) -> Process:
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log(process.name).open("ab") as log:
            child = subprocess.Popen(
                process.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=process.environment,
                cwd=process.folder,
                start_new_session=True,
            )
        return replace(process, pid=child.pid, born_at=psutil.Process(child.pid).create_time())

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other commands from changing the record."""
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.state_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> list[Process]:
        if not self._record.exists():
            return []
        return [Process(**fields) for fields in json.loads(self._record.read_text(encoding="utf-8"))]

    def _write(self, processes: Sequence[Process]) -> None:
        write_private(self._record, json.dumps([asdict(process) for process in processes], indent=1))


def find_free_port(preferred: int | None = None) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on: `preferred` if it is free, else any."""
    for port in (preferred, 0) if preferred else (0,):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            free: int = probe.getsockname()[1]
            return free
    raise OSError("no TCP port of 127.0.0.1 is free")


def _is_alive(process: Process) -> bool:
    """Whether the recorded process lives: a zombie does not, and a stranger with its pid is not it."""
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(process.pid)
        return _is_born_with(found, process) and _is_running(found)
    return False


def _is_running(found: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    return False


def _is_born_with(found: psutil.Process, process: Process) -> bool:
    return abs(found.create_time() - process.born_at) < SAME_BIRTH_SECONDS


def _stop(process: Process, others: set[int]) -> bool:
    """Ask the process and its kin to end, wait, then kill those that are left and those born since."""
    members = _find_members(process, others)
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    psutil.wait_procs(members, timeout=GRACE_SECONDS)
    _kill(process, others, members)
    return bool(members)


def _kill(process: Process, others: set[int], members: Sequence[psutil.Process] = ()) -> None:
    """Kill those of `members` that are left, and the whole session, until no process of it is born any more."""
    left = {member for member in members if _is_running(member)}
    while left := {*left, *_find_members(process, others)}:
        for member in left:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        _, living = psutil.wait_procs(left, timeout=GRACE_SECONDS)
        if living:
            return
        left = set()


def _find_members(process: Process, others: set[int]) -> list[psutil.Process]:
    """The process, its session and all its children, but those of the sessions `others`; none if its pid is now a stranger's.

    The session, not the process group: Airflow gives each task a group of its own. While any member of it lives, no other process
    is given the pid: a session without leader is still ours.
    """
    kin: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(process.pid)
        if not _is_born_with(leader, process):
            return []
        kin = {leader, *leader.children(recursive=True)}
    members = []
    for candidate in {*kin, *psutil.process_iter()}:
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            session = os.getsid(candidate.pid)
            if session == process.pid or (candidate in kin and session not in others):
                members.append(candidate)
    return [member for member in members if _is_running(member)]
