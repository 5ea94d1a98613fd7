"""Processes that outlive the command that started them, so that later commands can restart and stop them.

Each process leads its own session and writes to its own log. It is recorded with its pid and its start time, because a pid
may be reused.

    state_dir/processes.json     0600: pids, commands and environments, in the order of the first start
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
"""Seconds that a process has to exit after SIGTERM before it is killed."""

SAME_BIRTH_SECONDS = 2.0
"""Two start times of a pid that differ by less than this belong to the same process.

The clock may be adjusted slightly, and no pid is reused this fast.
"""


@dataclass(frozen=True)
class Process:
    """A process that we started.

    Attributes:
        name: The name that we gave it, unique in its state folder.
        pid: Its pid, which is also the id of its session.
        born_at: Its start time, in seconds since 1970.
        command: Its command and arguments.
        environment: All of its environment variables; None if it inherited those of the process that started it.
        folder: Its working directory; None if it inherited that of the process that started it.
        restarts: Number of restarts since its first start.
    """

    name: str
    pid: int
    born_at: float
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    folder: str | None = None
    restarts: int = 0


class Processes:
    """The processes recorded in one state folder. Several commands may use the same folder at the same time."""

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
        """Start `command` in its own session with its own log, unless a process of this name runs; return the pid of the running process."""
        with self._lock():
            for process in self._read():
                if process.name == name and _is_alive(process):
                    return process.pid
            where = str(folder) if folder else None
            started = self._spawn(Process(name, 0, 0.0, [str(part) for part in command], environment, where))
            self._write([*(process for process in self._read() if process.name != name), started])
        return started.pid

    def restart(self, name: str) -> int:
        """Kill the process and its remaining children, and start it again with the recorded command and environment; return the new pid.

        Raises:
            ConfigurationError: No process of this name is recorded.
        """
        with self._lock():
            process = self._find(name)
            _kill(process, self._sessions(name))
            started = self._spawn(replace(process, restarts=process.restarts + 1))
            self._write([started if other.name == name else other for other in self._read()])
        return started.pid

    def pids(self) -> dict[str, int]:
        """Return the pid of each recorded process that is alive, by name."""
        return {process.name: process.pid for process in self._read() if _is_alive(process)}

    def names(self) -> list[str]:
        """Return the names of all recorded processes, dead ones included, in the order of their first start."""
        return [process.name for process in self._read()]

    def restarts(self, name: str) -> int:
        """Return the number of restarts of a process; 0 if it is not recorded."""
        return next((process.restarts for process in self._read() if process.name == name), 0)

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment variables of a recorded process; empty if it inherited them.

        Raises:
            ConfigurationError: The process was not started, or was stopped.
        """
        return dict(self._find(name).environment or {})

    def log(self, name: str) -> Path:
        """Return the path of the log file of `name`, to which each start appends."""
        return self.state_dir / f"{name}.log"

    def is_running(self, name: str) -> bool:
        """Return whether the process recorded under this name is alive."""
        return any(process.name == name and _is_alive(process) for process in self._read())

    def stop(self, name: str) -> bool:
        """Stop a process with its children and remove it from the record; return whether it was running. False if it is not recorded."""
        for process in self._read():
            if process.name == name:
                was_running = _stop(process, self._sessions(name))
                with self._lock():
                    self._write([other for other in self._read() if other.name != name])
                return was_running
        return False

    def stop_all(self) -> list[str]:
        """Stop all recorded processes with their children, in reverse order of their first start; return the names of those that ran."""
        return [name for name in reversed(self.names()) if self.stop(name)]

    def _sessions(self, name: str) -> set[int]:
        """Return the session ids of all recorded processes except `name`.

        A process that `name` restarted is a child of `name`, but must keep running when `name` is stopped.
        """
        return {process.pid for process in self._read() if process.name != name}

    def _find(self, name: str) -> Process:
        for process in self._read():
            if process.name == name:
                return process
        raise ConfigurationError(f"{name} is not running here: start it with `make demo`")

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
                umask=0o077,  # logs, reports and the sandbox hold invented or real clients
            )
        return replace(process, pid=child.pid, born_at=psutil.Process(child.pid).create_time())

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the record during the block, so that no other command changes it at the same time."""
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
    """Return a free TCP port of 127.0.0.1: `preferred` if it is free, otherwise any other. Raise OSError if there is none."""
    for port in (preferred, 0) if preferred else (0,):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            free: int = probe.getsockname()[1]
            return free
    raise OSError("no TCP port of 127.0.0.1 is free")


def _is_alive(process: Process) -> bool:
    """Return whether the recorded process is alive; false for a zombie, and if another process now has the pid."""
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
    """Terminate a process and its children, and wait; then kill those that still run, and those that have started since.

    Args:
        process: The process.
        others: Session ids of other recorded processes. Children in these sessions are left running.

    Returns:
        Whether any of them ran.
    """
    members = _find_members(process, others)
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    psutil.wait_procs(members, timeout=GRACE_SECONDS)
    _kill(process, others, members)
    return bool(members)


def _kill(process: Process, others: set[int], members: Sequence[psutil.Process] = ()) -> None:
    """Kill a process, its session and those of `members` that still run; repeat while its session starts new processes.

    Give up if a process survives the kill for `GRACE_SECONDS`. Children in the sessions `others` are left running.
    """
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
    """Return the running members of a process: the process itself, its session, and its children, except those in the sessions `others`.

    If another process has the pid now, return none. The session is used instead of the process group, because Airflow gives each task its
    own group. Even without its leader, a session is still the process's own: a pid is not reused while a member of its session is alive.
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
