"""SIGKILL and SIGSTOP of one process of a running demo, and SIGCONT of all that were stopped."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from local.demo import Demo
from tests.chaos.plan import Fault

WAIT_FOR_VICTIM_S = 20.0
"""Seconds that a fault waits for a process of its kind, as no task may be running at its moment."""
WORKER = "airflow worker -- LocalExecutor"


@dataclass
class Striker:
    """Carries out the faults of one phase in a thread of its own.

    Attributes:
        log: Receives a line for each fault, with its second.
        label: Prefix of each line.
        last: Monotonic time of the last signal, SIGCONT included.
    """

    demo: Demo
    faults: Sequence[Fault]
    log: list[str]
    label: str = ""
    last: float = 0.0
    _end: threading.Event = field(default_factory=threading.Event)
    _stopped: dict[psutil.Process, float] = field(default_factory=dict)

    def __enter__(self) -> Striker:
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._end.set()
        self._thread.join()

    def join(self) -> None:
        """Wait until the last fault is over and all stopped processes have resumed."""
        self._thread.join()

    def _run(self) -> None:
        left = list(self.faults)
        try:
            while (left or self._stopped) and not self._end.is_set():
                now = time.monotonic()
                self._wake([process for process, due in self._stopped.items() if due <= now])
                if left and now - self._began >= left[0].after_s and self._strike(left[0]):
                    left.pop(0)
                self._end.wait(0.1)
        finally:
            self._wake(list(self._stopped))

    def _strike(self, fault: Fault) -> bool:
        """Strike a victim; return whether the fault is finished (a victim was struck, or none appeared in time)."""
        passed = time.monotonic() - self._began
        candidates = [each for each in find_victims(self.demo, fault.victim) if each not in self._stopped]
        if not candidates:
            if passed - fault.after_s > WAIT_FOR_VICTIM_S:
                self.log.append(f"{self.label}{passed:.1f}s {fault}: none there")
                return True
            return False
        victim = random.Random(fault.draw).choice(candidates)
        with suppress(psutil.NoSuchProcess):
            title = _title(victim)[:60]
            victim.send_signal(signal.SIGSTOP if fault.stopped_s else signal.SIGKILL)
            self.last = time.monotonic()
            if fault.stopped_s:
                self._stopped[victim] = self.last + fault.stopped_s
            name = title if fault.victim in ("task", "worker", "backend") else ""
            self.log.append(f"{self.label}{passed:.1f}s {fault} pid {victim.pid} {name}".rstrip())
        return True

    def _wake(self, processes: Sequence[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
            del self._stopped[process]
            self.last = time.monotonic()


def find_victims(demo: Demo, victim: str) -> list[psutil.Process]:
    """List the live processes of a kind by pid."""
    name = {"postmaster": "postgres", "backend": "postgres", "task": "scheduler", "worker": "scheduler"}.get(
        victim, victim
    )
    pid = demo.pids().get(name)
    with suppress(psutil.NoSuchProcess):
        if pid is None:
            return []
        leader = psutil.Process(pid)
        if victim not in ("backend", "task", "worker"):
            return [leader]
        children = sorted(leader.children(), key=lambda child: child.pid)
        if victim == "backend":
            return [child for child in children if " 127.0.0.1(" in _title(child)]
        workers = [child for child in children if _title(child).startswith(WORKER)]
        return workers if victim == "worker" else [task for worker in workers for task in worker.children()]
    return []


def _title(process: psutil.Process) -> str:
    """Return a process's title; empty if it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
