"""An Airflow that serves the Operations pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.check import report
from include.check.report import Finding
from include.warehouse import schema
from local import airflow
from local.airflow_api import AirflowApi
from tests.api_server import serve
from tests.conftest import Database
from tests.operations.quality_records import load_household, record_validation
from tests.operations.records import record_check, record_day, record_dead_letter, record_event_troubles
from tests.plugins.pages.operations_pages import SCRIPT, Served


def record_report(database: Database) -> None:
    """Store a report whose findings contain markup."""
    engine = schema.engine(database.url())
    found = [Finding("login", "green", "The login works."), Finding(SCRIPT, "red", "Missing.", f"Declare {SCRIPT}.")]
    report.record(engine, "orion", "run-1", found)
    engine.dispose()


@pytest.fixture(scope="module")
def served(
    shared_database: Database, airflow_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    record_day(shared_database)
    record_check(shared_database)
    record_dead_letter(shared_database, SCRIPT, reason=SCRIPT)
    record_dead_letter(shared_database, "=1+1", reason="=HYPERLINK(1)")
    record_event_troubles(shared_database, SCRIPT)
    load_household(shared_database, tmp_path_factory.mktemp("staging"), SCRIPT, SCRIPT)
    record_report(shared_database)
    record_validation(shared_database, failed=2, expectation=SCRIPT, notes=SCRIPT)
    connections = {
        "tributary_db": shared_database.url("tributary_web").replace("postgresql://", "postgres://"),
        "tamarac": json.dumps({"conn_type": "http", "host": "http://127.0.0.1:1"}),
    }
    roles = {airflow.USER: "admin", "looker": "viewer"}
    with serve(tmp_path_factory.mktemp("airflow"), airflow_database, connections, roles) as (url, passwords):
        admin, viewer = (AirflowApi(url, name, word).log_in() for name, word in passwords.items())
        yield Served(url, admin, viewer, shared_database)
