"""The rule about deals: its thresholds and its texts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from include.rules.deals import find_unserved_deals
from include.rules.policy import Policy
from tests.rules.household_views import DAY, make_view
from tests.rules.snapshots import details, read_measures

POLICY = Policy()


def deal(days: int = 20, **more: Any) -> dict[str, Any]:
    row = {
        "deal_id": 900,
        "vendor": "salesforce",
        "household_id": None,
        "won_on": DAY - timedelta(days=days),
        "is_served": False,
    }
    return row | more


@pytest.mark.parametrize(("days", "is_found"), [(10, False), (11, True)])
def test_a_household_may_take_some_days(days: int, is_found: bool) -> None:
    findings = find_unserved_deals(make_view(deals=[deal(days)]), POLICY)
    assert read_measures(findings) == ({900: Decimal(days)} if is_found else {})


def test_a_deal_whose_household_is_served_is_none() -> None:
    assert read_measures(find_unserved_deals(make_view(deals=[deal(household_id=1, is_served=True)]), POLICY)) == {}


def test_a_household_that_only_a_planner_has_is_named() -> None:
    findings = find_unserved_deals(make_view(deals=[deal(household_id=1, representative_id=71)]), POLICY)
    [row] = findings.to_pylist()
    assert (row["subject_entity"], row["household_id"], row["representative_id"]) == ("deal", 1, 71)


def test_details_of_an_unserved_deal() -> None:
    assert details(find_unserved_deals(make_view(deals=[deal(20)]), POLICY)) == [
        "A deal was won on 2026-10-31, but no portfolio system has the household after 10 days."
    ]


def test_a_deal_without_a_won_date_is_not_evaluated() -> None:
    assert read_measures(find_unserved_deals(make_view(deals=[deal(won_on=None)]), POLICY)) == {}
