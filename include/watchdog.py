"""Watchdog: find a component of Airflow that is alive but no longer works, and end it, so that it is restarted.

A scheduler can hang in two ways:

- Its main loop fails, for example because PostgreSQL restarts. Then it waits without limit for its executor's tasks, and sends no heartbeat.
- An idle worker of LocalExecutor is killed while it holds the lock of the task queue. Then the other workers wait for this lock without
  limit, and no task starts.

A worker of Celery that hangs answers no ping. Its tasks stop with it and are retried elsewhere, but a message that Redis had sent to it is
lost until the worker ends or Airflow queues the task again.

Docker restarts a container whose process ended, but not an unhealthy one. So the health check of a container runs this command, which ends
the component if it hangs:

    python -m include.watchdog COMPONENT --end-children-of 1
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg

JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
"""The job type under which Airflow records the heartbeats of each component."""
COMPONENTS = (*JOBS, "api-server", "worker")

HEARTBEAT_AGE = timedelta(seconds=30)
"""A component whose last heartbeat is older does not work. Airflow's own limit is the same; components send a heartbeat every 5 s."""
QUEUED_AGE = timedelta(minutes=3)
"""Time in the queue after which a task shows that LocalExecutor is stuck. The scheduler queues no more tasks than there are free workers."""
HANG_SECONDS = 60.0
"""A component is ended if every check during this time fails."""
START_SECONDS = 120.0
"""A component that is younger than this may still be starting, and is never ended."""
POLL_SECONDS = 5.0
TIMEOUT_SECONDS = 5
PING_SECONDS = 60
"""Time limit of a ping of a worker, most of which is the start of the command."""
SHUTTING_DOWN = "celery worker: shutting down"
"""Title of the process of a worker that only waits for the end of its tasks. It answers no ping."""
CELERY = ("celery", "--app", "airflow.providers.celery.executors.celery_executor.app")
_PATIENCE = f"set local statement_timeout = '{TIMEOUT_SECONDS}s'"

# The newest heartbeat, and when the oldest queued task was queued. A queued task does not count if an earlier scheduler queued it, because the
# new one queues it again after a while; nor if another task started more than a minute after it was queued.
_NEWEST_JOB = """
select job.latest_heartbeat, (
    select min(queued_dttm) from task_instance q where %(is_local)s and q.state = 'queued' and q.queued_by_job_id = job.id
    and not exists (select from task_instance r where r.queued_by_job_id = job.id and r.start_date > q.queued_dttm + interval '1 minute'))
from job where job_type = %(job_type)s and hostname = %(hostname)s order by id desc limit 1
"""


def is_working(component: str, environment: Mapping[str, str]) -> bool | None:
    """Return whether a component on this host works now.

    - The API server works if it answers a request, with any status.
    - A worker of Celery works if it answers a ping.
    - Every other component works if its last heartbeat is younger than `HEARTBEAT_AGE`.
    - A scheduler with LocalExecutor must also start tasks. It does not work if a task has been queued for `QUEUED_AGE`, and no task started
      more than a minute after that one was queued.

    Args:
        component: One of `COMPONENTS`.
        environment: The environment variables of the component, with its settings `AIRFLOW__...`.

    Returns:
        None if the metadata database or, for a worker, the broker does not answer: no component works without it, and a restart would not
        help.
    """
    url = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg2://", "postgresql://", 1)
    values = {
        "job_type": JOBS.get(component, ""),
        "hostname": socket.gethostname(),
        "is_local": component == "scheduler" and environment.get("AIRFLOW__CORE__EXECUTOR") == "LocalExecutor",
    }
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_SECONDS) as connection:
            connection.execute(_PATIENCE)  # not a startup option, which a connection pool refuses
            row = connection.execute(_NEWEST_JOB, values).fetchone()
    except psycopg.Error:
        return None
    if component == "worker":
        return _answers_ping() or (None if not _accepts(environment["AIRFLOW__CELERY__BROKER_URL"]) else False)
    if component not in JOBS:
        return _answers(environment["AIRFLOW__API__PORT"], environment.get("AIRFLOW__API__SSL_CA_FILE"))
    if row is None:
        return False
    heartbeat, queued = row
    now = datetime.now(UTC)
    return now - heartbeat < HEARTBEAT_AGE and (queued is None or now - queued < QUEUED_AGE)


def _answers(port: str, authority: str | None) -> bool:
    """Return whether the API server on this host answers; over TLS if there is a certificate authority, which must have issued its certificate."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    url = f"http://127.0.0.1:{port}/api/v2/version"
    if authority:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority)))
        url = f"https://localhost:{port}/api/v2/version"
    try:
        urllib.request.build_opener(*handlers).open(url, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True


def _answers_ping() -> bool:
    """Return whether the worker of Celery on this host answers a ping, which it gets through the broker."""
    ping = [
        *CELERY,
        "inspect",
        "ping",
        "--timeout",
        str(TIMEOUT_SECONDS),
        "--destination",
        f"celery@{socket.gethostname()}",
    ]
    try:
        return subprocess.run(ping, check=False, capture_output=True, timeout=PING_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _accepts(url: str) -> bool:
    """Return whether the server of a URL accepts connections."""
    parts = urllib.parse.urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Check a component; return 0 if it works, otherwise 1. If every check fails for `HANG_SECONDS`, end the component before returning.

    The component is not ended if it may still be starting, if it is a worker that shuts down, or if the metadata database does not answer.
    """
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
        is_stopping = any(" ".join(child.cmdline()).startswith(SHUTTING_DOWN) for child in children)
        if works is None or is_starting or is_stopping:
            return 1
        if time.monotonic() - first_check > HANG_SECONDS:
            _report(f"{arguments.component} hangs: ending it, so that it is restarted")
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            return 1
        time.sleep(POLL_SECONDS)
    return 0


def _report(line: str) -> None:
    """Print a line to the health check's output and, through the container's first process, to the container's log."""
    print(line, file=sys.stderr)
    with suppress(OSError), Path("/proc/1/fd/2").open("w") as log:
        log.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
