"""Hand over pulls when their worker shuts down: another worker resumes them at once, and they lose no try.

A Celery worker that gets SIGTERM takes no more tasks, and ends after those that it runs. Celery waits for them without limit, but a container is
killed after its grace period, and a pull may take hours. So the worker passes the signal on to its tasks. Pulls end at once; Airflow ignores the signal in
all other tasks, which run to their end.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType

import psutil
from airflow.sdk.exceptions import AirflowRescheduleException

from include.watchdog import SHUTTING_DOWN


class _ShutDown(BaseException):
    """The worker shuts down. It is not an `Exception`, so that no code of a pull catches it."""


@contextmanager
def hand_over_on_shutdown() -> Iterator[None]:
    """End the block at SIGTERM, and let Airflow run the task again at once, on any worker. Call it in the main thread of a task.

    Raises:
        AirflowRescheduleException: The task got the signal.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _ShutDown

    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
    except _ShutDown:
        raise AirflowRescheduleException(datetime.now(UTC)) from None


def pass_on_shutdown(**_: object) -> None:
    """Send SIGTERM to all tasks of this worker, and show the watchdog that the worker shuts down. Celery calls it with the signal's details."""
    from setproctitle import setproctitle  # of Airflow, except on macOS

    setproctitle(SHUTTING_DOWN)
    for slot in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            for task in slot.children():
                with suppress(psutil.NoSuchProcess):
                    task.terminate()
