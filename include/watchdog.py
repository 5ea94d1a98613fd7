"""Watchdog: find a component of Airflow that is alive but no longer works, and end it, so that it is restarted.

A scheduler can hang: if its main loop fails, for example because PostgreSQL restarts, it waits without limit for its executor's tasks, and
sends no heartbeat meanwhile. Docker restarts a container whose process ended, but not one that is unhealthy. So the health check of a
container runs this command, which ends the component if it hangs:

    python -m include.watchdog COMPONENT --end-children-of 1
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psutil
import psycopg

JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
"""The job type under which Airflow records the heartbeats of each component."""
COMPONENTS = (*JOBS, "api-server")

HEARTBEAT_AGE = timedelta(seconds=30)
"""Age at which Airflow, too, calls a component unhealthy. The components send a heartbeat every 5 s."""
HANG_SECONDS = 60.0
"""A component hangs if every check during this time fails."""
START_SECONDS = 120.0
"""A component that is younger than this may still be starting, and is not checked."""
POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 5


def is_working(component: str, environment: Mapping[str, str]) -> bool | None:
    """Return whether a component on this host works now; None if the metadata database does not answer, because no component works without it.

    The API server works if it answers a request in any way. The others work if they have sent a heartbeat recently.

    Args:
        component: One of `COMPONENTS`.
        environment: The environment variables of the component, with its settings `AIRFLOW__...`.
    """
    url = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg2://", "postgresql://", 1)
    query = "select max(latest_heartbeat) from job where job_type = %s and hostname = %s"
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_SECONDS) as connection:
            row = connection.execute(query, (JOBS.get(component), socket.gethostname())).fetchone()
    except psycopg.Error:
        return None
    if component not in JOBS:
        return _answers(f"http://127.0.0.1:{environment['AIRFLOW__API__PORT']}/api/v2/version")
    heartbeat = row[0] if row else None
    return heartbeat is not None and datetime.now(UTC) - heartbeat < HEARTBEAT_AGE


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if the component works, otherwise 1; end it first if it hangs. This takes up to `HANG_SECONDS`."""
    parser = argparse.ArgumentParser(prog="watchdog", description=__doc__.splitlines()[0])
    parser.add_argument("component", choices=COMPONENTS)
    parser.add_argument(
        "--end-children-of", type=int, required=True, metavar="PID", help="the component's parent process"
    )
    arguments = parser.parse_args(argv)
    first_check = time.monotonic()
    while not (works := is_working(arguments.component, os.environ)):
        children = psutil.Process(arguments.end_children_of).children()
        is_starting = any(time.time() - child.create_time() < START_SECONDS for child in children)
        if works is None or is_starting:
            return 1
        if time.monotonic() - first_check > HANG_SECONDS:
            print(f"{arguments.component} hangs: ending it, so that it is restarted", file=sys.stderr)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            return 1
        time.sleep(POLL_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
