"""Backfilled days, three at a time, against a truth computed independently: a week, or twenty days in the long tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from include import business_dates
from include.control.ledger import Counts
from include.pipeline import vendor_day
from include.pipeline.run import Run
from include.vendors import named
from local.postgres import Postgres
from tests.conftest import HISTORIC, HOLDING, Firm, new_database
from tests.integration import truth
from tests.running_sandbox import LAST, run_sandbox

pytestmark = pytest.mark.others_long
MONTH = business_dates.list_trading_days(date(2026, 10, 22), date(2026, 11, 18))
WEEK = MONTH[-5:]
assert len(MONTH) == 20

_TODAY = [
    *(f"select * from warehouse.{name} order by 1, valid_from, recorded_from"
      for name in ("representative", "household", "person", "registration", "account", "account_owner", "security")),
    *(f"select * from warehouse.{name} order by {name}_key, recorded_from"
      for name in ("envelope", "envelope_recipient", "envelope_event")),
    f"select * from warehouse.position where business_date = '{LAST}' order by position_key, recorded_from",
    f"select * from warehouse.account_value where business_date = '{LAST}' order by account_value_key, recorded_from",
]  # fmt: skip


@pytest.fixture(scope="module", params=[WEEK, pytest.param(MONTH, marks=pytest.mark.long)], ids=["week", "month"])
def days(request: pytest.FixtureRequest) -> list[date]:
    """The days to backfill."""
    days: list[date] = request.param
    return days


@pytest.fixture(scope="module", params=HISTORIC)
def firm(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, days: list[date]
) -> Iterator[Firm]:
    """A firm for these days, whose current day is loaded; the tests share it."""
    vendor = named(request.param)
    folder = tmp_path_factory.mktemp(vendor.name)
    with new_database(postgres) as database, run_sandbox(folder / "sandbox") as sandbox:
        firm = Firm(vendor, sandbox, database, folder)
        firm.day(LAST)
        yield firm
        firm.engine.dispose()


@dataclass
class Backfill:
    """The result of the backfill: today's content before it, and the counts of each day's loads."""

    firm: Firm
    days: list[date]
    today: list[Any]
    counts: dict[date, dict[str, Counts]]


def run_day(firm: Firm, day: date, run: Run) -> dict[str, Counts]:
    partitions = firm.stage(run)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    return firm.publish(run, partitions)


def look_at_today(firm: Firm) -> list[Any]:
    return [firm.database.rows(query) for query in _TODAY]


@pytest.fixture(scope="module")
def backfill(firm: Firm, days: list[date]) -> Backfill:
    """The days, shuffled, three at a time."""
    today = look_at_today(firm)
    runs = {day: firm.new_run(day) for day in days[::3] + days[1::3] + days[2::3]}
    with ThreadPoolExecutor(3) as pool:
        counts = dict(zip(runs, pool.map(lambda item: run_day(firm, *item), runs.items()), strict=True))
    if firm.vendor.name == "orion":
        truth.export(firm, days[0], LAST)
    return Backfill(firm, days, today, counts)


@pytest.fixture(scope="module")
def again(backfill: Backfill) -> dict[date, dict[str, Counts]]:
    """The same days once more, one after the other."""
    firm = backfill.firm
    return {day: run_day(firm, day, firm.new_run(day)) for day in backfill.days}


holding = pytest.mark.parametrize("firm", HOLDING, indirect=True)
by_truth = pytest.mark.parametrize("firm", ["orion"], indirect=True)
"""Compared with an independent computation, from the vendor's exported objects."""

HELD = (
    "select business_date, position_key, quantity, market_value_usd from warehouse.position"
    " where recorded_to is null and vendor = :vendor"
)


def test_every_day_was_loaded_and_something_came(backfill: Backfill) -> None:
    days = backfill.firm.database.rows("select distinct business_date from control.ledger where stage = 'load'")
    assert {row["business_date"] for row in days} == {*backfill.days, LAST}
    assert any(c.produced for counts in backfill.counts.values() for c in counts.values())


@holding
def test_positions_are_as_many_the_second_time(backfill: Backfill, again: dict[date, dict[str, Counts]]) -> None:
    assert all(loads["position"].unchanged == loads["position"].produced > 100 for loads in again.values())


@holding
def test_positions_of_every_day_are_there(backfill: Backfill) -> None:
    days = backfill.firm.database.rows("select distinct business_date from warehouse.position")
    assert {row["business_date"] for row in days} == {*backfill.days, LAST}
    assert all(counts["position"].inserted > 100 for counts in backfill.counts.values())


def test_today_is_as_it_was(backfill: Backfill) -> None:
    assert look_at_today(backfill.firm) == backfill.today


@by_truth
def test_positions_are_what_the_transactions_come_to_and_their_prices(backfill: Backfill) -> None:
    database, vendor = backfill.firm.database, backfill.firm.vendor.name
    days = " where business_date in (select business_date from warehouse.position)"
    assert truth.find_differences(
        database, HELD, f"select business_date, asset, units, dollars from truth.holding {days}", vendor=vendor
    ) == []  # fmt: skip


@by_truth
def test_positions_are_what_the_vendor_states(backfill: Backfill) -> None:
    database, vendor = backfill.firm.database, backfill.firm.vendor.name
    days = " where business_date in (select business_date from warehouse.position)"
    assert truth.find_differences(
        database, HELD, f"select business_date, asset, units, dollars from truth.stated {days}", vendor=vendor
    ) == []  # fmt: skip


OUR_FLOW = """
case when flow in ('Contribution', 'Distribution') then lower(flow) when flow in ('MgmntFees', 'MiscFees') then 'fee'
     when flow like 'Div%' then 'income' when flow = 'Journal' then 'transfer' when flow <> 'None' then 'other' end
"""


@by_truth
def test_transactions_are_those_of_the_vendor_each_once(backfill: Backfill) -> None:
    ours = (
        "select transaction_key, trade_date, quantity, amount_usd, flow from warehouse.transaction"
        " where recorded_to is null and vendor = :vendor"
    )
    theirs = f"select id, trade_date, units, dollars, {OUR_FLOW} from truth.trade"
    assert truth.find_differences(backfill.firm.database, ours, theirs, vendor=backfill.firm.vendor.name) == []


@by_truth
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            "select business_date, k.source_key, household_name, aum_usd from mart.aum_by_household"
            " join warehouse.source_key k on k.id = household_id",
            "select business_date, household, name, sum(dollars) from truth.counted group by 1, 2, 3",
        ),
        (
            "select business_date, k.source_key, aum_usd, households from mart.aum_by_representative"
            " join warehouse.source_key k on k.id = representative_id",
            "select business_date, representative, sum(dollars), count(distinct household)"
            " from truth.counted group by 1, 2",
        ),
        (
            "select business_date, asset_class, aum_usd, positions from mart.aum_by_asset_class",
            "select business_date, asset_class, sum(dollars), count(*) from truth.counted group by 1, 2",
        ),
    ],
    ids=["household", "representative", "asset class"],
)
def test_assets_under_management_to_the_cent(backfill: Backfill, ours: str, theirs: str) -> None:
    days = "where business_date in (select business_date from warehouse.position)"
    theirs = f"select * from ({theirs}) t {days}"
    assert truth.find_differences(backfill.firm.database, ours, theirs) == []


@by_truth
def test_flows_to_the_cent(backfill: Backfill) -> None:
    ours = (
        "select trade_date, k.source_key, coalesce(contributions_usd, 0), coalesce(distributions_usd, 0), net_flow_usd"
        " from mart.net_flows join warehouse.source_key k on k.id = household_id"
    )
    theirs = (
        "select trade_date, household, coalesce(sum(dollars) filter (where dollars > 0), 0),"
        " coalesce(sum(dollars) filter (where dollars < 0), 0), sum(dollars)"
        " from truth.trade join truth.owner using (account) where not is_parent and status = 'Complete'"
        " and flow in ('Contribution', 'Distribution') group by 1, 2"
    )
    assert truth.find_differences(backfill.firm.database, ours, theirs) == []


@by_truth
def test_openings_and_closings(backfill: Backfill) -> None:
    theirs = (
        "select day, count(*) filter (where what = 'o'), count(*) filter (where what = 'c') from"
        " (select opened as day, 'o' as what from truth.owner where not is_parent union all select closed, 'c' from truth.owner where not is_parent) e"
        " where day is not null group by 1"
    )
    ours = "select day, opened, closed from mart.openings_and_closings"
    assert truth.find_differences(backfill.firm.database, ours, theirs) == []


def test_days_were_loaded_at_the_same_time(backfill: Backfill) -> None:
    """Otherwise the tests above do not cover concurrent days."""
    overlaps = backfill.firm.database.value("""
        with run as (select run_id, min(recorded_at) as began, max(recorded_at) as ended from control.ledger group by 1)
        select count(*) from run a join run b on a.run_id < b.run_id and a.began < b.ended and b.began < a.ended
    """)
    assert overlaps >= 3


def test_the_second_time_changes_nothing(backfill: Backfill, again: dict[date, dict[str, Counts]]) -> None:
    changed = [
        (day, entity, counts)
        for day, loads in again.items()
        for entity, counts in loads.items()
        if counts.inserted or counts.updated or counts.withdrawn or counts.superseded
    ]
    assert changed == []
    assert all(c.unchanged == c.produced for loads in again.values() for c in loads.values())
    assert look_at_today(backfill.firm) == backfill.today


def test_nothing_was_ever_written_twice(backfill: Backfill, again: dict[date, dict[str, Counts]]) -> None:
    """Without corrections no row is closed: there is one version per real change."""
    for table in sorted({entity_map.entity for entity_map in backfill.firm.vendor.maps}):
        assert (
            backfill.firm.database.value(f"select count(*) from warehouse.{table} where recorded_to is not null") == 0
        )


@holding
def test_every_day_reconciles_with_the_day_before(backfill: Backfill, again: dict[date, dict[str, Counts]]) -> None:
    checks = backfill.firm.database.rows(
        "select distinct on (business_date, check_name) business_date, check_name, breaks, is_passed, note"
        " from control.reconciliation order by business_date, check_name, checked_at desc"
    )
    assert all(check["is_passed"] and check["breaks"] == 0 for check in checks)
    rolled = {c["business_date"] for c in checks if c["check_name"] == "roll-forward" and not c["note"]}
    assert rolled == set(backfill.days[1:])


@by_truth
def test_a_price_corrected_later_is_known_before_and_after(
    backfill: Backfill, again: dict[date, dict[str, Counts]]
) -> None:
    firm, day = backfill.firm, backfill.days[2]
    aum = (
        "select k.source_key, aum_usd from mart.aum_by_household_as_known(:at)"
        " join warehouse.source_key k on k.id = household_id where business_date = :day"
    )
    stated = "select household, sum(dollars) from {} where business_date = :day group by 1"
    firm.database.do("create table truth.before as select * from truth.counted")
    known_before = firm.database.value("select clock_timestamp()")
    product = firm.database.value(
        "select doc->>'productId' from truth.assets where doc->>'ticker' is not null group by 1 order by count(*) desc limit 1"
    )
    firm.sandbox.admin("orion/correct_price", product_id=int(product), date=str(day), price=123.4567)
    truth.export(firm, backfill.days[0], LAST)
    loads = run_day(firm, day, firm.new_run(day))
    rows_stated = firm.database.value("select count(*) from truth.assets where doc->>'productId' = :product"
                               " and doc->>'asOfDate' like :day", product=product, day=f"{day}%")  # fmt: skip
    assert 0 < loads["position"].updated <= rows_stated
    assert loads["position"].inserted == loads["position"].withdrawn == 0
    now = "infinity"
    assert truth.find_differences(firm.database, aum, stated.format("truth.counted"), day=day, at=now) == []
    assert truth.find_differences(firm.database, aum, stated.format("truth.before"), day=day, at=known_before) == []
    assert truth.find_differences(firm.database, aum, stated.format("truth.before"), day=day, at=now) != []
