"""Airflow with the Celery executor, in the shape of docker-compose.yaml: PostgreSQL, Redis with TLS, and real workers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from local import airflow
from local.airflow_api import AirflowApi
from local.postgres import Postgres
from local.processes import Processes, find_free_port
from tests.production_packages import ROOT, install_packages
from tests.running_redis import run_redis

COMPONENTS = ("api-server", "scheduler", "dag-processor")
WORKER = ("celery", "worker", "--skip-serve-logs")
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

    def start_worker(self, name: str, *arguments: str, **environment: str) -> psutil.Process:
        """Start a worker with further arguments of `airflow celery worker`; return its main process."""
        command = [self.python, "-m", "airflow", *WORKER, "--celery-hostname", name, *arguments]
        settings, folder = {**self.settings, **environment}, Path(self.settings["AIRFLOW_HOME"])
        return psutil.Process(self.processes.start(name, command, environment=settings, folder=folder))


@contextmanager
def run_celery(folder: Path, dags: Path, **environment: str) -> Iterator[Celery]:
    """Run Airflow's components until the block ends, and stop them and all workers then."""
    python, port = install_packages(), find_free_port()
    with Postgres.temporary() as postgres, run_redis(folder) as redis:
        postgres.create_database("airflow")
        url = postgres.url("airflow")
        settings = airflow.environment(folder / "home", url, port, ROOT, dags_folder=dags) | {
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
            migrate = [python, "-m", "airflow", "db", "migrate"]
            subprocess.run(migrate, env=settings, cwd=folder / "home", check=True, capture_output=True)
            without_pages = {name: value for name, value in settings.items() if name != airflow.PLUGINS_FOLDER}
            for name in COMPONENTS:
                command = [python, "-m", "airflow", *airflow.COMPONENTS[name]]
                own = settings if name == "api-server" else without_pages
                processes.start(name, command, environment=own, folder=folder / "home")
            api = AirflowApi(f"http://127.0.0.1:{port}", airflow.USER, airflow.read_password(folder / "home"))
            api.log_in()
            yield Celery(api, without_pages, processes, python)
        finally:
            processes.stop_all()


def wait_until(is_done: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.2)
