"""An installation of any earlier revision, with data in it, becomes the same as a fresh one and keeps every row."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from include.errors import ConfigurationError
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import Database, new_database
from tests.warehouse.catalog import read_catalog

ROOT = Path(__file__).parents[2]
MIGRATIONS = Path(schema.__file__).parent / "migrations"
VERSIONS = MIGRATIONS / "versions"
RELEASED = Path(__file__).parent / "released_migrations.sha256"
MIGRATE = "tributary_migrate"


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.set_main_option("path_separator", "os")
    return made


REVISIONS = [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()][::-1]

SINCE_0001 = """
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,
                            fetched, staged, dead, produced, inserted, money_in, money_out)
values (1, 'run-1', 'orion', 'assets', '', '2026-11-20', 'stage', 'pull-1', 'present', '2026-11-21', 3, 2, 1, 0, 0, null, null),
       (2, 'run-1', 'orion', 'assets', 'position', '2026-11-20', 'load', 'pull-1', 'present', '2026-11-21', 0, 0, 0, 2, 2, 33.33, 33.33),
       (3, 'run-2', 'orion', 'assets', 'position', '2026-11-19', 'load', 'pull-2', 'past', '2026-11-21', 0, 0, 0, 0, 0, null, null);
insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number, status)
values ('run-1', 'orion', 'assets', '2026-11-20', 'stage', 'a3', '{"price_usd: not a number"}', 'orion/assets/p', 'part-0', 2, 'open'),
       ('run-1', 'orion', 'assets', '2026-11-19', 'stage', null, '{"asset_key: missing"}', 'orion/assets/q', 'part-0', 0, 'superseded');
insert into control.writer (subject, fence, backend_pid, backend_start) values ('load:orion:assets', 7, 1, '2026-11-21');
insert into control.drift (vendor, table_name, field) values ('orion', 'assets', 'fee');
insert into control.absence values ('orion', 'account', 'A9', 'accounts', '2026-11-20', 'run-1');
insert into control.lateness values ('orion', 'assets', '2026-11-20', 'load', '2026-11-21');
insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, is_passed)
values ('run-1', 'orion', '2026-11-20', 'account_values', 33.33, 33.33, 0.01, true);
insert into warehouse.source_key (entity, vendor, source_key)
values ('representative', 'orion', 'R1'), ('household', 'orion', 'H1'), ('person', 'orion', 'P1'), ('registration', 'orion', 'G1'),
       ('account', 'orion', 'A1'), ('security', 'orion', 'S1');
insert into warehouse.representative (representative_id, vendor, representative_key, name, valid_from, recorded_from, source_run_id)
values (1, 'orion', 'R1', 'An Invented Advisor', '2026-11-20', '2026-11-21', 2);
insert into warehouse.household (household_id, vendor, household_key, representative_id, name, valid_from, valid_to, recorded_from,
                                 recorded_to, source_run_id)
values (2, 'orion', 'H1', 1, 'Invented', '2026-11-19', null, '2026-11-20', '2026-11-21', 2),
       (2, 'orion', 'H1', 1, 'Invented', '2026-11-19', '2026-11-20', '2026-11-21', null, 2),
       (2, 'orion', 'H1', 1, 'Invented, married', '2026-11-20', null, '2026-11-21', null, 2);
insert into warehouse.person (person_id, vendor, person_key, household_id, name, valid_from, recorded_from, source_run_id)
values (3, 'orion', 'P1', 2, 'An Invented Person', '2026-11-20', '2026-11-21', 2);
insert into warehouse.registration (registration_id, vendor, registration_key, household_id, valid_from, recorded_from, source_run_id)
values (4, 'orion', 'G1', 2, '2026-11-20', '2026-11-21', 2);
insert into warehouse.account (account_id, vendor, account_key, registration_id, household_id, name, is_counted, valid_from,
                               recorded_from, source_run_id)
values (5, 'orion', 'A1', 4, 2, 'Invented IRA', true, '2026-11-20', '2026-11-21', 2);
insert into warehouse.security (security_id, vendor, security_key, ticker, valid_from, recorded_from, source_run_id)
values (6, 'orion', 'S1', 'INV', '2026-11-20', '2026-11-21', 2);
insert into warehouse.account_value (business_date, vendor, account_value_key, account_id, market_value_usd, recorded_from, source_run_id)
values ('2026-11-20', 'orion', 'A1', 5, 33.33, '2026-11-21', 2);
select warehouse.ensure_month('2026-10-30'), warehouse.ensure_month('2026-11-20');
insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, quantity, market_value_usd, recorded_from,
                                recorded_to, source_run_id)
values ('2026-10-30', 'orion', 'a1', 5, 6, 1.00000001, 11.11, '2026-10-31', null, 2),
       ('2026-11-20', 'orion', 'a1', 5, 6, 1.5, 22.21, '2026-11-21', '2026-11-22', 2),
       ('2026-11-20', 'orion', 'a1', 5, 6, 1.5, 22.22, '2026-11-22', null, 2);
insert into warehouse.transaction (vendor, transaction_key, account_id, security_id, trade_date, amount_usd, recorded_from, source_run_id)
values ('orion', 't1', 5, 6, '2026-11-20', -100.01, '2026-11-21', 2)
"""
SINCE_0003 = """
insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)
values ('Account', 'firm:household:2', '{"Name": "Invented, married"}', '001000000000001AAA', 'job-1')
"""
SINCE_0007 = """
insert into control.inbox (sender, body, content_hash, headers) values ('docusign', '\\x7b7d', 'hash', '{}');
insert into warehouse.source_key (entity, vendor, source_key) values ('plan', 'emoney', 'PL1')
"""

DATA = {"0001": SINCE_0001, "0003": SINCE_0003, "0007": SINCE_0007}
"""Rows of tables that are there since a revision."""


def migrate_to(database: Database, revision: str) -> None:
    """Build the schema as it was at a revision."""
    engine = schema.engine(database.url(MIGRATE))
    with engine.connect() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, revision)
        connection.commit()
    engine.dispose()


def fill(database: Database, revision: str) -> None:
    for since, statements in DATA.items():
        if since <= revision:
            for statement in statements.split(";\n"):
                database.do(statement.replace(":", "\\:"))


def read_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that has any, as JSON."""
    tables = database.rows(
        "select oid::regclass::text as name from pg_class where relkind in ('r', 'p') and not relispartition"
        " and relnamespace::regnamespace::text in ('control', 'warehouse') and relname <> 'alembic_version'"
    )
    rows = {
        each["name"]: [row["row"] for row in database.rows(f"select to_jsonb(t) as row from {each['name']} t")]
        for each in tables
    }
    return {name: found for name, found in rows.items() if found}


def check_kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Each row is still there, with the values that it had; its table may have more columns."""
    for table, rows in before.items():
        for row in rows:
            assert [row] == [
                {name: each[name] for name in row} for each in after[table] if row.items() <= each.items()
            ], table


@pytest.fixture(scope="module")
def fresh(postgres: Postgres) -> Iterator[set[tuple[str, str]]]:
    """The catalog of a new installation."""
    with new_database(postgres) as database:
        yield read_catalog(database)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_upgrade_with_data_gives_a_fresh_schema_and_keeps_every_row(
    empty: Database, fresh: set[tuple[str, str]], revision: str
) -> None:
    migrate_to(empty, revision)
    fill(empty, revision)
    before = read_rows(empty)

    schema.migrate(empty.url(MIGRATE))

    assert len(before) >= 17
    check_kept(before, read_rows(empty))
    assert read_catalog(empty) == fresh


EDITED_IN_PLACE = {
    "kinds of pull": (
        "0007",
        "alter table control.ledger drop constraint ledger_pulled_check",
        "alter table control.ledger add constraint ledger_pulled_check check (pulled in ('present', 'past', 'chosen', 'replay'))",
    ),
    "rights of the triggerer": (
        "0015",
        "revoke select (ledger_id, run_id, vendor, table_name, stage, staged, dead) on control.ledger from tributary_hear",
    ),
    "one right of the triggerer": ("0017", "revoke select (ledger_id) on control.ledger from tributary_hear"),
}
"""What a schema lacks that was created when a migration was not yet what it is now: the revision, and what was different then."""


@pytest.mark.parametrize("edit", EDITED_IN_PLACE)
def test_a_schema_from_before_a_migration_was_edited_is_repaired(
    empty: Database, fresh: set[tuple[str, str]], edit: str
) -> None:
    revision, *statements = EDITED_IN_PLACE[edit]
    migrate_to(empty, revision)
    for statement in statements:
        empty.do(statement)
    fill(empty, revision)
    before = read_rows(empty)

    schema.migrate(empty.url(MIGRATE))

    check_kept(before, read_rows(empty))
    assert read_catalog(empty) == fresh


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_a_schema_that_can_not_be_upgraded_is_refused_and_left_as_it_is(empty: Database, revision: str) -> None:
    migrate_to(empty, revision)
    empty.do("drop table control.answer, control.refresh_token")
    before = read_catalog(empty)

    with pytest.raises(ConfigurationError, match=rf"before the first release .* \[revision={revision}\]"):
        schema.migrate(empty.url(MIGRATE))

    assert read_catalog(empty) == before
    assert empty.value("select version_num from control.alembic_version") == revision


def test_released_migrations_are_never_edited() -> None:
    released = {name: digest for digest, name in (line.split() for line in RELEASED.read_text().splitlines())}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(VERSIONS.iterdir())
        if path.suffix in (".py", ".sql")
    }
    edited = [name for name, digest in released.items() if found.get(name) != digest]
    assert not edited, "These migrations are released: restore them, and put the change into a new migration"
    new = " ".join(sorted(found.keys() - released.keys()))
    assert not new, (
        "List the new migration once it is final: "
        f"(cd {VERSIONS.relative_to(ROOT)} && sha256sum {new}) >> {RELEASED.relative_to(ROOT)}"
    )


_MIGRATE = """
import os, sys
from include.warehouse import schema
print("ready", flush=True)
sys.stdin.readline()
schema.create_roles(os.environ["ADMIN_URL"], dict.fromkeys(schema.ROLES, "only-for-tests"))
schema.migrate(os.environ["MIGRATE_URL"])
"""


def test_processes_that_migrate_at_once_wait_for_each_other(empty: Database, fresh: set[tuple[str, str]]) -> None:
    environment = os.environ | {
        "ADMIN_URL": empty.admin_url,
        "MIGRATE_URL": empty.url(MIGRATE),
        "PYTHONPATH": str(ROOT),
    }
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [
        subprocess.Popen([sys.executable, "-c", _MIGRATE], env=environment, text=True, **pipes) for _ in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120)[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], ended
    assert read_catalog(empty) == fresh
