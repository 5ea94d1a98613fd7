"""Processes that start with Airflow and the heavy libraries imported, because they are forked from a server that has them.

Importing Airflow takes three seconds of CPU, its API server eight, Great Expectations four. One server imports them for all processes of a
run of the tests, when a test first needs it. A forked process reads all settings from its own environment, so it is otherwise like a
process of its own.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
_SERVE = "import sys; from tests.forked import serve; serve(sys.argv[1], int(sys.argv[2]))"


class Forked:
    """A process that calls `target(*args, pipe)`; `pipe` here is the other end of it.

    If this handle is closed or its own process ends, the process is killed.
    """

    def __init__(self, target: Callable[..., object], *args: Any) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(_start_server())
            socket.send_fds(server, [b"0"], [theirs.fileno()])
            self._server = Connection(server.detach())
        theirs.close()
        self._server.send((target, args))
        self.pid: int = self._server.recv()
        self.exitcode: int | None = None

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the process."""
        if self.exitcode is None and self._server.poll(timeout):
            self.exitcode = self._server.recv()

    def is_alive(self) -> bool:
        self.join(0)
        return self.exitcode is None

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive():
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def result(self, timeout: float = 60) -> Any:
        """Return what the function of `submit` returned, or raise what it raised."""
        assert self.pipe.poll(timeout), f"no result in {timeout} s"
        result = self.pipe.recv()
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        self.pipe.close()
        self._server.close()


def submit(function: Callable[..., object], *args: Any) -> Forked:
    """Start a process that calls the function, for `Forked.result`."""
    return Forked(_submit, function, args)


def _submit(function: Callable[..., object], args: tuple[Any, ...], pipe: Connection) -> None:
    try:
        result = function(*args)
    except Exception as error:
        pipe.send(error)
        raise
    pipe.send(result)


def start_airflow(environ: Mapping[str, str], code: str, folder: Path) -> Forked:
    """Start a process of an Airflow with these settings, which runs the code; its output is in `stdout` and `stderr` in the folder."""
    return Forked(_run, dict(environ), code, folder)


@cache
def _start_server() -> str:
    """Start the server unless another process of this run has started it; return the path of its socket."""
    folder = Path(tempfile.gettempdir()) / f"tributary-forked-{_RUN[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "socket"
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    with (folder / "lock").open("w") as lock, (folder / "log").open("a") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            command = [sys.executable, "-c", _SERVE, str(path), str(owner)]
            server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
            assert server.stdout
            assert server.stdout.readline() == b"ready\n", (folder / "log").read_text()
            server.stdout.close()
    return str(path)


def serve(path: str, owner: int) -> None:
    """Fork a process for each connection, as long as the process that owns the run lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[Connection, BaseProcess] = {}
    try:
        importlib.import_module("tests.preloaded")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        os.write(1, b"ready\n")
        os.dup2(2, 1)
        while psutil.pid_exists(owner):
            ended = {process.sentinel: caller for caller, process in running.items()}
            for each in wait([listener, *running, *ended], timeout=1):
                if each is listener:
                    _fork(listener, running)
                elif each in ended and (caller := ended[each]) in running:
                    process = running.pop(caller)
                    process.join()
                    with suppress(OSError):
                        caller.send(process.exitcode)
                    caller.close()
                elif each in running:  # a caller sends nothing more, so it has closed its end
                    running[each].kill()
    finally:
        for process in running.values():
            process.kill()
        shutil.rmtree(Path(path).parent)


def _fork(listener: socket.socket, running: dict[Connection, BaseProcess]) -> None:
    accepted, _ = listener.accept()
    _, [handle], _, _ = socket.recv_fds(accepted, 1, 1)
    caller, pipe = Connection(accepted.detach()), Connection(handle)
    request = caller.recv_bytes()
    process = multiprocessing.get_context("fork").Process(
        target=_call, args=(request, pipe, [listener, caller, *running])
    )
    process.start()
    pipe.close()
    caller.send(process.pid)
    running[caller] = process


def _call(request: bytes, pipe: Connection, inherited: list[Any]) -> None:
    for each in inherited:
        each.close()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    target, args = pickle.loads(request)
    target(*args, pipe)


def _run(environ: Mapping[str, str], code: str, folder: Path, pipe: Connection) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(ROOT)
    sys.path[:0] = environ["PYTHONPATH"].split(os.pathsep)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
    _initialize_airflow()
    try:
        exec(compile(code, "<test>", "exec"), {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends its processes without them


def _initialize_airflow() -> None:
    """Initialize the imported Airflow as its first import does, from this process's environment."""
    from airflow import configuration, settings

    configuration.AIRFLOW_HOME = settings.AIRFLOW_HOME = configuration.get_airflow_home()
    configuration.AIRFLOW_CONFIG = configuration.get_airflow_config(configuration.AIRFLOW_HOME)
    configuration.conf.__dict__.update(configuration.initialize_config().__dict__)
    settings.initialize()
