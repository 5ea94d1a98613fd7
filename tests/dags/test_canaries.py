"""Canaries: after good and bad runs, no planted secret or sensitive value is in any file, table, log or alert.

The files of the database are searched, with its write-ahead log: they also have what was updated or deleted. The server is the test's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.keys.keyring import generate_value_key
from include.staging.lines import read_lines
from include.validation.site import PLACE, read_site
from local.postgres import Postgres
from tests.conftest import Database, Firm, connect, create_database
from tests.dags.airflow_home import run, whole_run
from tests.firm_keys import write_keyring
from tests.pipeline.test_at_rest import read_files

pytestmark = pytest.mark.airflow


RETAINED = {"registrations": ["tax_id"], "accounts": ["account_number"]}


@pytest.fixture
def database(own_server: Postgres) -> Iterator[Database]:
    made = create_database(own_server, "tributary")
    yield made
    made.close()


@pytest.fixture(params=[{}, {"retained": json.dumps(RETAINED)}], ids=["no value retained", "values retained"])
def today(start_firm: Callable[..., Firm], request: pytest.FixtureRequest) -> Firm:
    firm = start_firm(now=datetime.now(UTC), households=20)
    firm.connection = connect(firm.sandbox, **request.param)
    return firm


def _read_places(firm: Firm) -> Iterator[tuple[str, bytes]]:
    """Read every file of the project and of Airflow, those of staging decrypted."""
    for place in ("staging", "airflow", "alerts.jsonl"):
        paths = [path for path in [firm.folder / place, *(firm.folder / place).rglob("*")] if path.is_file()]
        assert paths, place
        for path in paths:
            if place == "staging":
                lines = read_lines(firm.site.staging, str(path.relative_to(firm.folder / place)))
                yield str(path), "\n".join(lines).encode()
            elif not path.is_symlink():
                yield str(path), path.read_bytes()


def _read_tables(firm: Firm) -> Iterator[tuple[str, bytes]]:
    """Read every table as text: in the files, long values are compressed."""
    tables = firm.database.rows(
        "select table_schema || '.' || table_name as name from information_schema.tables "
        "where table_schema in ('control', 'warehouse', 'mart')"
    )
    for table in tables:
        yield table["name"], json.dumps(firm.database.rows(f"select * from {table['name']}"), default=str).encode()


def _write_into_texts(firm: Firm) -> None:
    """Put the tax id or the account number of each row into its free texts."""
    for table, name in (("clients", "ssN_TaxID"), ("registrations", "ssN_TaxID"), ("accounts", "number")):
        for row in firm.sandbox.rows(f"Portfolio/{table.title()}"):
            if value := row[name]:
                texts = {"name": f"Sample {value}, SSN {value.replace('-', '')}", "lastName": f"Sample {value}"}
                if table == "clients":
                    texts |= {"address1": f"1 Main St, c/o {value}"}
                firm.sandbox.admin("orion/set_fields", table=table, id=row["id"], set=texts)


@pytest.mark.long
def test_no_secret_and_no_sensitive_value_is_written_anywhere(
    airflow: dict[str, str], today: Firm, own_server: Postgres, tmp_path: Path
) -> None:
    keyring = f"{write_keyring()} {generate_value_key('test')[0]}"
    airflow["AIRFLOW_CONN_TRIBUTARY_KEYS"] = json.dumps({"conn_type": "generic", "password": keyring})
    today.sandbox.log_in(1)
    people = today.sandbox.rows("Portfolio/Clients") + today.sandbox.rows("Portfolio/Registrations")
    numbers = {row["ssN_TaxID"] for row in people if row["ssN_TaxID"]}
    accounts = {row["number"] for row in today.sandbox.rows("Portfolio/Accounts") if row["number"]}
    assert len(numbers) > 20
    assert len(accounts) > 50
    secrets = {"only for tests", today.connection.password, today.connection.extra["client_secret"]}
    _write_into_texts(today)
    canaries = {text.encode() for text in numbers | {n.replace("-", "") for n in numbers} | accounts | secrets}

    # Rows of every kind become dead letters, and then a whole run fails, so that dead letters, logs and an alert are searched.
    for route in ("registrations", "accounts", "assets"):
        today.sandbox.fault("poison", f"portfolio/{route}", field="isActive", value="poison", share=0.004, seed=3)
    run(airflow, whole_run("orion"))
    run(airflow, whole_run("salesforce"))
    is_retained = "retained" in today.connection.extra
    assert (today.database.value("select count(*) from warehouse.sealed_value") > 70) == is_retained
    today.sandbox.fault("field_renamed", "portfolio/clients", field="name", to="title")
    run(airflow, whole_run("orion"))
    assert today.database.value("select count(*) from control.dead_letter") > 0
    alert = (tmp_path / "alerts.jsonl").read_text()
    assert "SchemaDrift" in alert
    assert "vendor=orion table=clients" in alert

    contents = [*_read_tables(today), *_read_places(today)]
    contents += [(str(path), content) for path, content in read_files(own_server)]
    contents.append(("server.log", (own_server.data_dir / "log" / "server.log").read_bytes()))
    hash_ = today.database.value("select min(tax_id_hash) from warehouse.person").encode()
    hashed = {Path(name) for name, content in contents if hash_ in content}
    assert {path.parent.name for path in hashed} >= {"pg_wal"}
    assert any(path.name.startswith("part-") for path in hashed), "the staged rows were not searched"
    staging = today.folder / "staging"
    pages = {str(staging / PLACE / file) for file in read_site(today.site.staging).files.values()}
    assert len(pages) > 1
    assert {name for name, content in contents if b"<html" in content} >= pages, "a page of Data Docs was not searched"
    leaks = {(name, canary) for name, content in contents for canary in canaries if canary in content}
    assert leaks == set()
