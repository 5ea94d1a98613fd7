"""Airflow's API server with the packages and the sign-on settings of production, on SQLite."""

from __future__ import annotations

import itertools
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from local import airflow
from local.production_packages import install_packages

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
_NUMBERS = itertools.count(1)
LOG = "api-server.log"
START_S = 300  # the first start writes hundreds of permissions
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SIGN_ON = ("AIRFLOW__CORE__AUTH_MANAGER", "AIRFLOW__FAB__", "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME")


@dataclass(frozen=True)
class Production:
    """A running API server.

    Attributes:
        url: Of the server.
        home: Its AIRFLOW_HOME, with the database `airflow.db`.
        settings: Its environment.
        python: The Python of its virtual environment.
    """

    url: str
    home: Path
    settings: Mapping[str, str]
    python: Path

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Airflow's command line."""
        return run_airflow(self.python, self.settings, *arguments)

    def query(self, statement: str, *values: str | bytes) -> list[Any]:
        """Execute a statement in Airflow's database."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database, database:
            return database.execute(statement, values).fetchall()

    def events(self) -> list[dict[str, Any]]:
        """Return the recorded sign-on events."""
        return [json.loads(event) for event in re.findall(r"sign-on (\{.*\})", (self.home / LOG).read_text())]

    def open_browser(self, address: str | None = None) -> httpx.Client:
        """Return a client with cookies and an address of its own, because attempts to log in are limited by address."""
        address = address or f"198.51.100.{next(_NUMBERS)}"
        return httpx.Client(base_url=self.url, headers={"X-Forwarded-For": address}, timeout=60)


def run_airflow(python: Path, settings: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-m", "airflow", *arguments]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=200, check=False)


@contextmanager
def serve(home: Path, port: int, **environment: str) -> Iterator[Production]:
    """Migrate a new database, and yield a running server with the sign-on settings of docker-compose.yaml."""
    python = install_packages()
    settings = _read_settings(home, port, python) | environment
    migrated = run_airflow(python, settings, "db", "migrate")
    assert migrated.returncode == 0, migrated.stderr[-3000:]
    with (home / LOG).open("w") as log:
        command = [python, "-m", "airflow", *COMPOSE["services"]["api-server"]["command"][1:]]
        process = subprocess.Popen(command, env=settings, stdout=log, stderr=log, cwd=home)
    try:
        server = Production(f"http://{HOST}:{port}", home, settings, python)
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(120)


def _read_settings(home: Path, port: int, python: Path) -> dict[str, str]:
    settings = airflow.environment(home, f"sqlite:///{home}/airflow.db", port, ROOT)
    compose: dict[str, Any] = COMPOSE["x-airflow-environment"]
    return settings | {
        **{name: str(value) for name, value in compose.items() if name.startswith(SIGN_ON)},
        "AIRFLOW__FAB__CONFIG_FILE": str(ROOT / "docker" / "webserver_config.py"),
        "AIRFLOW__FAB__COOKIE_SECURE": "False",  # the test's requests use http
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "FORWARDED_ALLOW_IPS": "*",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }


def _wait(server: Production, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        with suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/api/v2/version", timeout=5).is_success:
                return
        time.sleep(0.5)
    raise AssertionError((server.home / LOG).read_text()[-3000:])
