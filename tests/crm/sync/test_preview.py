"""A preview shows the changes of a sync without sending them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.crm.sync.delta import Delta
from include.crm.sync.preview import preview
from tests.crm.conftest import BULK, Crm


def test_a_summary_of_changes_names_only_what_there_is() -> None:
    assert str(Delta(new=1200, changed=0, unchanged=7, refused=3)) == "1,200 new, 3 rejected before"
    assert str(Delta(new=0, changed=0, unchanged=7)) == "no change"


@pytest.mark.synced
def test_a_preview_reports_changes_without_making_them(crm: Crm) -> None:
    row = crm.one_position()
    crm.database.do(
        "update warehouse.position set price_usd = price_usd + 1 where position_key = :key", key=row["position_key"]
    )

    shown = preview(crm.engine, BULK)

    assert (shown.deltas["position"].new, shown.deltas["position"].changed) == (0, 1)
    old = row["price_usd"].quantize(Decimal("0.0001"))
    assert [str(change) for change in shown.samples["position"]] == [
        f"sample:orion:position:{row['position_key']}  FinServ__Price__c: {old} -> {old + 1}"
    ]
    assert crm.sent() == {"position": 1}


@pytest.mark.synced
def test_a_preview_adds_up_the_worth_and_counts_the_closings(crm: Crm) -> None:
    crm.database.do("update warehouse.position set market_value_usd = market_value_usd - 0.25")
    crm.database.do("update warehouse.account set is_active = false, close_date = '2026-11-19'")

    deltas = preview(crm.engine, BULK).deltas

    positions, accounts = deltas["position"], deltas["account"]
    assert positions.changed == positions.held > 0
    assert positions.moved_usd == Decimal("-0.25") * positions.changed
    assert 0 < accounts.closing <= accounts.held
    assert accounts.moved_usd == positions.closing == 0
