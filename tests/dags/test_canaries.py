"""Canaries: after good and bad runs, no planted secret or sensitive value is in any file, table or alert."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import run, whole_run

pytestmark = pytest.mark.airflow


def _read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read every file below a folder, Parquet as the text of its rows."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content = json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
            yield path.name, content


def _read_tables(firm: Firm) -> Iterator[tuple[str, bytes]]:
    tables = firm.database.rows(
        "select table_schema || '.' || table_name as name from information_schema.tables "
        "where table_schema in ('control', 'warehouse', 'mart')"
    )
    for table in tables:
        yield table["name"], json.dumps(firm.database.rows(f"select * from {table['name']}"), default=str).encode()


@pytest.mark.long
def test_no_secret_and_no_sensitive_value_is_written_anywhere(
    airflow: dict[str, str], today: Firm, tmp_path: Path
) -> None:
    today.sandbox.log_in(1)
    people = today.sandbox.rows("Portfolio/Clients") + today.sandbox.rows("Portfolio/Registrations")
    numbers = {row["ssN_TaxID"] for row in people if row["ssN_TaxID"]}
    accounts = {row["number"] for row in today.sandbox.rows("Portfolio/Accounts") if row["number"]}
    assert len(numbers) > 20
    assert len(accounts) > 50
    secrets = {"only for tests", today.connection.password, today.connection.extra["client_secret"]}
    canaries = {text.encode() for text in numbers | {n.replace("-", "") for n in numbers} | accounts | secrets}

    # Rows of every kind die, and then a whole run fails, so that dead letters, logs and an alert are searched too.
    for route in ("registrations", "accounts", "assets"):
        today.sandbox.fault("poison", f"portfolio/{route}", field="isActive", value="poison", share=0.004, seed=3)
    run(airflow, whole_run("orion"))
    run(airflow, whole_run("salesforce"))
    today.sandbox.fault("field_renamed", "portfolio/clients", field="name", to="title")
    run(airflow, whole_run("orion"))
    assert today.database.value("select count(*) from control.dead_letter") > 0
    alert = (tmp_path / "alerts.jsonl").read_text()
    assert "SchemaDrift" in alert
    assert "vendor=orion table=clients" in alert

    places = {"staging", "docs", "airflow", "alerts.jsonl"}
    contents = [*_read_tables(today)]
    contents += [leaks for place in places for leaks in _read_files(tmp_path / place)]
    contents.append(("alerts", alert.encode()))
    assert len(contents) > 100
    leaks = {(name, canary) for name, content in contents for canary in canaries if canary in content}
    assert leaks == set()
