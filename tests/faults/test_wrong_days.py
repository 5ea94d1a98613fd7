"""Days that are consistent in themselves and still wrong: stopped before anything is loaded, with a message that says by how much."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from include import sessions
from include.contract import Report, Table, Vendor
from include.errors import DataQualityError
from include.vendors import VENDORS
from tests.conftest import Firm, place_of
from tests.faults.test_vendor_faults import path_of

WRONG = {"doubled": 2, "halved": 0.5, "zeroed": 0}


def money_tables(vendor: Vendor) -> list[Table]:
    return [t for t in vendor.asked if t.money and t.pull != "window"]


def scale(firm: Firm, table: Table, factor: float) -> None:
    """Has the vendor state every amount and every price of a table multiplied."""
    route = f"{place_of(firm.vendor, firm.connection)}/{path_of(table, '*')}"
    if isinstance(table.shape, Report):
        route += f"/{table.shape.order['report']}/file"
    fields = [c.source for c in table.columns if c.name in (table.money, "price_usd")]
    fault = {"route": route, "kind": "field_scaled", "field": fields, "factor": factor}
    answer = firm.sandbox.http.post("/_sandbox/faults", json=fault)
    assert answer.status_code == 200, answer.text


MONEYED = [vendor for vendor in VENDORS if money_tables(vendor)]


@pytest.mark.parametrize("vendor", MONEYED, ids=lambda vendor: vendor.name)
def test_day_whose_money_is_doubled_halved_or_zeroed_is_stopped_and_may_be_accepted(
    start_firm: Callable[..., Firm], vendor: Vendor
) -> None:
    firm = start_firm(vendor, households=12)
    firm.day()
    firm.turn_to(firm.now + timedelta(days=3))  # Monday evening
    before = firm.database.value("select count(*) from control.ledger where stage = 'load'")
    day = sessions.latest_closed(firm.clock())
    for factor in WRONG.values():
        for table in money_tables(vendor):
            scale(firm, table, factor)
        with pytest.raises(DataQualityError, match=r"total_ratio\) is .*, expected 0\.6 to 1\.67 \(.*\$") as stopped:
            firm.day(day)
        for table in money_tables(vendor):
            assert f"{table.name}: " in str(stopped.value)
        assert firm.database.value("select count(*) from control.ledger where stage = 'load'") == before
        if factor:
            firm.sandbox.http.delete("/_sandbox/faults")
    firm.day(day, accept_unusual=True)
    accepted = "select sum(jsonb_array_length(notes -> 'accepted')) from control.ledger where stage = 'validate'"
    assert firm.database.value(accepted) > 0
