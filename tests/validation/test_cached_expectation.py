"""A cached expectation answers as the original, and builds its configuration once."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import pytest
from great_expectations.expectations.expectation import Expectation as Original
from great_expectations.expectations.registry import get_expectation_impl

from include.validation import check
from include.validation.cached_expectation import register_cached
from include.validation.suite import SUITES, Expectation, read_suite

FRAME = pd.DataFrame({"number": [1.0, 2.0, None, 2.0, 50.0], "text": pd.Categorical(["a", "bc", None, "a", "ZZ"])})
KWARGS: dict[str, dict[str, Any]] = {
    "expect_column_values_to_not_be_null": {"column": "number"},
    "expect_column_values_to_be_unique": {"column": "number"},
    "expect_column_values_to_be_between": {"column": "number", "min_value": 2, "max_value": 10},
    "expect_column_values_to_be_in_set": {"column": "text", "value_set": ["a", "bc"]},
    "expect_column_values_to_match_regex": {"column": "text", "regex": "^[a-z]+$"},
    "expect_column_value_lengths_to_be_between": {"column": "text", "min_value": 2, "max_value": 2},
}


@pytest.fixture(scope="module")
def validator() -> check.Validator:
    return check.Validator()


def test_arguments_are_of_every_type_in_our_suites() -> None:
    names = [path.stem.split("__") for path in SUITES.glob("*__*.json")]
    assert KWARGS.keys() >= {each.type for vendor, table in names for each in read_suite(vendor, table)}


@pytest.mark.parametrize("result_format", [check._COUNTS, check._PLACES], ids=["counts", "places"])
def test_result_is_the_original_s(
    validator: check.Validator, result_format: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = [Expectation(name, kwargs, "row") for name, kwargs in KWARGS.items()]
    cached = validator.check(FRAME, suite, result_format)
    monkeypatch.setattr(check, "register_cached", lambda name: name)
    original = validator.check(FRAME, suite, result_format)
    assert [str(each.result) for each in cached] == [str(each.result) for each in original]
    assert not any(each.success for each in cached)


def test_configuration_is_built_once() -> None:
    kept = get_expectation_impl(register_cached("expect_column_values_to_be_between"))(column="number", max_value=3)
    assert kept.configuration is kept.configuration
    assert kept.configuration.kwargs == {"column": "number", "max_value": 3}
    assert copy.copy(kept).configuration is not kept.configuration


def test_type_that_is_unknown_stays_as_it_is() -> None:
    assert register_cached("expect_the_unknown") == "expect_the_unknown"


def test_library_still_builds_a_configuration_at_each_access() -> None:
    """When this fails, Great Expectations keeps its configuration itself: remove the cache."""
    plain: Original = get_expectation_impl("expect_column_values_to_not_be_null")(column="number")
    assert plain.configuration is not plain.configuration
