"""One CUSIP at two vendors is one security: in the warehouse's identity, in the marts, and in Salesforce."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from include.crm.sync.readback import read_back
from include.identity.resolve import resolve
from include.vendors import VENDORS, named
from local.postgres import Postgres
from tests.conftest import Firm, new_database
from tests.crm.conftest import HOLDINGS, SECURITIES, Crm
from tests.running_sandbox import LAST, run_sandbox

VALUES = """
select p.account_id, sum(p.market_value_usd) as usd, count(*) as positions from warehouse.position p
where p.recorded_to is null group by 1 order by 1
"""
CLASSES = "select business_date, asset_class, aum_usd from mart.aum_by_asset_class order by 1, 2"
SHARED = """
select cusip, min(security_id) as survivor, array_agg(vendor || ':security:' || security_key order by security_id) as keys
from warehouse.security where recorded_to is null and valid_to is null and cusip is not null
group by 1 having count(distinct vendor) > 1
"""


@dataclass
class Story:
    """The state before and after securities were identified."""

    crm: Crm
    values: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    before: dict[str, dict[str, Any]]
    sent: dict[str, int]


@pytest.fixture(scope="module")
def story(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A firm with two portfolio systems, sent to Salesforce before its securities are identified, and again after."""
    folder = tmp_path_factory.mktemp("securities")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox", households=12) as sandbox:
        for name in ("orion", "tamarac"):
            firm = Firm(named(name), sandbox, database, folder / name)
            firm.day()
            firm.engine.dispose()
        crm = Crm(database, sandbox, folder / "work")
        crm.sync()
        story = Story(crm, database.rows(VALUES), database.rows(CLASSES), crm.records(SECURITIES), {})
        resolve(crm.engine, VENDORS, "securities", LAST)
        database.do("delete from warehouse.identity where entity <> 'security'")
        story.sent = crm.sent()
        yield story
        crm.engine.dispose()


def read_shared(story: Story) -> list[dict[str, Any]]:
    rows = story.crm.database.rows(SHARED)
    assert len(rows) > 20
    return rows


def test_every_shared_cusip_is_one_security(story: Story) -> None:
    rows = story.crm.database.rows(
        "select cusip, count(distinct identity_id) as securities from warehouse.known_security where cusip is not null group by 1"
    )
    assert {row["securities"] for row in rows} == {1}
    identities = {
        row["identity_id"] for row in story.crm.database.rows("select identity_id from warehouse.known_security")
    }
    assert {row["survivor"] for row in read_shared(story)} <= identities


def test_the_holding_mart_shows_one_id_for_both_vendors(story: Story) -> None:
    rows = story.crm.database.rows("""
        select s.cusip, count(distinct h.security_id) as ids, count(distinct h.vendor) as vendors
        from mart.holding_as_known('infinity') h join warehouse.security s on s.security_id = h.own_security_id
        where s.cusip is not null group by 1
    """)
    assert {row["ids"] for row in rows} == {1}
    assert sum(row["vendors"] == 2 for row in rows) > 10


def test_no_position_and_no_sum_has_changed(story: Story) -> None:
    assert story.crm.database.rows(VALUES) == story.values
    assert story.crm.database.rows(CLASSES) == story.classes


def test_cash_stays_the_vendors_own(story: Story) -> None:
    cash = story.crm.database.rows(
        "select distinct security_id, vendor from warehouse.position where is_cash and recorded_to is null"
    )
    identities = story.crm.database.rows("select id from warehouse.identity where entity = 'security'")
    assert {row["vendor"] for row in cash} == {"orion", "tamarac"}
    assert not {row["security_id"] for row in cash} & {row["id"] for row in identities}


def test_every_holding_in_salesforce_references_its_securitys_representative(story: Story) -> None:
    keys = {record["Id"]: key for key, record in story.crm.records(SECURITIES).items()}
    named_keys = {keys[record["FinServ__Securities__c"]] for record in story.crm.records(HOLDINGS).values()}
    for row in read_shared(story):
        survivor, *others = (f"sample:{key}" for key in row["keys"])
        assert not named_keys & set(others)
        assert survivor in named_keys or not any(key in named_keys for key in others)


def test_the_second_record_stays_in_salesforce_as_it_was(story: Story) -> None:
    assert story.crm.records(SECURITIES) == story.before
    assert set(story.sent) == {"position"}


def test_an_administrator_may_delete_the_second_records_and_nothing_comes_back(story: Story) -> None:
    crm = story.crm
    superseded = crm.database.rows("select * from control.crm_superseded order by external_key")
    second = {f"sample:{key}": f"sample:{row['keys'][0]}" for row in read_shared(story) for key in row["keys"][1:]}
    assert {row["external_key"]: row["stands_for_it"] for row in superseded} == second
    assert {row["sobject"] for row in superseded} == {SECURITIES}
    for row in superseded:
        assert crm.http.delete(f"/salesforce/_admin/records/{SECURITIES}/{row['salesforce_id']}").is_success

    crm.settings = replace(crm.settings, few=0)  # so many changes would otherwise require approval
    differences = read_back(crm.org, "cleaned", lambda _: None)
    crm.settings = replace(crm.settings, few=1_000_000)

    assert differences["security"].is_as_expected
    assert crm.database.value("select count(*) from control.crm_superseded") == 0
    assert crm.sent() == {}
    cusips = [cusip for record in crm.records(SECURITIES).values() if (cusip := record.get("FinServ__CUSIP__c"))]
    assert len(set(cusips)) == len(cusips)


def test_a_new_org_has_one_record_for_each_cusip(story: Story, tmp_path: Path) -> None:
    story.crm.database.do("truncate control.crm_state, control.crm_job, control.crm_sent cascade")
    with run_sandbox(tmp_path / "sandbox", households=2) as sandbox:
        org = Crm(story.crm.database, sandbox, tmp_path / "work")
        org.sync()
        cusips = [cusip for record in org.records(SECURITIES).values() if (cusip := record.get("FinServ__CUSIP__c"))]
        assert not org.dead_letters()
        org.engine.dispose()
    assert len(set(cusips)) == len(cusips)
    assert {row["cusip"] for row in read_shared(story)} <= set(cusips)
