"""The connection `tributary_db`: its TLS settings reach the driver, and a server on another host must be verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dags.airflow_home import ROOT, environment, run, said

pytestmark = pytest.mark.airflow

_READ = """
from include.errors import ConfigurationError
from tributary import connections
try:
    print("URL", connections.database_url())
except ConfigurationError as error:
    print("URL", error)
"""


def read_url(uri: str, folder: Path) -> str:
    environ = environment(folder / "airflow", {"tributary_db": uri}, folder)
    return said(run(environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _READ), "URL")


def test_settings_of_tls_reach_the_driver(tmp_path: Path) -> None:
    uri = "postgresql://user:passw0rd@db.example:5432/tributary?sslmode=verify-full&sslrootcert=system"
    assert read_url(uri, tmp_path) == uri


def test_a_server_that_is_not_verified_is_refused(tmp_path: Path) -> None:
    refusal = read_url("postgresql://user:passw0rd@db.example:5432/tributary?sslmode=require", tmp_path)
    assert "sslmode=verify-full" in refusal
    assert "passw0rd" not in refusal
