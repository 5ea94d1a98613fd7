"""Airflow's API server alone, with this project's plugins: on SQLite, from a database that is made once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from local import airflow
from local.private_file import write_private
from local.processes import find_free_port
from tests.dags.airflow_home import prepare
from tests.forked import ROOT, Forked, start_airflow

START_S = 90
STOP_S = 2
"""How long it may take to stop: it would wait a minute for connections that a browser has left open."""
_SERVE = """
import sys
from airflow.__main__ import main

sys.argv = ["airflow", "api-server"]
main()
"""


@contextmanager
def serve(
    folder: Path,
    known: Path,
    connections: Mapping[str, str],
    roles: Mapping[str, str] | None = None,
    **environment: str,
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the server's address, and its users' passwords.

    Args:
        folder: Of this server alone.
        known: Where Airflow's empty database is kept (the fixture `airflow_database`).
        connections: Airflow's connections, in the format of its environment variables.
        roles: User -> role; None for only the administrator.
        environment: Additional environment variables.
    """
    roles = roles or {airflow.USER: "admin"}
    home, port = folder / "home", find_free_port()
    settings = airflow.environment(
        home, f"sqlite:///{home}/airflow.db", port, ROOT, dags_folder=folder, connections=connections
    )
    passwords = dict.fromkeys(roles, "only-for-tests")
    write_private(home / "passwords.json", json.dumps(passwords))
    settings["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = ",".join(f"{name}:{role}" for name, role in roles.items())
    settings |= environment
    prepare(settings, known)
    process = start_airflow(settings, _SERVE, home)
    try:
        wait(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}", passwords
    finally:
        process.terminate()
        process.join(STOP_S)
        process.kill()
        process.join()


def wait(url: str, process: Forked) -> None:
    end = time.monotonic() + START_S
    while process.is_alive() and time.monotonic() < end:
        with suppress(requests.RequestException):
            requests.get(f"{url}/api/v2/version", timeout=5).raise_for_status()
            return
        time.sleep(0.5)
    raise AssertionError(f"the API server does not respond; exit code {process.exitcode}")
