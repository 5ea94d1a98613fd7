"""Suites over rows: a bad row becomes a dead letter with its reasons, and an invalid suite is a configuration error."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.contract import STRING, column
from include.errors import ConfigurationError
from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.sensitive import Redactor
from include.staging import files as staging_module
from include.validation.suite import read_suite
from tests.validation.vendor_day import ACCOUNTS, ASSETS, BETWEEN, DAY, VENDOR, Day, asset, batch, row


def test_row_that_fails_becomes_a_dead_letter_with_the_names_of_what_it_failed(day: Day) -> None:
    day.suite(
        row("expect_column_values_to_not_be_null", column="account_id"),
        row(BETWEEN, column="amount_usd", min_value=0, max_value=100),
        row("expect_column_values_to_match_regex", column="ticker", regex="^[A-Z]+$"),
    )
    day.stage(ASSETS, [asset(1), asset(2, accountId=None, ticker="x1"), asset(3, amount=100.01), asset(4, ticker="OK")])
    outcome = day.validate()["assets"]
    assert day.read_rejected() == {
        "2": ["expect_column_values_to_not_be_null(account_id)", "expect_column_values_to_match_regex(ticker)"],
        "3": ["expect_column_values_to_be_between(amount_usd): 0 to 100"],
    }
    assert (outcome.staged, outcome.refused) == (4, 2)
    assert [(r["name"], r["success"], r["unexpected_count"]) for r in outcome.results] == [
        ("expect_column_values_to_not_be_null(account_id)", False, 1),
        ("expect_column_values_to_be_between(amount_usd)", False, 1),
        ("expect_column_values_to_match_regex(ticker)", False, 1),
    ]


def test_good_rows_are_all_but_the_refused_in_every_part(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "ROWS_A_PART", 10)
    day.suite(row(BETWEEN, column="quantity", max_value=5))
    reader = PageReader(ASSETS, Redactor(b"only for tests"))
    pages = [
        json.dumps([asset(n, units=9 if n % 11 == 0 else 1, isCash=None, edited=None, ticker=None)
                    for n in range(start, start + 10)])
        for start in range(0, 50, 10)
    ]  # fmt: skip
    windows = (Window(reader.read(page.encode()), 10, 0) for page in pages)
    partition = stage(VENDOR, ASSETS, Span(DAY), windows, reader, day.staging, datetime.now(UTC))
    day.partitions = {"assets": partition}
    outcome = day.validate()["assets"]
    good = [n for part in partition.good_rows(["asset_id"]) for n in part.column("asset_id").to_pylist()]
    assert good == [n for n in range(50) if n % 11]
    assert (outcome.staged, outcome.refused) == (50, 5)
    assert {fault["part"] for fault in partition.faults.to_pylist()} == {f"part-{n:05d}.parquet" for n in range(5)}
    [result] = outcome.results
    assert (result["element_count"], result["unexpected_count"]) == (50, 5)


def _stage_and_validate(day: Day, texts: list[str], field: str) -> None:
    """Stage a row for each text, which is the JSON of one field, and validate them."""
    rows = [
        {"id": str(n), "accountId": "1", "units": "null", "amount": "1"}
        | {field: text}
        | dict.fromkeys(("ticker", "isCash", "asOf", "edited"), "null")
        for n, text in enumerate(texts, 1)
    ]
    lines = ("{" + ",".join(f'"{name}":{value}' for name, value in row.items()) + "}" for row in rows)
    day.stage(ASSETS, f"[{','.join(lines)}]")
    day.validate()


@pytest.mark.parametrize(
    ("bounds", "dead"),
    [
        ({"max_value": 10**9}, {"2", "3"}),
        ({"max_value": 10**9, "strict_max": True}, {"1", "2", "3"}),
        ({"min_value": 10**9}, {"4", "5"}),
        ({"min_value": 10**9, "strict_min": True}, {"1", "4", "5"}),
        ({"min_value": 10**9, "max_value": 10**9}, {"2", "3", "4", "5"}),
        ({"min_value": 0.1}, {"5"}),
    ],
)
def test_range_of_a_wide_column_is_exact(day: Day, bounds: dict[str, Any], dead: set[str]) -> None:
    day.suite(row(BETWEEN, column="quantity", **bounds))
    texts = ["1000000000", "1000000000.00000001", "12345678901234567890", "999999999.99999999", "0.09999999", "null"]
    _stage_and_validate(day, texts, "units")
    assert set(day.read_rejected()) == dead


@pytest.mark.parametrize(
    ("bounds", "dead"),
    [
        ({"max_value": "999999999999999.99"}, {"2"}),
        ({"max_value": "999999999999999.99", "strict_max": True}, {"1", "2"}),
        ({"min_value": "-0.01"}, {"4"}),
        ({"min_value": "-0.01", "strict_min": True}, {"3", "4"}),
    ],
)
def test_range_of_money_is_exact_to_the_cent(day: Day, bounds: dict[str, Any], dead: set[str]) -> None:
    kwargs = ", ".join(f'"{name}": {str(value).lower()}' for name, value in bounds.items())
    day.suite(text=f'{{"expectations": [{{"type": "{BETWEEN}", "kwargs": {{"column": "amount_usd", {kwargs}}},'
                   '"meta": {"level": "row"}}]}')  # fmt: skip
    texts = ["999999999999999.99", "1000000000000000.00", "-0.01", "-0.02"]
    _stage_and_validate(day, texts, "amount")
    assert set(day.read_rejected()) == dead


@pytest.mark.parametrize(
    ("expectation", "dead"),
    [
        (row("expect_column_values_to_be_in_set", column="ticker", value_set=["A", "B"]), {"3"}),
        (row("expect_column_values_to_not_be_in_set", column="ticker", value_set=["C"]), {"3"}),
        (row("expect_column_value_lengths_to_be_between", column="ticker", min_value=1, max_value=2), {"3"}),
        (row("expect_column_values_to_not_be_null", column="ticker"), {"4"}),
        (row("expect_column_values_to_be_unique", column="account_id"), {"1", "2"}),
        (row("expect_column_values_to_be_in_set", column="is_cash", value_set=[False]), {"2"}),
        (row("expect_column_values_to_match_regex", column="as_of_date", regex="^2026-11-20$"), {"3"}),
        (row("expect_column_values_to_not_be_null", column="quantity"), {"1", "2", "3", "4"}),
        (row(BETWEEN, column="account_id", min_value=6), {"1", "2"}),
    ],
)
def test_every_kind_of_column_can_be_checked(day: Day, expectation: dict[str, Any], dead: set[str]) -> None:
    day.suite(expectation)
    day.stage(
        ASSETS,
        [
            asset(1, ticker="A", accountId=5, isCash=False),
            asset(2, ticker="B", accountId=5, isCash=True),
            asset(3, ticker="CCC" if "length" in expectation["type"] else "C", accountId=6, asOf="2026-11-19"),
            asset(4, ticker=None, accountId=None),
        ],
    )
    day.validate()
    assert set(day.read_rejected()) == dead


def test_null_is_a_failure_of_nothing_but_not_null(day: Day) -> None:
    day.suite(
        row(BETWEEN, column="quantity", min_value=1),
        row(BETWEEN, column="amount_usd", min_value=1),
        row("expect_column_values_to_match_regex", column="ticker", regex="^x"),
        row("expect_column_values_to_be_in_set", column="is_cash", value_set=[True]),
    )
    day.stage(ASSETS, [asset(1, amount=None)])
    day.validate()
    assert day.read_rejected() == {}


def test_two_ranges_of_one_column_are_distinguished(day: Day) -> None:
    day.suite(row(BETWEEN, column="quantity", max_value=5), row(BETWEEN, column="quantity", min_value=1))
    day.stage(ASSETS, [asset(1, units=9), asset(2, units=0), asset(3, units=3)])
    outcome = day.validate()["assets"]
    assert set(day.read_rejected()) == {"1", "2"}
    assert [result["unexpected_count"] for result in outcome.results] == [1, 1]


@pytest.mark.parametrize(
    ("bounds", "dead"),
    [
        ({"min_value": "1970-01-01", "max_value": "business_date+31d"}, {"1", "6"}),
        ({"max_value": "business_date"}, {"5", "6"}),
        ({"max_value": "business_date-1d"}, {"4", "5", "6"}),
        ({"min_value": "2026-11-20", "max_value": "2026-12-21"}, {"1", "2", "3", "6"}),
    ],
)
@pytest.mark.parametrize("column", ["as_of_date", "edited_at"])
def test_range_of_a_date_may_move_with_the_business_date(
    day: Day, column: str, bounds: dict[str, str], dead: set[str]
) -> None:
    day.suite(row(BETWEEN, column=column, **bounds))
    texts = ["0202-11-20", "1970-01-01", "2026-11-19", "2026-11-20", "2026-12-21", "2062-11-20", None]
    days = [{"asOf": text, "edited": text and f"{text}T23:59:59.999999Z"} for text in texts]
    day.stage(ASSETS, [asset(n, **each) for n, each in enumerate(days, 1)])
    day.validate()
    assert set(day.read_rejected()) == dead


def test_bound_that_is_no_date_is_a_configuration_error(day: Day) -> None:
    day.suite(row(BETWEEN, column="as_of_date", max_value="tomorrow"))
    day.stage(ASSETS, [asset(1)])
    with pytest.raises(ConfigurationError, match=r"Invalid date bound.*bound=tomorrow"):
        day.validate()


def test_check_digit_is_a_check_of_a_column_and_its_failure_has_its_name(day: Day) -> None:
    day.suite(row("expect_column_values_to_be_in_set", column="ticker.has_check_digit", value_set=[True]))
    numbers = ["037833100", "37833100", "037833101", "CASH", None]
    day.stage(ASSETS, [asset(n, ticker=number) for n, number in enumerate(numbers, 1)])
    day.validate()
    reason = ["expect_column_values_to_be_in_set(ticker.has_check_digit)"]
    assert day.read_rejected() == {"2": reason, "3": reason}


def test_check_that_does_not_exist_is_a_configuration_error(day: Day) -> None:
    day.suite(row("expect_column_values_to_be_in_set", column="ticker.is_lucky", value_set=[True]))
    day.stage(ASSETS, [asset(1)])
    with pytest.raises(ConfigurationError, match=r"unknown check.*has_check_digit.*column=ticker\.is_lucky"):
        day.validate()


def test_suite_that_names_an_unknown_column_is_a_configuration_error(day: Day) -> None:
    day.suite(row(BETWEEN, column="no_such_column", min_value=0))
    day.stage(ASSETS, [asset(1)])
    with pytest.raises(ConfigurationError, match="vendor=testbank table=assets columns=no_such_column"):
        day.validate()


def test_suite_that_names_an_unknown_measure_is_a_configuration_error(day: Day) -> None:
    day.suite(batch("no_such_measure", max_value=0))
    day.stage(ASSETS, [asset(1)])
    with pytest.raises(ConfigurationError, match="table=assets measure=no_such_measure"):
        day.validate()


@pytest.mark.parametrize("text", ["{", '{"expectations": [{"type": "x"}]}', '{"expectations": [1]}', "[]"])
def test_suite_that_cannot_be_read_is_a_configuration_error(day: Day, text: str) -> None:
    day.suite(text=text)
    day.stage(ASSETS, [asset(1)])
    with pytest.raises(ConfigurationError, match=r"testbank__assets\.json"):
        day.validate()


def test_table_without_a_suite_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no suite.*expected=testbank__assets\.json"):
        read_suite("testbank", "assets", tmp_path)


def test_expectation_that_great_expectations_does_not_know_is_a_configuration_error(day: Day) -> None:
    day.suite(row("expect_column_values_to_be_lucky", column="ticker"))
    day.stage(ASSETS, [asset(1)])
    with pytest.raises(ConfigurationError, match="lucky"):
        day.validate()


def test_partition_that_was_staged_under_another_contract_is_a_configuration_error(day: Day) -> None:
    day.stage(ACCOUNTS, [{"id": 1, "value": 1}])
    day.stage(ASSETS, [asset(1)])
    changed = replace(ASSETS, columns=(*ASSETS.columns, column("name", "name", STRING)))
    day.vendor = replace(VENDOR, tables=(ACCOUNTS, changed))
    with pytest.raises(ConfigurationError, match=r"another contract: pull it again \[vendor=testbank table=assets"):
        day.validate()
    assert day.partitions is not None
    assert not any(each.folder.has("faults.parquet") for each in day.partitions.values())


def test_decimal_bounds_are_read_as_they_are_written(tmp_path: Path) -> None:
    text = '{"expectations": [{"type": "t", "kwargs": {"column": "c", "max_value": 0.1}, "meta": {"level": "row"}}]}'
    (tmp_path / "testbank__t.json").write_text(text)
    [expectation] = read_suite("testbank", "t", tmp_path)
    assert expectation.kwargs["max_value"] == Decimal("0.1")
