"""Child processes that outlive the command which started them, and are ended by another one.

Each is the leader of its own session, writes to its own log, and is recorded with its pid and the time at
which that was born: a pid alone may by now be somebody else's.

    state_dir/processes.json     in the order of their start
    state_dir/<name>.log
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from include.errors import ConfigurationError
from include.local.private_file import write_private

GRACE_SECONDS = 15.0
"""How long a process may take to end by itself before it is killed."""

SAME_BIRTH_SECONDS = 2.0
"""Births closer than this are one process: clocks are set by a little, and no pid comes round so fast."""


@dataclass(frozen=True)
class Process:
    """A process that we started.

    Attributes:
        name: ours, unique in its state folder.
        pid: also the id of its process group.
        born_at: seconds since 1970 at which the pid came to life.
    """

    name: str
    pid: int
    born_at: float


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
        running = {process.name: process.pid for process in self._read() if _is_alive(process)}
        if name in running:
            return running[name]
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        started = Process(name, child.pid, psutil.Process(child.pid).create_time())
        self._write([*(process for process in self._read() if process.name != name), started])
        return child.pid

    def environment(self, name: str) -> dict[str, str]:
        """The environment in which a process was started.

        Raises:
            ConfigurationError: It does not run.
        """
        for process in self._read():
            if process.name == name and _is_alive(process):
                return psutil.Process(process.pid).environ()
        raise ConfigurationError(f"{name} does not run here: start it with `make demo`")

    def log(self, name: str) -> Path:
        """Where `name` writes its output; later starts append."""
        return self.state_dir / f"{name}.log"

    def is_running(self, name: str) -> bool:
        """Whether the process that was started under this name still lives."""
        return any(process.name == name and _is_alive(process) for process in self._read())

    def stop_all(self) -> list[str]:
        """End what was started here, the last one first, each with its children, and nothing else.

        Returns:
            The names of those that still ran.
        """
        stopped = []
        for process in reversed(self._read()):
            if _stop(process):
                stopped.append(process.name)
            self._write([other for other in self._read() if other != process])
        return stopped

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


def _stop(process: Process) -> bool:
    """Ask the process and its kin to end, wait, then kill those that are left and those born since."""
    members = _find_members(process)
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, living = psutil.wait_procs(members, timeout=GRACE_SECONDS)
    left = {*living, *_find_members(process)}
    for member in left:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(left, timeout=GRACE_SECONDS)
    return bool(members)


def _find_members(process: Process) -> list[psutil.Process]:
    """The process, its group and all its children; none if its pid is now a stranger's.

    While any member of the group lives, nobody else is given the pid: a group without leader is still ours.
    """
    members: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(process.pid)
        if not _is_born_with(leader, process):
            return []
        members = {leader, *leader.children(recursive=True)}
    for other in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getpgid(other.pid) == process.pid:
                members.add(other)
    return [member for member in members if _is_running(member)]
