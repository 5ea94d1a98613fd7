"""A program refuses the schema of another version when it starts, and a migration does not stop one that works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.errors import ConfigurationError
from include.warehouse import schema
from include.warehouse.load import load
from tests.conftest import PASSWORDS, Database
from tests.warehouse.loading import Loader, position, summarize

NEWEST = max(path.name for path in schema.FOLDER.glob("*.sql"))[:4]
_MIGRATE = """
import sys
from pathlib import Path
from include.warehouse import schema
schema.FOLDER = Path(sys.argv[1])
schema.migrate(sys.argv[2])
"""
_NEXT = """
alter table warehouse.position add column note text;
alter table control.ledger add column note text;
alter table control.writer add column note text;
"""


def connect(database: Database, role: str = "tributary_load") -> None:
    engine = schema.engine(database.url(role))
    with engine.connect() as connection:
        connection.execute(sa.text("select 1"))
    engine.dispose()


@pytest.mark.parametrize(
    "role", ["tributary_load", "tributary_listener", "tributary_gateway", "tributary_api", "tributary_web"]
)
def test_a_newer_schema_is_refused_with_both_versions(database: Database, role: str) -> None:
    connect(database, role)
    database.do("comment on schema mart is '9999 9998 hash'")
    newer = rf"newer than this program\. Install the version .* \[schema=9999 oldest_program=9998 program={NEWEST}\]"
    with pytest.raises(ConfigurationError, match=newer):
        connect(database, role)


@pytest.mark.parametrize("oldest", ["0000", NEWEST])
def test_a_newer_schema_that_only_adds_to_this_one_is_accepted(database: Database, oldest: str) -> None:
    database.do(f"comment on schema mart is '9999 {oldest} hash'")
    connect(database)


@pytest.mark.parametrize(
    ("fingerprint", "version"), [("0001 0000 hash", "0001"), ("hash", "unknown"), (f"{NEWEST} 0000 hash", NEWEST)]
)
def test_an_older_schema_is_refused_with_both_versions(database: Database, fingerprint: str, version: str) -> None:
    database.do(f"comment on schema mart is '{fingerprint}'")
    older = rf"older than this program.* Run `python -m include.cli migrate`.* \[schema={version} program={NEWEST}\]"
    with pytest.raises(ConfigurationError, match=older):
        connect(database)


def test_a_database_without_a_schema_is_refused(empty: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"Run `python -m include\.cli migrate`"):
        connect(empty)


def test_a_refused_engine_connects_once_the_schema_is_migrated(empty: Database) -> None:
    engine = schema.engine(empty.url())
    with pytest.raises(ConfigurationError):
        engine.connect()
    schema.migrate(empty.url("tributary_migrate"))
    engine.connect().close()
    engine.dispose()


def test_a_load_in_flight_survives_a_migration_beside_it(database: Database, tmp_path: Path) -> None:
    """The next version adds columns. The load commits, and its process also loads after the migration."""
    folder = shutil.copytree(schema.FOLDER, tmp_path / "schema")
    (folder / f"{int(NEWEST) + 1:04}_next.sql").write_text(_NEXT)
    loader, is_loading, is_waiting = Loader(database, tmp_path / "staging", "v"), threading.Event(), threading.Event()
    schema.create_roles(database.admin_url, PASSWORDS)  # a copied database lacks these rights
    loader.stage("position", [position("A"), position("B")])

    def pause(_: sa.Connection) -> None:
        is_loading.set()
        assert is_waiting.wait(60)

    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(load, loader.engine, loader.vendor, {loader.partition: loader.pull}, pause)
        assert is_loading.wait(60)
        arguments = [str(folder), database.url("tributary_migrate")]
        with subprocess.Popen(
            [sys.executable, "-c", _MIGRATE, *arguments],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        ) as migration:
            while not database.value(
                "select count(*) from pg_locks where not granted and mode = 'AccessExclusiveLock'"
            ):
                assert migration.poll() is None
                time.sleep(0.05)
            is_waiting.set()
            counts = loading.result()
            assert migration.wait(60) == 0

    assert counts["position"]["position"].inserted == 2
    loader.engine.dispose()  # it connects again
    again = loader.load("position", [position("A"), position("B", 2), position("C")])
    assert summarize(again) == {"inserted": 1, "updated": 1, "unchanged": 1}
    assert database.value("select count(*) from warehouse.position where note is null and recorded_to is null") == 3
    connect(database)


def test_programs_of_earlier_versions_are_refused_after_a_migration_that_removes_something(
    database: Database, tmp_path: Path
) -> None:
    schema.create_roles(database.admin_url, PASSWORDS)  # a copied database lacks these rights
    folder = shutil.copytree(schema.FOLDER, tmp_path / "schema")
    removed = f"{int(NEWEST) + 1:04}"
    (folder / f"{removed}_next.sql").write_text(
        "-- contract: no longer used\nalter table control.writer drop column taken_at;\n"
    )
    (folder / f"{int(NEWEST) + 2:04}_after.sql").write_text("alter table control.writer add column note text;\n")
    migrated = subprocess.run(
        [sys.executable, "-c", _MIGRATE, str(folder), database.url("tributary_migrate")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert migrated.returncode == 0
    with pytest.raises(ConfigurationError, match=rf"newer than this program.*oldest_program={removed} "):
        connect(database)


REMOVES = re.compile(
    r"\b(drop\s+(table|column|function|view|index|type|schema)|rename|set\s+not\s+null|alter\s+(column\s+)?\w+\s+type|revoke)\b",
    re.IGNORECASE,
)


def find_unmarked(folder: Path) -> list[str]:
    """Return the migrations since 0041 that remove something and do not say so."""
    return [
        path.name
        for path in sorted(folder.glob("*.sql"))
        if path.name > "0041" and REMOVES.search(path.read_text()) and not path.read_text().startswith("-- contract: ")
    ]


def test_every_migration_that_removes_something_says_so() -> None:
    assert find_unmarked(schema.FOLDER) == []


@pytest.mark.parametrize(
    "statement",
    ["alter table a drop column b;", "alter table a alter column b type text;", "alter table a rename b to c;",
     "alter table a alter column b set not null;", "drop function f();", "revoke select on a from b;"],
)  # fmt: skip
def test_migration_that_removes_something_unsaid_is_found(tmp_path: Path, statement: str) -> None:
    tmp_path.joinpath("9999_next.sql").write_text(f"-- Comment.\n{statement}\n")
    assert find_unmarked(tmp_path) == ["9999_next.sql"]
