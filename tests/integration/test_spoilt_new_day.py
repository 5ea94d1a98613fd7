"""A new day with an unreadable row loads without a wrong number, or is rejected; it loads if the row names its account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from include.contract import Table, Vendor
from include.errors import BalanceError, DataQualityError
from include.vendors import named
from local.postgres import Postgres
from tests.conftest import Database, Firm, holding, new_database
from tests.crm.conftest import HOLDINGS, Crm
from tests.integration.spoiling import run_spoilt
from tests.running_sandbox import LAST, NOW

BEFORE = date(2026, 11, 19)
MADE_OF = ("position", "account_value", "transaction")
Copy = Callable[[], Firm]


@pytest.fixture
def vendor(request: pytest.FixtureRequest) -> Vendor:
    """Tamarac by default, whose positions are sums of several rows."""
    return named(getattr(request, "param", "tamarac"))


@pytest.fixture
def day_before(start_firm: Callable[..., Firm], vendor: Vendor, postgres: Postgres) -> Iterator[Copy]:
    """Creates firms with the previous day loaded, each with a database of its own."""
    first = start_firm(vendor, households=6)
    first.turn_to(NOW - timedelta(days=1))
    first.day(BEFORE)
    first.turn_to(NOW)
    first.engine.dispose()
    first.database.close()
    template = first.database.admin_url.rsplit("/", 1)[1]
    copies: list[Any] = []

    def copy() -> Firm:
        while copies:
            copies.pop()()
        opened = new_database(postgres, template)
        database: Database = opened.__enter__()
        firm = Firm(first.vendor, first.sandbox, database, first.folder)
        firm._runs = first._runs = first._runs + 1
        copies.extend([lambda: opened.__exit__(None, None, None), firm.engine.dispose])
        return firm

    yield copy
    while copies:
        copies.pop()()


def run_day(
    firm: Firm,
    target: str = "",
    choose: Callable[[pa.Table], int] = lambda rows: 0,
    *columns: str,
    rows_only: bool = False,
) -> None:
    """Run the day with one spoilt row of a table; `rows_only` skips the dead ratio, which so small a firm exceeds."""
    run_spoilt(firm, firm.new_run(), target, lambda rows: {choose(rows): columns}, rows_only=rows_only)


def read_money(firm: Firm) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Read the day's open rows by entity and key."""
    selections = {
        "position": "position_key as key, quantity, market_value_usd",
        "account_value": "account_value_key as key, market_value_usd, cash_usd",
        "transaction": "transaction_key as key, quantity, amount_usd, status",
    }
    return {
        entity: {
            row.pop("key"): tuple(row.values())
            for row in firm.database.rows(
                f"select {columns} from warehouse.{entity} where recorded_to is null"
                + ("" if entity == "transaction" else " and business_date = :day"),
                **({} if entity == "transaction" else {"day": LAST}),
            )
        }
        for entity, columns in selections.items()
    }


def feeding(vendor: Vendor) -> list[Table]:
    """List the tables from which a day's numbers are computed."""
    names = {each.table for each in vendor.maps if each.entity in MADE_OF}
    return [table for table in vendor.requested_tables if table.name in names]


@pytest.mark.long
@holding
@pytest.mark.timeout(1800)
def test_a_new_day_with_a_dead_row_has_no_wrong_number(day_before: Copy) -> None:
    """Spoils each field of every table of money or quantities, one row each."""
    clean = day_before()
    run_day(clean)
    expected, loaded, rejected = read_money(clean), 0, set()
    for table in feeding(clean.vendor):
        for number, column in enumerate(col.name for col in table.columns if col.kind == "value"):
            firm = day_before()
            try:
                run_day(firm, table.name, lambda rows, n=number: (7 * n + 3) % rows.num_rows, column, rows_only=True)  # type: ignore[misc]
            except BalanceError:
                rejected.add((table.name, column))
                continue
            for entity, rows in read_money(firm).items():
                wrong = {key: row for key, row in rows.items() if row != expected[entity].get(key)}
                assert not wrong, (table.name, column, entity)
            assert firm.database.value("select count(*) from control.dead_letter where status = 'open'") == 1
            loaded += 1
    assert loaded > 30
    # A sum is wrong without one of its rows, and only the unreadable field names the row's account.
    sums = {each.table for each in clean.vendor.maps if each.summed}
    assert rejected == {(name, clean.vendor.table(name).agrees[0]) for name in sums}  # type: ignore[index]


def _of_two_lots(rows: pa.Table) -> int:
    """Choose a lot of a security of which the account has several lots."""
    keys = pc.binary_join_element_wise(
        rows["account_id"], pc.coalesce(rows["cusip"], rows["symbol"], rows["description"]), ":"
    )
    counts = {row["values"]: row["counts"] for row in pc.value_counts(keys.combine_chunks()).to_pylist()}
    return next(n for n, key in enumerate(keys.to_pylist()) if counts[key] > 1)


def test_a_dead_lot_without_an_account_stops_the_day_and_names_the_account(day_before: Copy) -> None:
    firm = day_before()
    with pytest.raises(DataQualityError, match=r"accounts_off.*is 1.*account_id \S+ by -"):
        run_day(firm, "holdings", _of_two_lots, "account_id")
    assert firm.held(LAST) == {}


def test_a_dead_lot_that_names_its_account_alone_holds_that_account_back_and_the_day_loads(day_before: Copy) -> None:
    clean = day_before()
    run_day(clean)
    whole = clean.held(LAST)
    firm = day_before()

    run_day(firm, "holdings", _of_two_lots, "cusip")

    [account] = {key.partition(":")[0] for key in whole.keys() - firm.held(LAST).keys()}
    assert firm.held(LAST) == {key: row for key, row in whole.items() if not key.startswith(f"{account}:")}
    [lacks] = firm.database.rows(
        "select state, dead_letters, held_back_usd from mart.completeness where mart = 'aum_by_household' and business_date = :day",
        day=LAST,
    )
    [dead_letter] = firm.database.rows("select money_usd from control.dead_letter where status = 'open'")
    missing = sum((row[1] for key, row in whole.items() if key.startswith(f"{account}:")), Decimal(0))
    assert lacks == {"state": "explained", "dead_letters": 1, "held_back_usd": missing - dead_letter["money_usd"]}


def test_what_is_held_back_of_a_new_day_is_not_sold_in_salesforce(day_before: Copy, tmp_path: Path) -> None:
    firm = day_before()
    crm = Crm(firm.database, firm.sandbox, tmp_path / "work")
    crm.sync()
    before = crm.records(HOLDINGS)

    run_day(firm, "holdings", _of_two_lots, "cusip")
    crm.sync()

    loaded = {f"sample:tamarac:position:{key}" for key in firm.held(LAST)}
    held_back = before.keys() - loaded
    assert held_back
    shown = ("FinServ__Shares__c", "FinServ__MarketValue__c")
    after = crm.records(HOLDINGS)
    for key in held_back:
        assert [after[key][name] for name in shown] == [before[key][name] for name in shown]
        assert before[key]["FinServ__Shares__c"]
    crm.engine.dispose()


def find_dividend(rows: pa.Table) -> int:
    """Choose a row of the day itself that moves cash alone."""
    is_of_today = pc.and_(pc.equal(rows["trade_date"], pa.scalar(LAST)), pc.equal(rows["quantity"], pa.scalar(0)))
    return int(pc.index(pc.and_(is_of_today, pc.is_valid(rows["amount_usd"])), True).as_py())


def find_trade(rows: pa.Table) -> int:
    """Choose a row of the day itself that moves a security and cash."""
    is_of_today = pc.and_(pc.equal(rows["trade_date"], pa.scalar(LAST)), pc.not_equal(rows["quantity"], pa.scalar(0)))
    is_trade = pc.and_(pc.is_in(rows["type"], value_set=pa.array(["Buy", "Sell"])), pc.equal(rows["status"], "Posted"))
    return int(pc.index(pc.and_(is_of_today, is_trade), True).as_py())


def test_a_dead_dividend_explains_the_break_in_cash(day_before: Copy) -> None:
    firm = day_before()

    run_day(firm, "transactions", find_dividend, "status")

    [off] = firm.database.rows("select position_key, difference from control.roll_forward_break")
    [dead_letter] = firm.database.rows("select money_usd from control.dead_letter where status = 'open'")
    assert (off["position_key"].partition(":")[2], off["difference"]) == ("CASH", dead_letter["money_usd"])


@pytest.mark.parametrize(
    "column",
    [
        "status",
        "cusip",
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in ("account_id", "trade_date", "quantity", "amount_usd")
        ),
    ],
)
def test_a_dead_trade_explains_the_breaks_in_its_security_and_in_cash(day_before: Copy, column: str) -> None:
    firm = day_before()

    run_day(firm, "transactions", find_trade, column, rows_only=True)

    [check] = firm.database.rows("""
        select breaks, explained from control.reconciliation where check_name = 'roll-forward' and business_date = :day
    """, day=LAST)  # fmt: skip
    assert check == {"breaks": 2, "explained": 2}
