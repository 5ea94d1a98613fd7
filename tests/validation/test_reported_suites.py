"""Every suite can be shown in Data Docs, which support no bound that depends on the partition."""

from __future__ import annotations

from datetime import date

import pytest
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from include.contract import Vendor
from include.validation.date_bounds import resolve_bounds
from include.validation.suite import read_suite
from include.validation.view import plain

ANCHORS = {"business_date": date(2026, 11, 20), "extracted_at": date(2026, 11, 21)}


def test_every_expectation_of_every_suite_can_be_reported(vendor: Vendor) -> None:
    for table in vendor.requested_tables:
        for expectation in read_suite(vendor.name, table.name):
            kwargs = resolve_bounds(plain(expectation.kwargs), ANCHORS)
            ExpectationConfiguration(type=expectation.type, kwargs=kwargs).to_domain_obj()


@pytest.mark.parametrize(
    ("bound", "shown"),
    [
        ("business_date+31d", "2026-12-21"),
        ("extracted_at", "2026-11-21"),
        ("1970-01-01", "1970-01-01"),
        (5, 5),
        (None, None),
    ],
)
def test_bound_is_shown_as_the_day_that_it_is(bound: object, shown: object) -> None:
    assert resolve_bounds({"max_value": bound}, ANCHORS) == {"max_value": shown}
