"""The next sync detects an org that was restored from a backup, and repairs it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Database
from tests.crm.conftest import HOLDINGS, Crm
from tests.running_sandbox import run_sandbox


def read_holdings(crm: Crm) -> dict[str, dict[str, Any]]:
    """Read the holdings' fields that an advisor sees."""
    return {
        key: {name: record.get(name) for name in ("Name", "FinServ__Shares__c", "FinServ__Price__c")}
        for key, record in crm.records(HOLDINGS).items()
    }


def test_an_org_that_was_restored_from_a_backup_is_read_back_and_made_whole(database: Database, tmp_path: Path) -> None:
    folder, backup, left_out = tmp_path / "sandbox", tmp_path / "backup", None
    with run_sandbox(folder, households=6) as sandbox:
        crm = Crm(database, sandbox, tmp_path / "work")
        left_out = database.value("select min(position_key) from warehouse.position")
        database.do("update warehouse.position set recorded_to = now() where position_key = :key", key=left_out)
        crm.sync()
        crm.engine.dispose()
    shutil.copytree(folder, backup)
    with run_sandbox(folder, households=6) as sandbox:
        sandbox.admin("clock", now="2026-11-21T12:00:00+00:00")
        crm = Crm(database, sandbox, tmp_path / "work", _runs=1)
        database.do("update warehouse.position set recorded_to = null where position_key = :key", key=left_out)
        database.do("update warehouse.position set price_usd = price_usd + 1")
        crm.sync()
        expected = read_holdings(crm)
        crm.engine.dispose()
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
    with run_sandbox(folder, households=6) as sandbox:
        sandbox.admin("clock", now="2026-11-22T12:00:00+00:00")
        crm = Crm(database, sandbox, tmp_path / "work", _runs=2)
        assert read_holdings(crm) != expected

        crm.sync()

        assert read_holdings(crm) == expected
        assert database.value("select count(*) from control.crm_difference where run_id = 'crm-3'") >= len(expected)
        crm.engine.dispose()


@pytest.mark.synced
def test_an_edit_of_a_person_is_no_restored_org(crm: Crm) -> None:
    for record in crm.records(HOLDINGS).values():
        path = f"/salesforce/_admin/records/{HOLDINGS}/{record['Id']}"
        assert crm.http.patch(path, json={"FinServ__Price__c": 1.5}).status_code == 200

    assert crm.sent() == {}
    assert crm.database.value("select count(*) from control.crm_difference") == 0


@pytest.mark.synced
def test_the_deletions_of_users_are_no_restored_org(crm: Crm) -> None:
    for record in crm.records(HOLDINGS).values():
        crm.http.delete(f"/salesforce/_admin/records/{HOLDINGS}/{record['Id']}")

    assert crm.sent() == {}
    assert {row["run_id"] for row in crm.database.rows("select run_id from control.crm_difference")} == {
        "removed:crm-2"
    }
