"""Posted transactions compared with each other and with those of the last loaded day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from include.contract import (
    DATE,
    INTEGER,
    MONEY,
    PRICE,
    QUANTITY,
    STRING,
    Basic,
    Budget,
    EntityMap,
    Table,
    Vendor,
    column,
)
from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.sensitive import Redactor
from include.staging.partitions import FAULTS, Partition, Staging
from include.validation.matched import Comparison
from include.validation.posted import measure_posted
from tests.firm_keys import KEYRING

TRADES = Table(
    name="trades",
    path="Trades",
    key=("trade_id",),
    money="amount_usd",
    columns=(
        column("trade_id", "id", INTEGER, required=True),
        column("account_id", "account", INTEGER),
        column("security", "security", STRING),
        column("traded_on", "tradedOn", DATE),
        column("type", "type", STRING),
        column("status", "status", STRING),
        column("quantity", "units", QUANTITY),
        column("price_usd", "price", PRICE),
        column("amount_usd", "amount", MONEY),
        column("edited_on", "editedOn", DATE),
    ),
)
MAP = EntityMap(
    "transaction",
    "trades",
    {
        "transaction_key": "trade_id",
        "account_key": "account_id",
        "security_key": "security",
        "trade_date": "traded_on",
        "type_code": "type",
        "status": "status",
        "quantity": "quantity",
        "price_usd": "price_usd",
        "amount_usd": "amount_usd",
        "edited_at": "edited_on",
    },
)
VENDOR = Vendor("testbank", "Testbank", "", Basic(), (TRADES,), (MAP,), "0 6 * * *", Budget(60))
THURSDAY, FRIDAY = date(2026, 11, 19), date(2026, 11, 20)
Row = dict[str, Any]
Measure = Callable[..., Comparison]


def trade(number: int, **fields: Any) -> Row:
    """Build a purchase unlike any other."""
    usual = {
        "id": number, "account": 1, "security": "ACME", "tradedOn": str(THURSDAY), "type": "BUY", "status": "posted", "units": number,
        "price": 20, "amount": 20 * number, "editedOn": str(THURSDAY),
    }  # fmt: skip
    return usual | fields


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Stages the trades of a day, and of an earlier day if there is one, and measures the later day."""
    staging = Staging(str(tmp_path / "staging"), KEYRING.staging)

    def add(day: date, rows: Iterable[Row], table: Table = TRADES) -> Partition:
        reader = PageReader(table, Redactor(b"only for tests"))
        page = reader.read(json.dumps(list(rows)).encode())
        assert not page.dead
        windows = iter([Window(page, page.rows.num_rows, 0)])
        partition = stage(VENDOR, table, Span(day), windows, reader, staging, datetime.now(UTC))
        partition.write_faults(FAULTS.empty_table())
        return partition

    def measured(now: Iterable[Row], before: Iterable[Row] | None = None, table: Table = TRADES) -> Comparison:
        earlier = [] if before is None else [add(THURSDAY, before, table)]
        return measure_posted(VENDOR, TRADES, add(FRIDAY, now), earlier)

    return measured


def test_transactions_that_come_again_as_they_were_are_not_restated(measure: Measure) -> None:
    result = measure([trade(n) for n in range(1, 60)], [trade(n) for n in range(1, 40)])
    assert result.measures == {"restated_ratio": 0, "repeated_ratio": 0, "mispriced_ratio": 0}


@pytest.mark.parametrize(
    ("field", "value", "fact"),
    [("tradedOn", "2026-11-15", "trade_date"), ("units", 7, "quantity"), ("amount", 7, "amount_usd"), ("amount", None, "amount_usd"),
     ("account", 2, "account_key"), ("security", "OTHER", "security_key"), ("type", "SELL", "type_code")],
)  # fmt: skip
def test_transactions_that_come_again_as_others_are_restated_and_named(
    measure: Measure, field: str, value: Any, fact: str
) -> None:
    result = measure([trade(n, **{field: value}) for n in range(20, 40)], [trade(n) for n in range(20, 40)])
    assert result.measures["restated_ratio"] == pytest.approx((20 - 1 - 20**0.5 / 2) / 20)
    assert result.details["restated_ratio"].startswith(
        f"{fact}: 20 of 20 posted transactions differ from those of 2026-11-19: 20, 21, "
    )


@pytest.mark.parametrize(("corrected", "of"), [(1, 3), (2, 5), (3, 9)])
def test_few_corrections_of_a_small_firm_are_no_fault(measure: Measure, corrected: int, of: int) -> None:
    now = [trade(n, **({"amount": 7} if n <= corrected else {})) for n in range(1, of + 1)]
    ratio = measure(now, [trade(n) for n in range(1, of + 1)]).measures["restated_ratio"]
    assert ratio is not None
    assert ratio <= 0.25


def test_transactions_that_were_pending_or_are_reversed_may_change(measure: Measure) -> None:
    pending = [trade(n, status="pending", amount=1) for n in range(1, 20)]
    posted = [trade(n) for n in range(20, 40)]
    now = [trade(n) for n in range(1, 20)] + [trade(n, status="reversed", amount=1) for n in range(20, 40)]
    assert measure(now, pending + posted).measures["restated_ratio"] == 0


def test_nothing_is_restated_on_a_first_day_or_after_a_declaration_changed(measure: Measure) -> None:
    rows = [trade(n) for n in range(1, 20)]
    assert measure(rows).measures["restated_ratio"] is None
    other = replace(TRADES, columns=TRADES.columns[:-1])
    assert measure(rows, [{k: v for k, v in row.items() if k != "editedOn"} for row in rows], other).measures[
        "restated_ratio"
    ] is None  # fmt: skip


def test_transactions_that_come_twice_under_two_keys_are_repeated_whenever_they_were_edited(measure: Measure) -> None:
    rows = [trade(n) for n in range(1, 20)]
    result = measure(rows + [row | {"id": 100 + row["id"], "editedOn": str(FRIDAY)} for row in rows])
    assert result.measures["repeated_ratio"] == pytest.approx((38 - 1 - 38**0.5 / 2) / 38)
    assert result.details["repeated_ratio"].startswith(
        "38 of 38 posted transactions equal another one but for the key: 1,"
    )


def test_two_equal_purchases_of_a_quiet_day_are_no_fault(measure: Measure) -> None:
    ratio = measure([trade(1), trade(1) | {"id": 2}, trade(3)]).measures["repeated_ratio"]
    assert ratio is not None
    assert ratio <= 0.5


def test_pending_copies_are_not_counted(measure: Measure) -> None:
    copies = [trade(1, status="pending") | {"id": n} for n in range(10, 30)]
    assert measure([trade(1), *copies]).measures["repeated_ratio"] == 0


def test_quantity_and_amount_that_are_swapped_are_found_by_the_price(measure: Measure) -> None:
    swapped = [trade(n, units=-20 * n, amount=n) for n in range(10, 30)]
    result = measure([*swapped, trade(1, price=1, amount=1, type="CONTRIBUTION")])
    assert result.measures["mispriced_ratio"] == pytest.approx((20 - 1 - 20**0.5 / 2) / 20)
    assert result.details["mispriced_ratio"].startswith(
        "in 20 of 20 posted transactions the price is quantity over amount: 10,"
    )


@pytest.mark.parametrize("amount", [0, 6, 24], ids=["zeroed", "halved", "doubled"])
def test_amounts_of_cash_that_are_not_its_units_are_mispriced(measure: Measure, amount: int) -> None:
    securities = [trade(n) for n in range(100, 200)]
    result = measure([*securities, *(trade(n, units=12, price=1, amount=amount) for n in range(1, 21))])
    assert result.measures["mispriced_ratio"] == pytest.approx((20 - 1 - 20**0.5 / 2) / 20)
    assert result.details["mispriced_ratio"].startswith(
        "in 20 of 20 posted transactions the price is 1, and quantity and amount differ: 1, 2,"
    )


@pytest.mark.parametrize(
    ("units", "price", "amount"),
    [(1000, 98.5, 985), (2, 3.1, 620), (500, 1, 500), (500, 1.02, 510), (12, None, 240), (0, 20, 240), (12, 20, 0), (12, 0, 240), (0, 1, 240), (12, 1, None)],
    ids=["bond", "option", "cash", "money market", "no price", "dividend", "no amount", "price of a split", "interest", "unknown amount"],
)  # fmt: skip
def test_honest_transactions_are_not_taken_for_swapped(
    measure: Measure, units: float, price: float | None, amount: float
) -> None:
    rows = [trade(n, units=units, price=price, amount=amount) for n in range(1, 20)]
    assert measure(rows).measures["mispriced_ratio"] == 0


def test_day_without_transactions_is_measured(measure: Measure) -> None:
    assert measure([], [trade(1)]).measures == {"restated_ratio": None, "repeated_ratio": 0, "mispriced_ratio": 0}


def test_other_tables_have_no_such_measures(tmp_path: Path) -> None:
    vendor, reader = replace(VENDOR, maps=()), PageReader(TRADES, Redactor(b"only for tests"))
    staging = Staging(str(tmp_path), KEYRING.staging)
    partition = stage(vendor, TRADES, Span(FRIDAY), iter([]), reader, staging, datetime.now(UTC))
    assert measure_posted(vendor, TRADES, partition, []).measures == {}
