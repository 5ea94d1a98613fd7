"""The columns that a firm's mapping can show: the generated file, and which row counts."""

from __future__ import annotations

import pytest

from include.firm.catalogue import FILE, ONE_ROW, UnknownColumn, find_source, read_catalogue
from include.warehouse import schema
from local.catalogue_file import render
from tests.conftest import Database


def test_the_file_is_that_of_a_migrated_database(shared_database: Database) -> None:
    engine = schema.engine(shared_database.url())
    assert FILE.read_text() == render(engine), "make generate"
    engine.dispose()


def test_no_hash_and_no_sealed_value_can_be_shown() -> None:
    names = {f"{relation}.{column}" for relation, columns in read_catalogue().items() for column in columns}
    assert not {name for name in names if name.endswith(("_hash", "_sealed", "sealed", "_last4"))}
    assert "mart.plan_freshness.probability_ratio" in names


@pytest.mark.parametrize(("relation", "key"), ONE_ROW.items())
def test_one_row_counts_by_a_column_that_the_relation_has(relation: str, key: str) -> None:
    assert key in read_catalogue()[relation]
    source = find_source(f"{relation}.{key}", [key], "")
    assert (source.key, source.of_several) == (key, "")


def test_the_leading_plan_and_the_newest_day_count() -> None:
    assert find_source("mart.plan_freshness.probability_ratio", ["household_id"], "").where == "x.is_leading"
    value = find_source("warehouse.account_value.market_value_usd", ["account_id"], "")
    assert (value.where, value.newest) == ("x.recorded_to is null", "business_date")
    person = find_source("warehouse.person.email", ["person_id"], "")
    assert person.where == "x.valid_to is null and x.recorded_to is null and not x.is_past_only"


@pytest.mark.parametrize(
    ("reference", "ids", "of_several", "reason"),
    [
        ("mart.nothing.name", ["household_id"], "", "is not a relation"),
        ("mart.net_worth.nothing", ["household_id"], "", "has no column"),
        ("mart.net_worth.net_worth_usd", ["security_id"], "", "none of the columns"),
        ("warehouse.position.market_value_usd", ["account_id"], "", "several rows"),
        ("warehouse.known_person.birth_date", ["household_id"], "total", "is not a number"),
        ("warehouse.person.tax_id_hash", ["person_id"], "", "has no column"),
        ("control.key.fingerprint", ["person_id"], "", "is not a relation"),
    ],
)
def test_a_reference_that_can_not_be_shown_is_refused(
    reference: str, ids: list[str], of_several: str, reason: str
) -> None:
    with pytest.raises(UnknownColumn, match=reason):
        find_source(reference, ids, of_several)
