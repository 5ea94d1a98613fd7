"""What a restored database refuses until its consequences are settled, and what the check of it finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include import cli
from include.audit import chain
from include.control.grants import Grants
from include.errors import ConfigurationError
from include.keys import register
from include.keys.keyring import Keyring
from include.recovery import check, restore
from include.retention import rows
from include.warehouse import schema
from tests.conftest import Database
from tests.firm_keys import KEYRING, write_keyring

NOW = datetime(2026, 12, 1, 16, 30, tzinfo=UTC)
LEDGER = """
insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at, produced, inserted)
values (1, 'r', 'orion', 'households', '2026-11-20', 'load', 'p', 'current', now(), 1, 1)
"""

HOUSEHOLD = """
insert into warehouse.household (household_id, vendor, household_key, name, valid_from, recorded_from, source_run_id)
select id, vendor, source_key, :name, '2026-11-20', now(), 1 from warehouse.source_key
"""


@pytest.fixture
def owner(database: Database) -> Iterator[sa.Engine]:
    """The database as the migrating role, with the firm's keys registered."""
    engine = schema.engine(database.url("tributary_migrate"))
    register.add(engine, KEYRING)
    yield engine
    engine.dispose()


@pytest.fixture
def loaded(database: Database, owner: sa.Engine) -> Database:
    """A database with a household that a load wrote."""
    database.do(LEDGER)
    database.do("insert into warehouse.source_key (entity, vendor, source_key) values ('household', 'orion', '1')")
    database.do(HOUSEHOLD, name="Smith")
    return database


def read_fingerprint(database: Database) -> dict[str, Any]:
    return dict(database.value("select control.fingerprint()"))


def write_info(path: Path, *fingerprints: dict[str, Any]) -> str:
    """Write what pgBackRest prints about its backups, the first of which has no fingerprint."""
    backups = [
        {"label": "20261101-020000F"},
        *({"annotation": {"fingerprint": json.dumps(each)}} for each in fingerprints),
    ]
    path.write_text(json.dumps([{"name": "tributary", "backup": backups}]))
    return str(path)


# --- the check ---


def test_an_unchanged_database_is_as_it_was(loaded: Database, owner: sa.Engine) -> None:
    fingerprint = read_fingerprint(loaded)
    assert fingerprint["tables"]["household"] == {"rows": 1}
    assert check.check(owner, KEYRING, fingerprint) == []


def test_rows_of_later_loads_are_no_difference(loaded: Database, owner: sa.Engine) -> None:
    fingerprint = read_fingerprint(loaded)
    loaded.do("update warehouse.household set recorded_to = now()")
    loaded.do(HOUSEHOLD, name="Smythe")
    loaded.do(LEDGER.replace("(1, 'r'", "(2, 'r'").replace("'p'", "'q'"))
    assert check.check(owner, KEYRING, fingerprint) == []


def test_a_load_that_is_not_committed_yet_is_in_no_fingerprint(
    loaded: Database, owner: sa.Engine, engine: sa.Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(LEDGER.replace("(1, 'r'", "(2, 'r'").replace("'p'", "'q'")))
        fingerprint = read_fingerprint(loaded)
    assert check.check(owner, KEYRING, fingerprint) == []


def test_a_lost_row_is_found(loaded: Database, owner: sa.Engine) -> None:
    fingerprint = read_fingerprint(loaded)
    loaded.do("delete from warehouse.household")
    assert check.check(owner, KEYRING, fingerprint) == [
        "tables household rows: 1 in the fingerprint, 0 in the database"
    ]


def test_rows_that_were_disposed_of_are_named_beside_the_difference(
    loaded: Database, owner: sa.Engine, engine: sa.Engine
) -> None:
    loaded.do("update warehouse.household set recorded_from = '2016-01-01', recorded_to = '2017-01-01'")
    fingerprint = read_fingerprint(loaded)
    assert rows.dispose(engine, "r1", "warehouse.household", "7 years").count == 1
    assert check.check(owner, KEYRING, fingerprint) == [
        "tables household rows: 1 in the fingerprint, 0 in the database",
        "disposal: rows were disposed of after the fingerprint, which may explain that it has more: warehouse.household",
    ]


@pytest.mark.parametrize(
    ("constraint", "damage"),
    [
        ("stage_balances", "stage = 'stage', fetched = 7"),
        ("validate_balances", "stage = 'validate', staged = 7"),
        ("transform_balances", "stage = 'transform', split = 7"),
        ("load_balances", "inserted = inserted + 7"),
        ("crm_balances", "stage = 'crm', sent = 7"),
        ("money_balances", "money_in = 7"),
    ],
)
def test_a_damaged_ledger_row_is_found(loaded: Database, owner: sa.Engine, constraint: str, damage: str) -> None:
    fingerprint = read_fingerprint(loaded)
    [rule] = loaded.rows(
        "select pg_get_constraintdef(oid) as text from pg_constraint where conname = :name", name=constraint
    )
    loaded.do(f"alter table control.ledger drop constraint {constraint}")
    loaded.do(f"alter table control.ledger add constraint {constraint} {rule['text']} not enforced")
    loaded.do(f"update control.ledger set {damage}")
    assert "ledger: 1 rows do not balance" in check.check(owner, KEYRING, fingerprint)


def test_a_lost_ledger_row_is_found(loaded: Database, owner: sa.Engine) -> None:
    fingerprint = read_fingerprint(loaded)
    loaded.do("delete from control.ledger")
    [orphans, *ledger] = check.check(owner, KEYRING, fingerprint)
    assert orphans == "warehouse.household: 1 rows were written by a load that the ledger does not have"
    assert [line.split(":")[0] for line in ledger] == ["ledger last", "ledger rows"]


def test_another_keyring_is_found(loaded: Database, owner: sa.Engine) -> None:
    [problem] = check.check(owner, Keyring.parse(write_keyring("another")), read_fingerprint(loaded))
    assert problem.startswith("keys: A key differs")


def test_a_database_of_another_version_is_found(loaded: Database, owner: sa.Engine) -> None:
    loaded.do("update control.schema_version set version_num = '0012'")
    [problem] = check.check(owner, KEYRING, read_fingerprint(loaded))
    assert problem.startswith("schema version: 0012 in the database")


def test_an_upgrade_after_the_backup_is_no_difference(loaded: Database, owner: sa.Engine) -> None:
    fingerprint = read_fingerprint(loaded)
    fingerprint["schema_version"] = "0012"
    del fingerprint["tables"]["household"]  # a table that the upgrade added
    assert check.check(owner, KEYRING, fingerprint) == []


@pytest.mark.parametrize(("restored_to", "days"), [(NOW, 1), (NOW - timedelta(hours=30), 2)])
def test_the_newest_fingerprint_before_the_restored_time_is_used(
    tmp_path: Path, restored_to: datetime, days: int
) -> None:
    known = [{"known_at": (NOW - timedelta(days=n)).isoformat()} for n in (1, 3, 2)]
    path = write_info(tmp_path / "info.json", *known)
    assert check.find_fingerprint(Path(path).read_text(), restored_to) == {
        "known_at": (NOW - timedelta(days=days)).isoformat()
    }


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"backup": [{"annotation": {"fingerprint": "x"}}]}]'])
def test_a_file_without_backups_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        check.find_fingerprint(text, NOW)


@pytest.mark.parametrize(("is_lost", "code"), [(False, 0), (True, 1)])
def test_the_command_fails_if_something_differs(
    loaded: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_lost: bool,
    code: int,
) -> None:
    path, time = write_info(tmp_path / "info.json", read_fingerprint(loaded)), datetime.now(UTC).isoformat()
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", loaded.url("tributary_migrate"))
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    if is_lost:
        loaded.do("delete from warehouse.household")
    assert cli.main(["check-restore", path, time]) == code
    assert ("household rows" in capsys.readouterr().out) == is_lost


def test_the_command_refuses_a_time_without_a_zone(
    loaded: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", loaded.url("tributary_migrate"))
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    assert cli.main(["check-restore", write_info(tmp_path / "info.json"), "2026-12-01 16:30"]) == 1
    assert "The time is not like" in capsys.readouterr().err


def test_a_broken_audit_trail_is_found(loaded: Database, owner: sa.Engine, engine: sa.Engine) -> None:
    head = chain.seal(engine, KEYRING.audit)
    fingerprint = read_fingerprint(loaded)
    assert fingerprint["seal"] == head.mac.hex()
    loaded.do("alter table control.audit disable trigger only_grows")
    loaded.do("update control.audit set actor = 'another' where action = 'data.loaded'")
    [problem] = check.check(owner, KEYRING, fingerprint)
    assert problem.startswith("audit trail: edited at position")


# --- refresh tokens ---


def test_a_restored_token_is_not_sent(owner: sa.Engine, engine: sa.Engine) -> None:
    grants, sent = Grants(engine, "nitrogen", KEYRING.sealer, {"8101": "f1rst"}), list[str]()

    def exchange(token: str) -> tuple[str, str]:
        sent.append(token)
        return "n3xt", "access"

    grants.exchange("8101", exchange)
    assert restore.record(owner) == 1
    with pytest.raises(ConfigurationError, match="authorize Tributary again"):
        grants.exchange("8101", exchange)
    assert sent == ["f1rst"]


def test_a_grant_that_was_authorized_again_continues(owner: sa.Engine, engine: sa.Engine) -> None:
    grants, sent = Grants(engine, "nitrogen", KEYRING.sealer, {"8101": "f1rst"}), list[str]()

    def exchange(token: str) -> tuple[str, str]:
        sent.append(token)
        return f"n3xt-{len(sent)}", "access"

    grants.exchange("8101", exchange)
    restore.record(owner)
    again = replace(grants, firsts={"8101": "n3w"})
    for _ in range(2):
        again.exchange("8101", exchange)
    assert sent == ["f1rst", "n3w", "n3xt-2"]


def test_a_restore_that_was_recorded_before_makes_no_token_stale(owner: sa.Engine, engine: sa.Engine) -> None:
    restore.record(owner)
    Grants(engine, "nitrogen", KEYRING.sealer, {"8101": "f1rst"}).exchange("8101", lambda _: ("n3xt", ""))
    assert restore.record(owner) is None
    with engine.connect() as connection:
        assert connection.scalar(sa.text("select count(stale_since) from control.refresh_token")) == 0


# --- Salesforce ---


def test_a_restored_database_waits_for_a_read_back(owner: sa.Engine, engine: sa.Engine) -> None:
    restore.require_read_back(engine)
    restore.record(owner)
    with pytest.raises(ConfigurationError, match="read_back_salesforce"):
        restore.require_read_back(engine)
    restore.note_read_back(engine)
    restore.require_read_back(engine)


def test_the_loading_role_records_no_restore_and_forgets_none(engine: sa.Engine, owner: sa.Engine) -> None:
    restore.record(owner)
    for statement in ("delete from control.restore", "insert into control.restore values (1, 2)"):
        with pytest.raises(sa.exc.ProgrammingError), engine.begin() as connection:
            connection.execute(sa.text(statement))
