"""Days whose transactions are wrong: doubled under other ids, dated on other days, with quantity and amount swapped, or of other amounts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from include.contract import Table, Vendor
from include.errors import BalanceError, DataQualityError
from include.pipeline import vendor_day
from include.validation.posted import POSTED
from include.validation.suite import read_suite
from include.vendors import VENDORS
from tests.conftest import Firm
from tests.crm.conftest import BULK, Crm
from tests.faults.reshaping import Reshape, change, double, multiply, shift_dates, swap
from tests.faults.wrong_day import LastGoodDay, WrongDay
from tests.running_sandbox import LAST

log = logging.getLogger(__name__)

WITH_TRADES = [vendor.name for vendor in VENDORS if any(m.entity == "transaction" for m in vendor.maps)]
with_trades = pytest.mark.parametrize("vendor", WITH_TRADES, indirect=True)


def find_trades(vendor: Vendor) -> tuple[Table, str]:
    """Return a vendor's table of transactions, and its column of codes."""
    [pair] = [(vendor.table(m.table), str(m.columns["type_code"])) for m in vendor.maps if m.entity == "transaction"]
    return pair


def of_since(since: date, reshape: Reshape) -> Reshape:
    """Reshape only transactions that are newer than a day."""

    def only(rows: pa.Table) -> pa.Table:
        is_since = pc.fill_null(pc.greater(rows["trade_date"], pa.scalar(since)), False)
        return pa.concat_tables([rows.filter(pc.invert(is_since)), reshape(rows.filter(is_since))])

    return only


def wrong_trades(table: Table, code: str, since: date) -> dict[str, Reshape]:
    """List wrong days of a table of transactions; some of them change only rows newer than a day."""
    [key] = table.key

    def double_third(rows: pa.Table) -> pa.Table:
        third = rows.num_rows // 3
        return pa.concat_tables([rows.slice(third), double(key)(rows.slice(0, third))])

    return {
        "missing: all": lambda rows: rows.slice(0, 0),
        "missing: half of those since": of_since(since, lambda rows: rows.take(list(range(0, rows.num_rows, 2)))),
        "renamed: codes": change(code, lambda each: pc.binary_join_element_wise(each, "2", "")),
        "shifted: those since by a day": of_since(since, shift_dates("trade_date", 1)),
        "shifted: four days earlier": shift_dates("trade_date", -4),
        "doubled under other ids": double(key),
        "doubled under other ids: a third of those since": of_since(since, double_third),
        "swapped: quantity and amount": swap("quantity", "amount_usd"),
        "swapped: quantity and amount of those since": of_since(since, swap("quantity", "amount_usd")),
        "doubled: amounts": multiply(Decimal(2), "amount_usd"),
        "halved: amounts and prices": multiply(Decimal("0.5"), "amount_usd", "price_usd"),
        "zeroed: amounts": multiply(Decimal(0), "amount_usd"),
    }


@pytest.mark.others_long
@with_trades
def test_day_of_wrong_transactions_leaves_the_last_good_day_in_force_and_the_corrected_day_recovers(
    start_wrong_day: Callable[[Vendor], WrongDay], vendor: Vendor
) -> None:
    day = start_wrong_day(vendor)
    firm, run = day.firm, day.run
    crm = Crm(firm.database, firm.sandbox, firm.folder / "crm", settings=replace(BULK, has_transactions=True))
    good = LastGoodDay(firm, crm, LAST)
    table, code = find_trades(vendor)
    vendor_day.validate(firm.vendor_run(run), list(day.partitions.values()))
    for what, reshape in wrong_trades(table, code, LAST).items():
        partitions = day.reshape(table, reshape)
        try:
            day.publish({each.name: partitions[each.name] for each in vendor.requested_tables if each.money})
        except (DataQualityError, BalanceError) as error:
            log.info("%s %s: %s", vendor.name, what, error)
            good.check_rejected(run, "load" if isinstance(error, BalanceError) else "validate")
        else:
            pytest.fail(f"{what}: is loaded")
    good.check_salesforce()
    firm.day(run.business_date)
    good.check_corrected(run.business_date)


@pytest.mark.others_long
@with_trades
def test_first_day_whose_transactions_contradict_each_other_or_themselves_is_rejected(
    start_firm: Callable[..., Firm], vendor: Vendor
) -> None:
    firm = start_firm(vendor, households=3)
    run = firm.new_run(LAST)
    day = WrongDay(firm, run, firm.stage(run))
    table, _ = find_trades(vendor)
    wrong = [(double(*table.key), "repeated_ratio"), (swap("quantity", "amount_usd"), "mispriced_ratio")]
    wrong += [(multiply(Decimal(factor), "amount_usd"), "mispriced_ratio") for factor in ("2", "0.5", "0")]
    for reshape, measure in wrong:
        with pytest.raises(DataQualityError, match=f"{table.name}: [^;]*{measure}"):
            day.publish(day.reshape(table, reshape))
    firm.day(LAST)


@with_trades
def test_suite_of_transactions_bounds_what_the_roll_forward_can_not_see(vendor: Vendor) -> None:
    table, _ = find_trades(vendor)
    assert {*POSTED} <= {each.column for each in read_suite(vendor.name, table.name) if each.level == "batch"}
