"""Days that are consistent in themselves and still wrong: stopped before any load, with the difference in the message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from include import business_dates
from include.contract import Nested, Report, Table, Vendor
from include.control.ledger import find_earlier_partitions
from include.errors import DataQualityError, SchemaDrift
from include.pipeline import vendor_day
from include.staging.partitions import FAULTS
from include.validation.matched import lists_all, match
from include.validation.suite import read_suite
from include.vendors import VENDORS
from tests.conftest import Firm, place_of
from tests.crm.conftest import Crm
from tests.faults.reshaping import (
    FEWEST,
    own,
    read_rows,
)
from tests.faults.test_vendor_faults import add_fault, path_of
from tests.faults.wrong_day import LastGoodDay, WrongDay
from tests.running_sandbox import LAST, NOW

log = logging.getLogger(__name__)
WRONG = {"doubled": 2, "halved": 0.5, "zeroed": 0}


def money_tables(vendor: Vendor) -> list[Table]:
    return [t for t in vendor.requested_tables if t.money and t.pull != "window"]


def scale(firm: Firm, table: Table, factor: float) -> None:
    """Make the vendor multiply every amount and price of a table."""
    route = f"{place_of(firm.vendor, firm.connection)}/{path_of(table, '*')}"
    if isinstance(table.shape, Report):
        route += f"/{table.shape.order['report']}/file"
    fields = [c.source for c in table.columns if c.name in (table.money, "price_usd")]
    fault = {"route": route, "kind": "field_scaled", "field": fields, "factor": factor}
    response = firm.sandbox.http.post("/_sandbox/faults", json=fault)
    assert response.status_code == 200, response.text


moneyed = pytest.mark.parametrize("vendor", [each.name for each in VENDORS if money_tables(each)], indirect=True)


@pytest.mark.others_long
@moneyed
def test_day_whose_money_is_doubled_halved_or_zeroed_leaves_the_last_good_day_in_force_and_the_corrected_day_recovers(
    start_firm: Callable[..., Firm], vendor: Vendor
) -> None:
    firm = start_firm(vendor, after=Firm.day, households=12)
    firm.turn_to(NOW + timedelta(days=3))
    good = LastGoodDay(firm, Crm(firm.database, firm.sandbox, firm.folder / "crm"), LAST)
    day = business_dates.latest_closed(firm.clock())
    for factor in WRONG.values():
        for table in money_tables(vendor):
            scale(firm, table, factor)
        run = firm.new_run(day)
        with pytest.raises(DataQualityError, match=r"total_ratio\) is .*, expected 0\.6 to 1\.67 \(.*\$"):
            vendor_day.validate(firm.vendor_run(run), list(firm.stage(run).values()))
        for table in money_tables(vendor):
            good.check_rejected(run, "validate", f"{table.name}: ")
        good.crm.no_faults()
    good.check_salesforce()
    firm.day(day)
    good.check_corrected(day)


@pytest.mark.others_long
@moneyed
def test_day_whose_money_is_zeroed_may_be_accepted(start_firm: Callable[..., Firm], vendor: Vendor) -> None:
    firm = start_firm(vendor, after=Firm.day, households=12)
    firm.turn_to(NOW + timedelta(days=3))
    for table in money_tables(vendor):
        scale(firm, table, WRONG["zeroed"])
    firm.day(business_dates.latest_closed(firm.clock()), accept_unusual=True)
    accepted = "select sum(jsonb_array_length(notes -> 'accepted')) from control.ledger where stage = 'validate'"
    assert firm.database.value(accepted) > 0


READ_BY_NOTHING = {("orion", "accounts", "last_position_date by a day")}
"""A date that changes every day and that no map reads."""

MAY_BE_EMPTY = {
    "orion": {"transactions": "an edit window"},
    "tamarac": {"transactions": "an edit window"},
    "docusign": {"envelopes": "an edit window", "recipients": "those of envelopes of the window"},
    "adobe_sign": {
        "agreement_details": "only of agreements that have not ended",
        "agreement_events": "only of agreements that have not ended",
        "members": "only of agreements that have not ended",
        "participants": "of those members",
    },
}


def test_every_table_is_rejected_where_it_is_empty_and_was_not_or_may_be_empty_for_a_reason(vendor: Vendor) -> None:
    reasons: Mapping[str, str] = MAY_BE_EMPTY.get(vendor.name, {})
    for table in vendor.requested_tables:
        measures = {each.column for each in read_suite(vendor.name, table.name) if each.level == "batch"}
        assert ("missing_ratio" in measures) != (table.name in reasons), table.name
        assert lists_all(vendor, table) == ("missing_ratio" in measures), table.name


@pytest.mark.others_long
def test_rows_codes_and_columns_of_any_table_that_are_wrong_are_over_a_bound(
    start_wrong_day: Callable[[Vendor], WrongDay], vendor: Vendor
) -> None:
    day, silent, tried = start_wrong_day(vendor), list[str](), 0
    vendor_run = day.firm.vendor_run(day.run)
    for table in (table for table in vendor.requested_tables if lists_all(vendor, table)):
        of = vendor_run.pull_of(day.partitions[table.name])
        earlier = day.firm.site.open_validated(find_earlier_partitions(day.firm.site.engine, of))
        assert len(earlier) == 2, table.name
        bounds = {
            e.column: e.kwargs.get("max_value") for e in read_suite(vendor.name, table.name) if e.level == "batch"
        }
        for kind, what, reshape in day.cases(table):
            partition = day.reshape(table, reshape)[table.name]
            partition.write_faults(FAULTS.empty_table())
            measures = match(vendor, table, partition, earlier).measures
            tried += 1
            is_noticed = any(value is not None and value > bounds[name] for name, value in measures.items())
            if not is_noticed and not is_bounded(vendor, table, what):
                silent.append(f"{table.name} {kind}: {what}")
    assert tried
    assert silent == []


def is_bounded(vendor: Vendor, table: Table, what: str) -> bool:
    """Whether a date shifted by a day is rejected by its rows' bound, or not used at all."""
    row = {
        each.column: each.kwargs.get("max_value") for each in read_suite(vendor.name, table.name) if each.level == "row"
    }
    name = what.removesuffix(" by a day")
    return (vendor.name, table.name, what) in READ_BY_NOTHING or row.get(name) in ("business_date", "extracted_at")


def field_to_rename(day: WrongDay, table: Table) -> str:
    """Return an optional field that most rows have; empty if there is none, or too few rows."""
    rows = read_rows(table, day.partitions[table.name])
    usual = (c for c in own(table) if not c.required and "." not in c.source)
    full = (c.source for c in usual if rows.num_rows - rows.column(c.name).null_count >= FEWEST)
    return next(full, "")


@pytest.mark.others_long
def test_wrong_day_leaves_the_last_good_day_in_force_everywhere_and_the_corrected_day_recovers(
    start_wrong_day: Callable[[Vendor], WrongDay], vendor: Vendor
) -> None:
    day = start_wrong_day(vendor)
    firm, run = day.firm, day.run
    good = LastGoodDay(firm, Crm(firm.database, firm.sandbox, firm.folder / "crm"), LAST)
    renamed = 0
    for table in (
        table for table in vendor.requested_tables if lists_all(vendor, table) and not isinstance(table.shape, Nested)
    ):
        if field := field_to_rename(day, table):
            add_fault(firm, table, "field_renamed", field=field, to="nowCalledThis")
            try:
                partition = vendor_day.stage(firm.vendor_run(run), table.name)
            except SchemaDrift:
                renamed += 1
            else:
                if "nowCalledThis" in partition.manifest.undeclared:  # the fault reached its rows
                    renamed += 1
                    with pytest.raises(DataQualityError, match=f"{table.name}: .*blanked_ratio"):
                        vendor_day.validate(
                            firm.vendor_run(run), list((day.partitions | {table.name: partition}).values())
                        )
            good.crm.no_faults()
    assert renamed or vendor.name in ("docusign", "adobe_sign"), "the full lists are short"
    for table in (table for table in vendor.requested_tables if lists_all(vendor, table)):
        firsts = {kind: (what, reshape) for kind, what, reshape in reversed(list(day.cases(table)))}
        for kind, (what, reshape) in firsts.items():
            with pytest.raises(
                DataQualityError, match=f"failed validation and is not loaded: .*{table.name}: "
            ) as error:
                vendor_day.validate(firm.vendor_run(run), list(day.reshape(table, reshape).values()))
            log.info("%s %s %s, %s: %s", vendor.name, table.name, kind, what, error.value)
            good.check_rejected(run, "validate", f"{table.name}: ")
    good.check_salesforce()
    firm.day(run.business_date)
    good.check_corrected(run.business_date)
