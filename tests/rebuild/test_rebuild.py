"""A warehouse that is rebuilt from staging has the same marts and tables as the original, to the cent."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include import cli
from include.connection import Connection
from include.control import dead_letters
from include.errors import BalanceError, ConfigurationError
from include.identity.resolve import resolve
from include.pipeline.incremental import pull_edits
from include.pipeline.replay import replay
from include.pipeline.run import Site
from include.rebuild.carried import CARRIED, LEFT, REBUILT, carry
from include.rebuild.history import read_ledger, read_staging
from include.rebuild.steps import rebuild
from include.recovery import check
from include.retention.forget import find_returned
from include.staging.partitions import Manifest, Staging
from include.vendors import VENDORS, named
from include.warehouse import schema
from local.postgres import Postgres, _find_binaries
from tests.conftest import Database, Firm, new_database
from tests.firm_keys import KEYRING, write_keyring
from tests.running_sandbox import LAST, NOW, run_sandbox

pytestmark = pytest.mark.timeout(900)  # the first test also waits for the days of the original

ROOT = Path(__file__).parents[2]
THURSDAY, FRIDAY, MONDAY = (LAST + timedelta(days=days) for days in (-1, 0, 3))
OTHERS = ("tamarac", "emoney", "nitrogen")


@dataclass
class Original:
    """A firm's database with its staging folder."""

    database: Database
    staging: Path


@pytest.fixture(scope="module")
def original(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    """A firm of several vendors with days of every kind: bad, replayed, rejected, accepted, corrected, and past."""
    folder = tmp_path_factory.mktemp("original")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox") as sandbox:
        orion, *others = [Firm(named(name), sandbox, database, folder) for name in ("orion", *OTHERS)]
        run_days(orion, others)
        for firm in (orion, *others):
            firm.engine.dispose()
        yield Original(database, folder / "staging")


def run_days(orion: Firm, others: list[Firm]) -> None:
    turn_to(THURSDAY, orion, *others)
    fault = orion.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    orion.day(THURSDAY)
    for each in others:
        each.day(THURSDAY)
    replay(orion.vendor_run(orion.new_run(THURSDAY)), "assets", find_open(orion)[:2], is_dry=True)
    orion.sandbox.http.delete(f"/_sandbox/faults/{fault}")
    replay(orion.vendor_run(orion.new_run(THURSDAY)), "assets", find_open(orion)[2:])
    dead_letters.discard(orion.engine, find_open(orion)[:1], "never existed", "operator", "discard-1", is_dry=False)
    resolve(orion.engine, VENDORS, "identity-1", THURSDAY)

    turn_to(FRIDAY, orion, *others)
    with pytest.raises(BalanceError, match="roll-forward"):  # because of the row that was discarded
        orion.day(FRIDAY)
    orion.day(FRIDAY, accept_unusual=True, user="operator")
    for each in others:
        each.day(FRIDAY)

    turn_to(MONDAY, orion, *others)
    orion.day(MONDAY)
    orion.day(FRIDAY)
    pull_edits(orion.vendor_run(orion.new_run(MONDAY)))
    orion.day(THURSDAY - timedelta(days=1))
    orion.sandbox.log_in()
    client = str(orion.sandbox.rows("Portfolio/Clients")[0]["id"])
    orion.sandbox.admin("orion/set_fields", table="clients", id=int(client), set={"name": "Corrected"})
    orion.day(MONDAY)
    for each in others:
        each.day(MONDAY)
    resolve(orion.engine, VENDORS, "identity-2", MONDAY)


def turn_to(day: Any, *firms: Firm) -> None:
    for firm in firms:
        firm.turn_to(NOW + (day - LAST))


def find_open(firm: Firm) -> list[int]:
    query = "select dead_letter_id from control.dead_letter where status = 'open' and table_name = 'assets' order by 1"
    return [row["dead_letter_id"] for row in firm.database.rows(query)]


@pytest.fixture
def rebuilt(database: Database, original: Original, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An empty, migrated database, with the environment of the command."""
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", database.url("tributary_migrate"))
    monkeypatch.setenv("TRIBUTARY_STAGING_ROOT", str(original.staging))
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    return database


@pytest.fixture
def by_ledger(rebuilt: Database, original: Original, monkeypatch: pytest.MonkeyPatch) -> Database:
    """An empty, migrated database, with the environment of the command, in which the original is given."""
    monkeypatch.setenv("TRIBUTARY_ORIGINAL_URL", original.database.url("tributary_migrate"))
    return rebuilt


@contextmanager
def open_engine(database: Database, role: str = "tributary_migrate") -> Iterator[sa.Engine]:
    engine = schema.engine(database.url(role))
    yield engine
    engine.dispose()


def read_fingerprint(database: Database) -> dict[str, Any]:
    with open_engine(database) as engine:
        return check.read_fingerprint(engine)


DEAD_LETTERS = """
select partition, part, row_number, stage, status, reasons, discard_reason, discarded_by from control.dead_letter order by 1, 2, 3, 4
"""
CHECKS = "select run_id, vendor, business_date, check_name, is_passed, accepted_by from control.reconciliation order by 1, 2, 3, 4"
REJECTIONS = "select vendor, run_id, business_date, step, reason from control.rejection order by 1, 2"


def test_a_rebuild_by_the_ledger_is_the_same_to_the_cent(
    original: Original, by_ledger: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rebuild"]) == 0, capsys.readouterr()
    expected, actual = read_fingerprint(original.database), read_fingerprint(by_ledger)
    for part in ("marts", "tables"):
        assert actual[part] == expected[part]
    assert actual["ledger"]["money"] == expected["ledger"]["money"]
    for query in (DEAD_LETTERS, CHECKS, REJECTIONS):
        assert by_ledger.rows(query) == original.database.rows(query)
    assert by_ledger.value("select count(*) from control.outbox where routed_at is null") == 0
    assert by_ledger.value("select count(*) from control.restore where read_back_at is null") == 1


@pytest.mark.long
def test_a_rebuild_from_staging_alone_has_the_same_marts(
    original: Original, rebuilt: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rebuild"]) == 0
    assert "not rebuilt: warehouse.source_key" in capsys.readouterr().out
    with open_engine(rebuilt, "tributary_load") as engine:
        resolve(engine, VENDORS, "identity-1", MONDAY)
    assert read_fingerprint(rebuilt)["marts"] == read_fingerprint(original.database)["marts"]


def test_a_dry_run_lists_the_loads_and_changes_nothing(by_ledger: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rebuild", "--dry-run"]) == 0
    first, *loads = capsys.readouterr().out.splitlines()
    assert first == f"{len(loads)} loads, ordered by the ledger"
    assert loads[0].startswith(f"orion {THURSDAY} run-1: representatives ")
    assert [line for line in loads if line.endswith("rows, accepted by operator")]
    assert by_ledger.value("select count(*) from warehouse.source_key") == 0


@pytest.mark.long
def test_a_copy_of_the_small_tables_is_enough(
    original: Original,
    rebuilt: Database,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (ROOT / "docs" / "how-to" / "rebuilding_the_warehouse.md").read_text()
    [command] = re.findall(r"^pg_dump .*?psql \"\$COPY\"$", page, re.MULTILINE | re.DOTALL)
    with new_database(postgres) as copy:
        environment = {"PATH": f"{_find_binaries()}:{os.defpath}", "ORIGINAL": original.database.admin_url}
        done = subprocess.run(
            ["sh", "-c", command], env=environment | {"COPY": copy.admin_url}, capture_output=True, text=True
        )
        assert done.returncode == 0
        assert "ERROR" not in done.stderr, done.stderr
        monkeypatch.setenv("TRIBUTARY_ORIGINAL_URL", copy.url("tributary_migrate"))
        assert cli.main(["rebuild"]) == 0, capsys.readouterr()
    assert read_fingerprint(rebuilt)["tables"] == read_fingerprint(original.database)["tables"]
    assert read_fingerprint(rebuilt)["marts"] == read_fingerprint(original.database)["marts"]


@pytest.mark.long
def test_an_interrupted_rebuild_continues_where_it_stopped(
    original: Original, by_ledger: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_engine(by_ledger) as engine, open_engine(original.database) as ledger:
        carry(original.database.url("tributary_migrate"), by_ledger.url("tributary_migrate"))
        site = Site(engine, Staging(str(original.staging), KEYRING.staging), KEYRING)
        progress = rebuild(site, read_ledger(ledger), lambda vendor: Connection(""), is_exact=True)
        assert [next(progress).loaded for _ in range(5)] == [1, 2, 3, 4, 5]
        progress.close()
    assert cli.main(["rebuild"]) == 0, capsys.readouterr()
    assert read_fingerprint(by_ledger)["tables"] == read_fingerprint(original.database)["tables"]


@pytest.mark.long
def test_a_partition_that_staging_lost_is_listed(
    original: Original,
    rebuilt: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(original.staging, tmp_path / "staging")
    monkeypatch.setenv("TRIBUTARY_STAGING_ROOT", str(tmp_path / "staging"))
    monkeypatch.setenv("TRIBUTARY_ORIGINAL_URL", original.database.url("tributary_migrate"))
    [lost] = (tmp_path / "staging" / "nitrogen" / "clients" / str(MONDAY)).iterdir()
    shutil.rmtree(lost)
    assert cli.main(["rebuild"]) == 1
    output = capsys.readouterr()
    assert f"missing: nitrogen/clients/{MONDAY}/{lost.name}" in output.out
    assert "The rebuilt warehouse is not as the original was" in output.err


def test_every_table_is_carried_or_rebuilt_or_left_for_a_reason(database: Database) -> None:
    rows = database.rows(
        "select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('control', 'warehouse', 'mart')"
    )
    assert sorted(row["name"] for row in rows) == sorted((*CARRIED, *REBUILT, *dict(LEFT)))


def test_the_first_hashes_of_salesforce_keys_are_carried_over(database: Database, postgres: Postgres) -> None:
    database.do("insert into control.first_hash values ('first', 'current')")
    with new_database(postgres) as target:
        carry(database.url("tributary_migrate"), target.url("tributary_migrate"))
        assert target.rows("select * from control.first_hash") == [{"first_hash": "first", "current_hash": "current"}]


def test_a_forgotten_person_is_recognized_in_the_rebuilt_database(database: Database, postgres: Postgres) -> None:
    receipt = json.dumps({"keys": [KEYRING.redactor.hash("nitrogen:7")]})
    entry = (
        "insert into control.audit (happened_at, database_user, actor, action, subject, details)"
        " values (now(), 'x', 'x', 'person.forgotten', 'x', cast(:receipt as jsonb))"
    )
    person = (
        "insert into warehouse.person (person_id, vendor, person_key, valid_from, recorded_from, source_run_id)"
        " values (7, 'nitrogen', '7', '2026-11-20', now(), 1)"
    )
    database.do(entry, receipt=receipt)
    with new_database(postgres) as target, new_database(postgres) as again, open_engine(again) as engine:
        for source, rebuilt in ((database, target), (database, target), (target, again)):
            carry(source.url("tributary_migrate"), rebuilt.url("tributary_migrate"))
        assert target.value("select count(*) from control.audit where action = 'forgotten.carried'") == 1
        again.do(person)
        assert find_returned(engine, KEYRING.redactor) == [("nitrogen", "7")]


def test_a_database_with_other_loads_is_refused(by_ledger: Database, capsys: pytest.CaptureFixture[str]) -> None:
    by_ledger.do("""
    insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at)
    values (1, 'r', 'orion', 'households', '2026-11-20', 'load', 'p', 'current', now())
    """)
    assert cli.main(["rebuild"]) == 1
    assert "The database is not empty" in capsys.readouterr().err


def test_partitions_that_do_not_name_their_run_need_the_ledger(tmp_path: Path) -> None:
    staging = Staging(str(tmp_path), KEYRING.staging)
    manifest = Manifest(
        "orion", "accounts", LAST, "p", "current", NOW, "v1", "", None, 0, 0, 0, 0, None, (), ()
    )  # fmt: skip
    staging.seal(manifest)
    with pytest.raises(ConfigurationError, match="give the ledger of the original"):
        read_staging(staging)
