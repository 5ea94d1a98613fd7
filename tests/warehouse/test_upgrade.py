"""Upgrades: a released version's database with data becomes identical to a new one and keeps every row."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from include.errors import ConfigurationError, TargetUnavailable
from include.warehouse import marts, schema
from local.postgres import Postgres
from tests.conftest import PASSWORDS, Database, new_database
from tests.warehouse.catalog import read_catalog

ROOT = Path(__file__).parents[2]
RELEASED = Path(__file__).parent / "released_migrations.sha256"
MIGRATE = "tributary_migrate"
FIRST_RELEASE = "0012"
"""Revision of the first release; its files were never installed one by one."""
FILES = {path.name.partition("_")[0]: path for path in sorted(schema.FOLDER.glob("*.sql"))}
REVISIONS = [revision for revision in FILES if revision >= FIRST_RELEASE]

A_DAY = """
insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,
                            fetched, staged, dead, produced, inserted, money_in, money_out)
values (1, 'run-1', 'orion', 'assets', '', '2026-11-20', 'stage', 'pull-1', 'current', '2026-11-21', 3, 2, 1, 0, 0, null, null),
       (2, 'run-1', 'orion', 'assets', 'position', '2026-11-20', 'load', 'pull-1', 'current', '2026-11-21', 0, 0, 0, 2, 2, 33.33, 33.33),
       (3, 'run-2', 'orion', 'assets', 'position', '2026-11-19', 'load', 'pull-2', 'historical', '2026-11-21', 0, 0, 0, 0, 0, null, null);
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
values ('orion', 't1', 5, 6, '2026-11-20', -100.01, '2026-11-21', 2);
insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)
values ('Account', 'firm:household:2', '{"Name": "Invented, married"}', '001000000000001AAA', 'job-1');
insert into warehouse.source_key (entity, vendor, source_key) values ('plan', 'emoney', 'PL1')
"""
DATA = {
    FIRST_RELEASE: A_DAY,
    "0017": """
insert into control.key (purpose, key_id, fingerprint, place) values ('inbox', 'a', repeat('0', 32), 1);
insert into control.inbox (sender, body, content_hash, headers)
values ('docusign', '\\x5452423200000000000000000000000000000000', 'sealed', '{}')
""",
}
"""Revision -> rows for its new tables and columns."""
EARLIER_DATA = {
    "0017": "insert into control.inbox (sender, body, content_hash, headers) values ('docusign', '\\x7b7d', 'hash', '{}')"
}
"""Revision -> rows that only earlier revisions accept."""


def migrate_to(database: Database, revision: str) -> None:
    """Create the tables of a revision, without its views: loading does not need them, and upgrades drop them."""
    engine = schema.engine(database.url(MIGRATE), any_version=True)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(schema.FOLDER))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    engine.dispose()


def fill(database: Database, revision: str) -> None:
    accepted = [rows for since, rows in DATA.items() if since <= revision]
    accepted += [rows for until, rows in EARLIER_DATA.items() if revision < until]
    for statements in accepted:
        for statement in statements.split(";\n"):
            database.do(statement.replace(":", "\\:"))


def read_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Read every row of every non-empty table, as JSON."""
    tables = database.rows(
        "select oid::regclass::text as name from pg_class where relkind in ('r', 'p') and not relispartition"
        " and relnamespace::regnamespace::text in ('control', 'warehouse') and relname <> 'schema_version'"
    )
    rows = {
        each["name"]: [row["row"] for row in database.rows(f"select to_jsonb(t) as row from {each['name']} t")]
        for each in tables
    }
    return {name: content for name, content in rows.items() if content}


def check_kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Check that each row still exists with its values; its table may have more columns."""
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


@pytest.mark.parametrize("revision", REVISIONS)
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


@pytest.mark.parametrize("revision", ["0001", "0037"])
def test_a_schema_from_before_the_first_release_is_refused_and_left_as_it_is(empty: Database, revision: str) -> None:
    with psycopg.connect(empty.url(MIGRATE)) as connection:
        connection.execute("create schema control")
        connection.execute("create table control.alembic_version (version_num text primary key)")
        connection.execute("insert into control.alembic_version values (%s)", [revision])
    before = read_catalog(empty)

    with pytest.raises(ConfigurationError, match=rf"before the first release .* \[revision={revision}\]"):
        schema.migrate(empty.url(MIGRATE))

    assert read_catalog(empty) == before


def test_released_files_are_never_edited() -> None:
    released = {name: digest for digest, name in (line.split() for line in RELEASED.read_text().splitlines())}
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FILES.values()}
    edited = [name for name, digest in released.items() if digests.get(name) != digest]
    assert not edited, "These files are released: restore them, and put the change into a new file"
    new = " ".join(sorted(digests.keys() - released.keys()))
    assert not new, (
        "List the new file once it is final: "
        f"(cd {schema.FOLDER.relative_to(ROOT)} && sha256sum {new}) >> {RELEASED.relative_to(ROOT)}"
    )


def test_each_number_is_used_once() -> None:
    assert list(FILES) == [f"{number:04}" for number in range(1, len(list(schema.FOLDER.glob("*.sql"))) + 1)]


def test_views_and_mart_functions_are_in_the_files_of_their_names_alone() -> None:
    created = re.compile(r"^create (?:or replace )?(?:view|function) (?:\w+)\.(\w+)", re.MULTILINE)
    assert sorted(marts.MARTS) == sorted(path.stem for path in marts.FOLDER.glob("*.sql"))
    for name in marts.MARTS:
        names = created.findall((marts.FOLDER / f"{name}.sql").read_text())
        assert names or name == "masked", name  # it generates its views
        assert set(names) <= {name, f"{name}_as_known"}, name
    for path in FILES.values():
        assert not re.search(r"\bcreate (or replace )?(view|function mart\.)", path.read_text()), path


@pytest.fixture
def changed(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    """A database at the newest version, whose file of `mart.freshness` then gains a column."""
    folder = shutil.copytree(marts.FOLDER, tmp_path / "marts")
    file = folder / "freshness.sql"
    text = file.read_text().replace("run_id text)", "run_id text, stage text)").replace("run_id\n", "run_id, stage\n")
    file.write_text(text)
    monkeypatch.setattr(marts, "FOLDER", folder)
    schema.create_roles(database.admin_url, PASSWORDS)  # a copied database lacks these rights
    return database


def test_a_changed_view_is_applied_with_its_rights(
    changed: Database, fresh: set[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(changed.url(MIGRATE)) as connection:
        connection.execute("create view mart.removed as select * from mart.freshness")
        connection.execute("create function mart.removed(a int) returns int language sql as 'select a'")

    schema.migrate(changed.url(MIGRATE))

    assert {name for what, name in read_catalog(changed) ^ fresh if what == "column"} == {
        next(name for what, name in read_catalog(changed) if name.startswith("mart.freshness stage text"))
    }
    with psycopg.connect(changed.url("tributary_read")) as reader:
        reader.execute("select stage from mart.freshness")
        reader.execute("select stage from mart.freshness_as_known('infinity')")

    monkeypatch.undo()
    schema.migrate(changed.url(MIGRATE))
    assert read_catalog(changed) == fresh


def test_a_view_outside_our_schemas_blocks_only_a_change_of_the_views_it_uses(
    changed: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(changed.admin_url) as connection:
        connection.execute("create schema firm create view firm.late as select * from mart.freshness")
    before = read_catalog(changed)

    with pytest.raises(ConfigurationError, match=r"\[objects=view firm\.late depends on view mart\.freshness\]"):
        schema.migrate(changed.url(MIGRATE))

    assert read_catalog(changed) == before
    monkeypatch.undo()
    schema.migrate(changed.url(MIGRATE))
    assert changed.value("select count(*) from firm.late") == 0


def test_a_migration_that_gets_no_lock_names_its_holder(changed: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(url: str, **options: Any) -> sa.Engine:
        impatient = patient(url, **options)
        sa.event.listen(impatient, "connect", lambda connection, _: connection.execute("set lock_timeout = '200ms'"))
        return impatient

    patient = schema.engine
    monkeypatch.setattr(schema, "engine", engine)
    with psycopg.connect(changed.url("tributary_read")) as reader:
        reader.execute("select * from mart.freshness")
        holder = f"pid {reader.info.backend_pid}, role tributary_read, .*AccessShareLock on freshness"
        with pytest.raises(TargetUnavailable, match=holder):
            schema.migrate(changed.url(MIGRATE))


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
