"""Airflow with the Celery executor, in the shape of docker-compose.yaml: PostgreSQL, Redis with TLS, and real workers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from include.errors import TargetUnavailable
from local import airflow
from local.airflow_api import AirflowApi
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from local.production_packages import ROOT, install_packages
from local.redis_server import run_redis

COMPONENTS = ("api-server", "scheduler", "dag-processor")
WORKER = ("celery", "worker", "--skip-serve-logs")
START_SECONDS = 300.0
"""Seconds that a worker may take to start."""
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["x-airflow-environment"]


@dataclass(frozen=True)
class Celery:
    """A running Airflow without workers.

    Attributes:
        api: A client, logged in.
        settings: The environment of its processes.
        processes: Its processes; `start_worker` adds workers.
        python: The Python of the production image's packages.
    """

    api: AirflowApi
    settings: Mapping[str, str]
    processes: Processes
    python: Path

    def start_worker(self, name: str, queue: str, slots: int, **environment: str) -> psutil.Process:
        """Start a worker that takes the tasks of a queue; return its main process."""
        options = ["--celery-hostname", name, "--queues", queue, "--concurrency", str(slots)]
        command = [str(self.python), "-m", "airflow", *WORKER, *options]
        settings, folder = {**self.settings, **environment}, Path(self.settings["AIRFLOW_HOME"])
        return psutil.Process(self.processes.start(name, command, environment=settings, folder=folder))

    def wait_workers(self, names: Sequence[str]) -> None:
        """Wait until the workers take tasks.

        Raises:
            TargetUnavailable: A worker is not ready after `START_SECONDS`.
        """
        end = time.monotonic() + START_SECONDS
        for name in names:
            while f"{name} ready." not in (log := self.processes.log(name)).read_text():
                if time.monotonic() > end:
                    raise TargetUnavailable("The worker did not start; see its log", worker=name, log=log)
                time.sleep(0.2)


@contextmanager
def run_celery(
    folder: Path,
    dags: Path,
    connections: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    **environment: str,
) -> Iterator[Celery]:
    """Run Airflow's components until the block ends, and stop them and all workers then.

    Args:
        folder: Folder of its files.
        dags: Folder of DAGs.
        connections: Each connection as URI or JSON, by its id.
        variables: The value of each Airflow Variable, by its name.
        environment: Further environment variables of its processes.
    """
    python, port = install_packages(), find_free_port()
    with Postgres.temporary() as postgres, run_redis(folder) as redis:
        postgres.create_database("airflow")
        url = postgres.url("airflow")
        home = folder / "home"
        known = airflow.environment(
            home, url, port, ROOT, dags_folder=dags, connections=connections, variables=variables
        )
        settings = known | {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": "32",
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": COMPOSE["AIRFLOW__OPERATORS__DEFAULT_QUEUE"],
            "AIRFLOW__CELERY__BROKER_URL": redis.replace("/1?", "/0?ssl_cert_reqs=CERT_REQUIRED&"),
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{url.replace('postgresql://', 'postgresql+psycopg2://', 1)}",
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "C_FORCE_ROOT": "1",  # Celery refuses to run as root, as in a container of the tests
            **environment,
        }
        processes = Processes(folder / "state")
        try:
            migrate = [str(python), "-m", "airflow", "db", "migrate"]
            subprocess.run(migrate, env=settings, cwd=home, check=True, capture_output=True)
            without_pages = {name: value for name, value in settings.items() if name != airflow.PLUGINS_FOLDER}
            for name in COMPONENTS:
                command = [str(python), "-m", "airflow", *airflow.COMPONENTS[name]]
                own = settings if name == "api-server" else without_pages
                processes.start(name, command, environment=own, folder=home)
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(home))
            api.log_in()
            yield Celery(api, without_pages, processes, python)
        finally:
            processes.stop_all()
