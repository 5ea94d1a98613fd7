"""A run's plan: its day, and the tables that the vendor can state for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import ConfigurationError, InputRejected
from include.pipeline.plan import choose_tables, plan_day
from include.vendors import VENDORS, named

VENDOR = VENDORS[0]
ALL = [table.name for table in VENDOR.tables]
PAST = [table.name for table in VENDOR.tables if table.states_past]
NOW = datetime(2026, 11, 27, 11, tzinfo=UTC)


def params(**changes: Any) -> dict[str, Any]:
    return {"business_date": None, "tables": ALL, "full_refresh": False, "on_demand": False} | changes


def test_without_a_date_a_run_is_about_the_last_session_closed_by_now() -> None:
    plan = plan_day(VENDOR, params(), None, NOW)
    assert (plan["business_date"], plan["previous_date"]) == ("2026-11-25", "2026-11-24")
    assert (plan["is_past"], plan["tables"]) == (False, ALL)


def test_an_interval_that_ends_after_a_holiday_is_about_the_session_before_it() -> None:
    plan = plan_day(VENDOR, params(), datetime(2026, 11, 27, 11, tzinfo=UTC), datetime(2026, 12, 4, tzinfo=UTC))
    assert (plan["business_date"], plan["is_past"]) == ("2026-11-25", True)


def test_a_past_day_takes_only_what_can_be_stated_as_of_then() -> None:
    plan = plan_day(VENDOR, params(business_date="2026-11-20"), None, NOW)
    assert (plan["business_date"], plan["is_past"], plan["tables"]) == ("2026-11-20", True, PAST)


def test_a_requested_holiday_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="not a trading day"):
        plan_day(VENDOR, params(business_date="2026-11-26"), None, NOW)


def test_tables_are_in_the_vendors_order_for_any_requested_order() -> None:
    assert choose_tables(VENDOR, ALL[::-1], is_past=False) == ALL


def test_an_unknown_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=rf"no table pets; it has {', '.join(ALL)}"):
        choose_tables(VENDOR, [ALL[0], "pets"], is_past=False)


def test_no_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=rf"No table is selected; .* has {', '.join(ALL)}"):
        choose_tables(VENDOR, [], is_past=False)


def test_tables_that_can_not_be_stated_as_of_a_past_date_are_refused_with_those_that_can() -> None:
    described = [name for name in ALL if name not in PAST]
    with pytest.raises(
        ConfigurationError, match=rf"can't return {', '.join(described)} .* select from {', '.join(PAST)}"
    ):
        choose_tables(VENDOR, described, is_past=True)


def test_a_plan_gives_the_reason_for_every_omitted_table() -> None:
    plan = plan_day(VENDOR, params(business_date="2026-11-20"), None, NOW)
    assert set(plan["left_out"]) == {*ALL} - {*PAST} != set()
    assert set(plan["left_out"].values()) == {f"{VENDOR.title} can't return it as of 2026-11-20, a past date"}
    assert plan_day(VENDOR, params(), None, NOW)["left_out"] == {}
    assert plan_day(VENDOR, params(business_date="2026-11-20", tables=PAST), None, NOW)["left_out"] == {}


def test_a_plan_for_single_clients_lists_tables_without_client_refresh() -> None:
    vendor = named("docusign")
    chosen = params(tables=[table.name for table in vendor.requested_tables], keys=["1"])
    assert plan_day(vendor, chosen, None, NOW)["left_out"] == {
        "templates": "DocuSign can't return it for single envelopes"
    }


def test_a_date_in_the_form_of_a_backfill_is_rejected() -> None:
    end = datetime(2026, 11, 24, 11, tzinfo=UTC)
    with pytest.raises(InputRejected, match="Each run of a backfill has its own business date"):
        plan_day(VENDOR, params(business_date="2026-11-20"), end, NOW, is_backfill=True)
    assert plan_day(VENDOR, params(), end, NOW, is_backfill=True)["business_date"] == "2026-11-23"
