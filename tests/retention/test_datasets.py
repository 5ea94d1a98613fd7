"""The table of retention is complete, agrees with the database, and refuses periods that are shorter than the law requires."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from include.crm.sync import difference
from include.crm.sync.preview import Preview
from include.errors import ConfigurationError
from include.pipeline import documents, vendor_day
from include.retention.datasets import BOOKS, DATASETS, FACTS, KEEP
from include.retention.periods import days_of, read_document_years, read_periods
from include.retention.staging import DOCUMENTS, list_pulls
from include.retention.traces import PAGES
from include.validation import docs
from include.vendors import VENDORS
from tests.conftest import Database, Firm

BY_NAME = {each.name: each for each in DATASETS}


def test_no_dataset_is_declared_twice() -> None:
    assert len(BY_NAME) == len(DATASETS)


def test_every_table_of_the_database_is_declared(database: Database) -> None:
    tables = database.rows(
        "select n.nspname || '.' || relname as name from pg_class c join pg_namespace n on n.oid = relnamespace"
        " where relkind in ('r', 'p') and not relispartition and nspname in ('control', 'warehouse', 'mart')"
    )
    assert {each.name for each in DATASETS if each.is_table} == {row["name"] for row in tables}


def test_the_database_disposes_of_the_same_tables_after_the_same_minimum(database: Database) -> None:
    declared = {each.name: each.minimum for each in DATASETS if each.is_table and each.way != KEEP}
    rules = database.rows("select dataset, cast(minimum as text) from control.retention")
    of_database = {row["dataset"]: row["minimum"].replace("00:00:00", "0 days") for row in rules}
    assert of_database == declared


def test_every_folder_is_declared(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(households=3)
    partitions = firm.stage(run := firm.new_run())
    documents.write(firm.site.staging, b"%PDF-a")
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    docs.build(firm.site.staging, firm.engine, list(partitions.values()), run.run_id)
    difference.write(firm.site.staging, run.run_id, Preview({}, {}, []))
    staged = set(firm.site.staging.list_folders(""))
    assert staged <= {DOCUMENTS, PAGES, *(vendor.name for vendor in VENDORS)}
    assert {each.path for each in list_pulls(firm.site.staging)} == {each.path for each in partitions.values()}
    declared = {name.removeprefix("pages: ") for name in BY_NAME if name.startswith("pages: ")}
    assert set(firm.site.staging.list_folders(PAGES)) == declared


def test_every_period_is_at_least_its_minimum() -> None:
    for each in DATASETS:
        if each.is_disposable:
            assert days_of(each.period) >= days_of(each.minimum), each.name


def test_books_and_records_are_retained_for_six_years_at_least() -> None:
    books = [each for each in DATASETS if each.duty == BOOKS and each.name != "control.document"]
    assert set(FACTS) < set(books)
    assert {each.minimum for each in books} == {"6 years"}


def test_a_firm_may_set_each_period_to_its_minimum() -> None:
    minima = {each.name: each.minimum for each in DATASETS if each.is_disposable}
    assert read_periods(minima) == minima


def test_a_firm_changes_a_period() -> None:
    periods = read_periods({"control.api_call": "30 days", "warehouse.position": "for ever"})
    assert (periods["control.api_call"], periods["warehouse.position"]) == ("30 days", "for ever")
    assert periods["control.finding"] == "7 years"


@pytest.mark.parametrize(
    ("name", "period", "fault"),
    [
        ("warehouse.position", "5 years", "shorter than the minimum of 6 years .*17a-4"),
        ("warehouse.position", "2190 days", "shorter than the minimum of 6 years"),
        ("control.inbox", "1 days", "shorter than the minimum of 30 days"),
        ("control.inbox", "soon", "is not like '90 days'"),
        ("control.ledger", "9 years", "is not a dataset whose period can be set"),
    ],
)
def test_an_invalid_period_is_refused_with_the_reason(name: str, period: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        read_periods({name: period})


@pytest.mark.parametrize("years", ["5", "0", "-7", "seven", "101", ""])
def test_signed_documents_are_retained_for_six_years_at_least(years: str) -> None:
    with pytest.raises(ConfigurationError, match="17a-4"):
        read_document_years(years)
    assert read_document_years("6") == 6
