"""A vendor-day in a process of its own, which can be held at a named place and killed there.

The place is a function of the product, wrapped only inside that process. Before or after one of its calls, the process
reports that it is there, and waits for a message or for its end. Processes are forked from a server that has imported the
heavy libraries once; they share only a pipe with the test.
"""

from __future__ import annotations

import functools
import importlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from typing import Any, Literal

from include.connection import Connection
from include.contract import Vendor
from include.errors import TributaryError
from include.pipeline import vendor_day
from include.pipeline.run import Run, Site, VendorRun
from include.staging import files
from include.staging.partitions import Staging
from include.vendors import named
from include.warehouse import schema
from tests.firm_keys import KEYRING
from tests.forked import Forked
from tests.running_sandbox import NOW, PACE

Step = tuple[str, str]
"""A step and its table; the steps of the whole day name none."""

PATIENCE_S = 60


@dataclass(frozen=True)
class Hold:
    """A place where a worker waits.

    Attributes:
        step: The step in which its calls are counted.
        where: `module:function` or `module:Class.function`, as the caller looks it up.
        when: Before or after the call.
        call: Which of the calls, from 1.
        within: Counts only calls made inside this function.
    """

    step: Step
    where: str
    when: Literal["before", "after"] = "after"
    call: int = 1
    within: str = ""


@dataclass(frozen=True)
class Work:
    """What a worker does, and where; pages and parts are small, so that there are several of each."""

    database_url: str
    staging: str
    connection: Connection
    run: Run
    steps: tuple[Step, ...]
    paths: dict[str, str] = field(default_factory=dict)
    vendor: str = "orion"
    now: datetime = NOW
    page_rows: int = 60
    rows_a_part: int = 60
    _started: float = field(default_factory=time.monotonic)

    def clock(self) -> datetime:
        """The sandbox's day, at which time continues."""
        return self.now + timedelta(seconds=time.monotonic() - self._started)


def steps_of(vendor: Vendor) -> tuple[Step, ...]:
    """The tasks of a vendor's DAG, one after the other."""
    tables = [name for stage in vendor.stages for name in stage]
    each = {step: [(step, table) for table in tables] for step in ("stage", "transform")}
    return (*each["stage"], ("validate", ""), *each["transform"], ("publish", ""))


class Worker:
    """A running worker, as the test sees it.

    Attributes:
        done: Steps that it has reported, as their task would have.
        paths: Partition by table, as reported.
        error: Class and words of the error that ended it, if one did.
    """

    def __init__(self, work: Work, hold: Hold | None = None) -> None:
        self.work, self.done, self.paths, self.error = work, list[Step](), dict(work.paths), ""
        self._process = Forked(_run, work, hold)
        self._pipe = self._process.pipe

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.is_alive():
            self.kill()
        self._process.close()

    def wait_held(self) -> None:
        """Waits until it is at its place."""
        assert self._listen() == "held", f"ended without being held: {self.error or 'no error'}, did {self.done}"

    def go(self) -> None:
        """Tells it to go on from its place."""
        self._pipe.send("go")

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.signal(number)

    def kill(self) -> None:
        """Ends it as the kernel does when memory is short."""
        self.signal(signal.SIGKILL)
        self._listen()
        self._process.join(PATIENCE_S)
        assert self._process.exitcode == -signal.SIGKILL

    def finish(self) -> int:
        """Waits for its own end; returns the exit code."""
        assert self._listen() == "ended", "it is held"
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None
        return self._process.exitcode

    def rest(self) -> Work:
        """What a rerun has to do: the steps that were not reported."""
        left = tuple(step for step in self.work.steps if step not in self.done)
        return replace(self.work, steps=left, paths=self.paths)

    def _listen(self) -> str:
        """Receive its messages until it is held at the place, or has ended."""
        try:
            while self._pipe.poll(PATIENCE_S):
                message, step, value = self._pipe.recv()
                if message == "held":
                    return "held"
                if message == "failed":
                    self.error = value
                    continue
                self.done.append(step)
                self.paths |= value
        except (EOFError, ConnectionResetError):
            return "ended"
        raise AssertionError(f"no message in {PATIENCE_S} s; did {self.done}")


def _run(work: Work, hold: Hold | None, pipe: Pipe) -> None:
    files.ROWS_A_PART = work.rows_a_part
    known = named(work.vendor)
    vendor = replace(known, tables=tuple(replace(table, page_rows=work.page_rows) for table in known.tables))
    engine = schema.engine(work.database_url)
    site = Site(engine, Staging(work.staging, KEYRING.staging), KEYRING, work.clock, speed=PACE)
    vendor_run, paths = VendorRun(site, vendor, work.connection, work.run), dict(work.paths)
    for step in work.steps:
        if hold and hold.step == step:
            _wrap(hold, pipe)
        try:
            fresh = _do(step, vendor_run, paths)
        except TributaryError as error:
            pipe.send(("failed", step, f"{type(error).__name__}: {error}"))
            sys.exit(1)
        paths |= fresh
        pipe.send(("done", step, fresh))
    engine.dispose()


def _do(step: Step, vendor_run: VendorRun, paths: dict[str, str]) -> dict[str, str]:
    """Does one step as its task does; returns the path of what it pulled."""
    name, table = step
    if name == "stage":
        return {table: vendor_day.stage(vendor_run, table).path}
    partitions = {name: vendor_run.site.staging.open(path) for name, path in paths.items()}
    if name == "validate":
        vendor_day.validate(vendor_run, list(partitions.values()))
    elif name == "publish":
        vendor_day.publish(vendor_run, list(partitions.values()))
    else:
        vendor_day.transform(vendor_run, partitions[table])
    return {}


def _wrap(hold: Hold, pipe: Pipe) -> None:
    depth = _depth_of(hold.within) if hold.within else [1]
    calls = [0]

    def held(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        calls[0] += bool(depth[0])
        is_here = depth[0] > 0 and calls[0] == hold.call
        if is_here and hold.when == "before":
            _wait(hold, pipe)
        result = function(*args, **kwargs)
        if is_here and hold.when == "after":
            _wait(hold, pipe)
        return result

    _replace(hold.where, held)


def _depth_of(where: str) -> list[int]:
    """How many calls of a function are going on, in a list of one."""
    depth = [0]

    def counted(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        depth[0] += 1
        try:
            return function(*args, **kwargs)
        finally:
            depth[0] -= 1

    _replace(where, counted)
    return depth


def _replace(where: str, wrapper: Callable[..., Any]) -> None:
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    function = getattr(owner, name)

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return wrapper(function, *args, **kwargs)

    setattr(owner, name, around)


def _wait(hold: Hold, pipe: Pipe) -> None:
    pipe.send(("held", hold.step, None))
    pipe.recv()
