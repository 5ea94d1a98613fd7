"""What Salesforce has accepted of each vendor's latest day."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.crm.conftest import HOLDINGS, Crm
from tests.running_sandbox import LAST


def _read(crm: Crm) -> dict[str, tuple[Decimal, Decimal]]:
    rows = crm.database.rows(
        "select * from control.crm_total where vendor = 'orion' and business_date = :day", day=LAST
    )
    return {row["check_name"]: (row["due"], row["accepted"]) for row in rows}


@pytest.mark.synced
def test_a_sync_records_the_dollars_and_units_in_salesforce(crm: Crm) -> None:
    held = crm.records(HOLDINGS).values()
    dollars = sum(Decimal(str(each["FinServ__MarketValue__c"])) for each in held)
    units = sum(Decimal(str(each["FinServ__Shares__c"])) for each in held)
    assert _read(crm) == {"control total": (dollars, dollars), "roll-forward": (units, units)}


@pytest.mark.synced
def test_a_record_that_salesforce_does_not_have_is_missing_in_the_total(crm: Crm) -> None:
    record = min(crm.records(HOLDINGS).items())[1]
    crm.http.delete(f"/salesforce/_admin/records/{HOLDINGS}/{record['Id']}")
    lost = Decimal(record["FinServ__MarketValue__c"])
    crm.sync()
    due, accepted = _read(crm)["control total"]
    assert due - accepted == lost > 0
