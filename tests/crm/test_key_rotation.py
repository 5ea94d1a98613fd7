"""Rotation of the hash key: Salesforce keeps the external keys that it was given first, so no record is made twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.keys import register, rotation
from include.keys.keyring import Keyring
from include.vendors import named
from include.warehouse import schema
from tests.conftest import Firm
from tests.crm.conftest import ACCOUNTS, HOLDINGS, Crm
from tests.firm_keys import KEYRING
from tests.keys.rotated import ROTATED, TEXT, hash_account_numbers

THIRD = Keyring.parse(f"{TEXT} hash:third:{64 * '8'}")


@pytest.fixture
def owner(crm: Crm) -> Iterator[sa.Engine]:
    opened = schema.engine(crm.database.url("tributary_migrate"))
    yield opened
    opened.dispose()


@pytest.fixture
def firm(crm: Crm, tmp_path: Path) -> Iterator[Firm]:
    """A firm whose account keys of Tamarac are hashed, loaded and synced."""
    firm = Firm(hash_account_numbers(named("tamarac")), crm.sandbox, crm.database, tmp_path)
    register.check(firm.engine, KEYRING)
    firm.day()
    crm.sync()
    yield firm
    firm.engine.dispose()


def test_nothing_is_sent_again_after_rotations(firm: Firm, crm: Crm, owner: sa.Engine) -> None:
    before = {sobject: set(crm.records(sobject)) for sobject in (ACCOUNTS, HOLDINGS)}
    assert any(":tamarac:account:" in key for key in before[ACCOUNTS])
    for keyring in (ROTATED, THIRD):
        rotation.rotate(owner, keyring)
        assert crm.sent() == {}
        firm.use(keyring)
        firm.day()
        assert crm.sent() == {}
    assert {sobject: set(crm.records(sobject)) for sobject in before} == before


def test_record_removed_at_the_vendor_is_found_by_its_first_key(firm: Firm, crm: Crm, owner: sa.Engine) -> None:
    position = crm.database.rows("select position_key from warehouse.position where vendor = 'tamarac' order by 1")[0]
    rotation.rotate(owner, ROTATED)
    key = ROTATED.redactor.lift(position["position_key"])
    crm.database.do("update warehouse.position set recorded_to = now() where position_key = :key", key=key)
    crm.sync()
    record = crm.records(HOLDINGS)[f"sample:tamarac:position:{position['position_key']}"]
    assert record["FinServ__Shares__c"] == "0.0"


def test_record_that_a_dead_letter_may_describe_stays(firm: Firm, crm: Crm, owner: sa.Engine) -> None:
    position = crm.database.rows("select position_key from warehouse.position where vendor = 'tamarac' order by 1")[0]
    rotation.rotate(owner, ROTATED)
    key = ROTATED.redactor.lift(position["position_key"])
    crm.database.do("update warehouse.position set recorded_to = now() where position_key = :key", key=key)
    crm.database.do(
        """
        insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, reasons, partition, part, row_number, describes)
        select 'run', 'tamarac', 'holdings', max(business_date), 'stage', '{x}', 'p', 'dead.jsonl', 0,
               jsonb_build_array(jsonb_build_object('entity', 'position', 'key', cast(:key as text)))
        from warehouse.position
        """,
        key=key,
    )
    assert crm.sent() == {}


def test_records_that_stand_for_another_are_found_by_their_first_keys(firm: Firm, crm: Crm, owner: sa.Engine) -> None:
    query = "select sobject, salesforce_id, external_key, stands_for_it from control.crm_superseded order by 1, 2"
    crm.database.do("""
        insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
        select 'account', max(id), min(id), now(), 'x' from warehouse.source_key where vendor = 'tamarac' and entity = 'account'
    """)
    before = crm.database.rows(query)
    assert [row for row in before if ":tamarac:account:" in row["stands_for_it"]]
    rotation.rotate(owner, ROTATED)
    assert crm.database.rows(query) == before
