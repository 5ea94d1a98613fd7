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
    environ = environment(folder / "airflow", {"tributary_db": uri})
    return said(run(environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _READ), "URL")


_READ_SESSION = """
from tributary import connections
print("URL", connections.session_database().url.host)
"""


def test_the_salesforce_sync_uses_the_connection_for_sessions(tmp_path: Path) -> None:
    pooled, direct = (f"postgresql://user:passw0rd@{host}:5432/tributary" for host in ("127.0.0.1", "localhost"))
    hosts = []
    for known in ({"tributary_db": pooled, "tributary_db_session": direct}, {"tributary_db": pooled}):
        environ = environment(tmp_path / "airflow", known)
        hosts.append(said(run(environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _READ_SESSION), "URL"))
    assert hosts == ["localhost", "127.0.0.1"]


def test_settings_of_tls_reach_the_driver(tmp_path: Path) -> None:
    uri = "postgresql://user:passw0rd@db.example:5432/tributary?sslmode=verify-full&sslrootcert=system"
    assert read_url(uri, tmp_path) == uri


def test_a_server_that_is_not_verified_is_refused(tmp_path: Path) -> None:
    refusal = read_url("postgresql://user:passw0rd@db.example:5432/tributary?sslmode=require", tmp_path)
    assert "sslmode=verify-full" in refusal
    assert "passw0rd" not in refusal
