"""Suites over a vendor-day: bad rows become dead letters with reasons, an unfit day stops, money is compared exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Basic,
    Budget,
    Table,
    Vendor,
    column,
)
from include.errors import ConfigurationError, DataQualityError
from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.pipeline import vendor_day
from include.sensitive import Redactor
from include.staging import files as staging_module
from include.staging.partitions import Partition, Staging
from include.validation import suite as suites_of_tables
from include.validation.check import Outcome, stop_if_unfit, validate_day
from include.validation.suite import read_suite
from tests.conftest import Firm
from tests.firm_keys import KEYRING

ACCOUNTS = Table(
    "accounts", "Accounts", ("account_id",), (column("account_id", "id", INTEGER, required=True),
    column("value_usd", "value", MONEY)), money="value_usd",
)  # fmt: skip
ASSETS = Table(
    name="assets",
    path="Assets",
    key=("asset_id",),
    money="amount_usd",
    references={"account_id": "accounts"},
    agrees=("account_id", "accounts", "value_usd"),
    as_of="as_of_date",
    columns=(
        column("asset_id", "id", INTEGER, required=True),
        column("account_id", "accountId", INTEGER),
        column("quantity", "units", QUANTITY),
        column("amount_usd", "amount", MONEY),
        column("ticker", "ticker", STRING),
        column("is_cash", "isCash", BOOLEAN),
        column("as_of_date", "asOf", DATE),
        column("edited_at", "edited", TIMESTAMP),
    ),
)
VENDOR = Vendor("somebody", "Somebody", "", Basic(), (ACCOUNTS, ASSETS), (), "0 6 * * *", Budget(60))
DAY = date(2026, 11, 20)
BETWEEN = "expect_column_values_to_be_between"


def row(type_: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": type_, "kwargs": kwargs, "meta": {"level": "row", "notes": "why"}}


def batch(column: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": BETWEEN, "kwargs": {"column": column, **kwargs}, "meta": {"level": "batch"}}


@dataclass
class Day:
    """A vendor-day of two tables, staged as by a pull, with the test's own suites."""

    staging: Staging
    suites: Path
    recent: Sequence[int] = ()
    partitions: dict[str, Partition] | None = None
    vendor: Vendor = VENDOR

    def suite(self, *expectations: dict[str, Any], table: str = "assets", text: str | None = None) -> None:
        written = text or json.dumps({"name": table, "expectations": expectations})
        (self.suites / f"somebody__{table}.json").write_text(written)

    def stage(self, table: Table, rows: str | Sequence[dict[str, Any]]) -> None:
        reader = PageReader(table, Redactor(b"only for tests"))
        whole = [{c.source: None for c in table.columns} | each for each in rows if isinstance(each, dict)]
        body = rows if isinstance(rows, str) else json.dumps(whole)
        page = reader.read(body.encode())
        windows = iter([Window(page, page.rows.num_rows + len(page.dead), 0)])
        partition = stage(VENDOR, table, Span(DAY), windows, reader, self.staging, datetime.now(UTC))
        self.partitions = (self.partitions or {}) | {table.name: partition}

    def validate(self, **options: Any) -> dict[str, Outcome]:
        assert self.partitions is not None
        for table in self.partitions:
            if not (self.suites / f"somebody__{table}.json").exists():
                self.suite(table=table)
        return validate_day(self.vendor, self.partitions, {"assets": self.recent}, **options)

    def read_rejected(self) -> dict[str, list[str]]:
        """Map the key of each rejected asset to the expectations that it failed."""
        assert self.partitions is not None
        faults = self.partitions["assets"].faults.to_pylist()
        return {fault["row_key"]: fault["expectations"] for fault in faults}


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    suites = tmp_path / "suites"
    suites.mkdir()
    monkeypatch.setattr(suites_of_tables, "read_suite", partial(read_suite, folder=suites))
    return Day(Staging(str(tmp_path / "staging"), KEYRING.staging), suites)


def asset(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "accountId": 1, "amount": 1, "asOf": str(DAY)} | fields


# --- rows ---


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
    rows = ",".join(
        f'{{"id":{n},"accountId":1,"units":{text},"amount":1,"ticker":null,"isCash":null,"asOf":null,"edited":null}}'
        for n, text in enumerate(texts, 1)
    )
    day.stage(ASSETS, f"[{rows}]")
    day.validate()
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
    rows = ",".join(
        f'{{"id":{n},"accountId":1,"units":null,"amount":{text},"ticker":null,"isCash":null,"asOf":null,"edited":null}}'
        for n, text in enumerate(texts, 1)
    )
    day.stage(ASSETS, f"[{rows}]")
    day.validate()
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
    with pytest.raises(ConfigurationError, match="vendor=somebody table=assets columns=no_such_column"):
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
    with pytest.raises(ConfigurationError, match=r"somebody__assets\.json"):
        day.validate()


def test_table_without_a_suite_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no suite.*expected=somebody__assets\.json"):
        read_suite("somebody", "assets", tmp_path)


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
    with pytest.raises(ConfigurationError, match=r"another contract: pull it again \[vendor=somebody table=assets"):
        day.validate()
    assert day.partitions is not None
    assert not any(each.folder.has("faults.parquet") for each in day.partitions.values())


# --- the day as a whole ---


def test_orphans_are_rows_whose_parent_was_not_pulled_with_them(day: Day) -> None:
    day.suite(batch("account_id_without_accounts", max_value=0))
    day.stage(ACCOUNTS, [{"id": 1, "value": 1}])
    day.stage(ASSETS, [asset(1), asset(2, accountId=2), asset(3, accountId=None, amount=0)])
    outcome = day.validate()["assets"]
    assert outcome.measures["account_id_without_accounts"] == 1
    assert "account_id_without_accounts) is 1, expected at most 0 (account_id 2)" in outcome.failed[0]


def test_child_of_a_parent_that_is_a_dead_letter_is_no_orphan(day: Day) -> None:
    day.suite(row(BETWEEN, column="value_usd", min_value=0), table="accounts")
    day.stage(ACCOUNTS, [{"id": 1, "value": -1}])
    day.stage(ASSETS, [asset(1)])
    outcomes = day.validate()
    assert outcomes["accounts"].refused == 1
    assert outcomes["assets"].measures["account_id_without_accounts"] == 0


def test_measures_of_a_table_that_was_not_pulled_are_null_and_fail_nothing(day: Day) -> None:
    day.suite(batch("account_id_without_accounts", max_value=0), batch("accounts_off", max_value=0))
    day.stage(ASSETS, [asset(1)])
    outcome = day.validate()["assets"]
    assert (outcome.measures["account_id_without_accounts"], outcome.measures["accounts_off"]) == (None, None)
    assert outcome.failed == []


def test_accounts_whose_positions_do_not_add_up_are_counted(day: Day) -> None:
    day.suite(batch("accounts_off", max_value=0))
    day.stage(
        ACCOUNTS, [{"id": 1, "value": 10.03}, {"id": 2, "value": 5}, {"id": 3, "value": 0}, {"id": 4, "value": 7}]
    )
    day.stage(ASSETS, [asset(1, amount=4.01), asset(2, amount=6), asset(3, accountId=2, amount=5.01)])
    outcome = day.validate()["assets"]
    # Account 1 is off by two cents and 4 has no positions; one cent (2) is the tolerance.
    assert outcome.measures["accounts_off"] == 2
    [failure] = outcome.failed
    assert failure.endswith("is 2, expected at most 0 (account_id 4 by -7.00, 1 by -0.02)")


def test_account_that_is_never_delivered_is_left_out_while_it_has_no_positions(day: Day) -> None:
    day.suite(batch("accounts_off", max_value=0))
    day.stage(ACCOUNTS, [{"id": 1, "value": 5}, {"id": 2, "value": 7}, {"id": 3, "value": 7}])
    day.stage(ASSETS, [asset(1, amount=4)])
    outcome = day.validate(undelivered=["1", "2"])["assets"]
    assert outcome.details["accounts_off"] == "account_id 3 by -7.00, 1 by -1.00"


def test_of_many_keys_that_fail_the_first_twenty_are_named_and_the_rest_counted(day: Day) -> None:
    day.suite(batch("accounts_off", max_value=0), batch("account_id_without_accounts", max_value=0))
    day.stage(ACCOUNTS, [{"id": n, "value": n} for n in range(100, 130)])
    day.stage(ASSETS, [asset(n, accountId=n) for n in range(30)])
    off, without = day.validate()["assets"].failed
    assert "(account_id 129 by -129.00, 128 by -128.00, " in off
    assert "110 by -110.00 and 10 more)" in off
    assert "18, 19 and 10 more)" in without


def test_what_is_behind_a_failed_check_is_written_beside_the_partition(day: Day) -> None:
    day.suite(batch("account_id_without_accounts", max_value=0))
    day.stage(ACCOUNTS, [{"id": 1, "value": 1}])
    day.stage(ASSETS, [asset(1), asset(2, accountId=77)])
    day.validate()
    assert day.partitions is not None
    written = json.loads(day.partitions["assets"].folder.read("validation.json"))
    assert written["details"]["account_id_without_accounts"] == "account_id 77"


def test_empty_table_that_another_adds_up_to_is_rejected_by_its_suite(day: Day) -> None:
    day.suite(batch("rows", min_value=1), table="accounts")
    day.suite(batch("accounts_off", max_value=0), batch("account_id_without_accounts", max_value=0))
    day.stage(ACCOUNTS, [])
    day.stage(ASSETS, [asset(1)])
    outcomes = day.validate()
    with pytest.raises(DataQualityError, match=r"accounts: .*\(rows\) is 0, expected at least 1.*account_id 1"):
        stop_if_unfit(day.vendor, outcomes)


NO_TICKER = row("expect_column_values_to_not_be_null", column="ticker")


@pytest.mark.parametrize(
    ("spoilt", "off"),
    [
        ({"accountId": 1}, 1),  # its own row was rejected
        ({"accountId": 1, "units": "N/A"}, 1),  # its own row was unreadable
        ({"accountId": 3}, 2),  # a row of another account
        ({"accountId": 3, "units": "N/A"}, 2),
        ({"accountId": None}, 1),  # its account is unknown
        ({"accountId": "N/A"}, 1),
        ({"accountId": True}, 1),
        ({"accountId": 10**30}, 1),
    ],
)
def test_account_difference_is_explained_by_its_own_dead_letter(day: Day, spoilt: dict[str, Any], off: int) -> None:
    day.suite(NO_TICKER, batch("accounts_off", max_value=0))
    day.stage(ACCOUNTS, [{"id": 1, "value": 10}, {"id": 2, "value": 5}, {"id": 3, "value": 0}])
    day.stage(ASSETS, [asset(1, amount=4, ticker="A"), asset(2, amount=6, **spoilt)])
    # Account 2 is also off: it has no positions at all.
    assert day.validate()["assets"].measures["accounts_off"] == off


def test_many_dead_letters_of_one_account_explain_no_other(day: Day) -> None:
    day.suite(NO_TICKER, batch("accounts_off", max_value=0))
    day.stage(ACCOUNTS, [{"id": n, "value": 10} for n in (1, 2, 3)])
    day.stage(ASSETS, [asset(n) for n in range(20)] + [asset(21, amount="N/A"), asset(22, amount="N/A")])
    outcome = day.validate()["assets"]
    assert (outcome.refused, outcome.measures["accounts_off"]) == (20, 2)


def test_account_that_is_a_dead_letter_has_no_difference(day: Day) -> None:
    day.suite(row(BETWEEN, column="value_usd", min_value=0), table="accounts")
    day.suite(batch("accounts_off", max_value=0))
    day.stage(ACCOUNTS, [{"id": 1, "value": -10}, {"id": 2, "value": "N/A"}])
    day.stage(ASSETS, [asset(1, amount=4), asset(2, accountId=2, amount=6)])
    assert day.validate()["assets"].measures["accounts_off"] == 0


def test_tolerance_of_the_total_is_the_vendors(day: Day) -> None:
    day.suite(batch("accounts_off", max_value=0))
    day.stage(ACCOUNTS, [{"id": 1, "value": 10}, {"id": 2, "value": 10}])
    day.stage(ASSETS, [asset(1, amount=8.5), asset(2, accountId=2, amount=8.49)])
    day.vendor = replace(VENDOR, total_tolerance_usd="1.50")
    assert day.validate()["assets"].measures["accounts_off"] == 1


@pytest.mark.parametrize(
    ("recent", "ratio"),
    [((), None), ((10, 10), None), ((64, 40, 90), 0.25), ((4, 4, 4, 4, 400), 1.0), ((0, 0, 0), None), ((6, 6, 6), 1.0)],
)
def test_rows_ratio_is_over_the_median_of_three_days_or_more(
    day: Day, recent: Sequence[int], ratio: float | None
) -> None:
    day.suite(batch("rows_ratio", min_value=0.8, max_value=1.25))
    day.recent = recent
    day.stage(ASSETS, [asset(n) for n in range(4)])
    outcome = day.validate()["assets"]
    assert outcome.measures["rows_ratio"] == ratio
    assert bool(outcome.failed) == (ratio == 0.25)


@pytest.mark.parametrize(("usual", "rows", "is_fit"), [(5, 7, True), (5, 10, False), (5, 0, False), (100, 50, False), (100, 110, True)])  # fmt: skip
def test_rows_of_a_small_firm_may_differ_by_a_few_and_are_named_where_they_differ_by_more(
    day: Day, usual: int, rows: int, is_fit: bool
) -> None:
    day.suite(batch("rows_ratio", min_value=0.8, max_value=1.25))
    day.recent = [usual] * 5
    day.stage(ASSETS, [asset(n) for n in range(rows)])
    failed = day.validate()["assets"].failed
    assert failed == [] if is_fit else f"({rows} rows, median of 5 recent days {usual})" in failed[0]


def test_rows_of_another_day_are_counted(day: Day) -> None:
    day.suite(batch("off_date_rows", max_value=0))
    day.stage(ASSETS, [asset(1), asset(2, asOf="2026-11-19"), asset(3, asOf=None)])
    outcome = day.validate()["assets"]
    assert outcome.measures["off_date_rows"] == 1
    assert outcome.failed == [f"{BETWEEN}(off_date_rows) is 1, expected at most 0 (rows not dated 2026-11-20: 2)"]


def test_dead_ratio_counts_the_unreadable_and_the_refused(day: Day) -> None:
    day.suite(row("expect_column_values_to_not_be_null", column="ticker"), batch("dead_ratio", max_value=0.4))
    day.stage(ASSETS, [asset(1, ticker="A"), asset(2, amount="N/A"), asset(3), asset(4, ticker="B")])
    outcome = day.validate()["assets"]
    assert outcome.measures["dead_ratio"] == 0.5
    assert outcome.failed == [
        "expect_column_values_to_be_between(dead_ratio) is 0.5, expected at most 0.4"
        " (2 of 4 rows: amount: not decimal(20,2): A/A (1); expect_column_values_to_not_be_null(ticker) (1))",
        "suite somebody__assets: expect_column_values_to_not_be_null(ticker) refuses 1 of 3 rows",
    ]


def test_dead_ratio_names_the_commonest_reasons(day: Day) -> None:
    day.suite(row(BETWEEN, column="quantity", max_value=5), batch("dead_ratio", max_value=0.1))
    texts = ["N/A", "N/A", "N/A", "none", "none", "?", "-", "n"]
    dead = [*(asset(n, units=9) for n in range(4)), *(asset(n + 4, amount=text) for n, text in enumerate(texts))]
    day.stage(ASSETS, [*dead, *map(asset, range(12, 24))])
    [failed, _] = day.validate()["assets"].failed
    reasons = re.search(r"\(12 of 24 rows: (.*)\)$", failed)
    assert reasons
    assert reasons[1].split("; ") == [
        f"{BETWEEN}(quantity): at most 5 (4)",
        "amount: not decimal(20,2): A/A (3)",
        "amount: not decimal(20,2): aaaa (2)",
        "amount: not decimal(20,2): - (1)",
        "amount: not decimal(20,2): ? (1)",
        "and 1 more",
    ]


def test_most_rows_that_can_not_be_read_are_named_with_another_failure(day: Day) -> None:
    day.suite(batch("rows", min_value=9), batch("dead_ratio", max_value=0.5))
    day.stage(ASSETS, [asset(1), asset(2), asset(3, amount="N/A")])
    assert day.validate()["assets"].failed[1:] == [
        "most common reason of unreadable rows: amount: not decimal(20,2): A/A"
    ]


def test_few_dead_rows_may_hold_much_of_the_money(day: Day) -> None:
    day.suite(row("expect_column_values_to_not_be_null", column="ticker"), batch("dead_money_ratio", max_value=0.05))
    good = [asset(n, ticker="A", amount=100 * (-1) ** n) for n in range(8)]
    day.stage(ASSETS, [*good, asset(8, amount=-150), asset(9, ticker="A", amount="N/A")])
    outcome = day.validate()["assets"]
    # 8 x 100 are good; 150 are dead, plus an average row of 105.56 whose money is unreadable.
    assert outcome.measures["dead_money_ratio"] == pytest.approx((150 + 950 / 9) / (950 + 950 / 9))
    assert outcome.failed[0].endswith("expected at most 0.05 ($150.00 in 2 dead letters, 1 of them unreadable)")
    assert not day.validate(accept_unusual=True)["assets"].failed


def test_keys_given_twice_are_counted(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    day.suite(batch("duplicate_keys", max_value=0))
    day.stage(ASSETS, [asset(1), asset(1), asset(2)])
    outcome = day.validate()["assets"]
    assert outcome.measures["duplicate_keys"] == 1
    assert outcome.failed == [f"{BETWEEN}(duplicate_keys) is 1, expected at most 0 (asset_id 1)"]


def test_of_many_keys_given_twice_the_first_twenty_are_named(day: Day) -> None:
    day.suite(batch("duplicate_keys", max_value=0))
    day.stage(ASSETS, [asset(n) for n in (99, *range(25), *range(25), 0)])
    names = ", ".join(map(str, range(20)))
    assert day.validate()["assets"].failed == [
        f"{BETWEEN}(duplicate_keys) is 26, expected at most 0 (asset_id {names} and 5 more)"
    ]


def test_empty_table_is_measured(day: Day) -> None:
    day.suite(batch("rows", min_value=1), batch("dead_ratio", max_value=0.02), row(BETWEEN, column="quantity"))
    day.stage(ACCOUNTS, [{"id": 1, "value": 0}])
    day.stage(ASSETS, [])
    outcome = day.validate()["assets"]
    assert (outcome.measures["rows"], outcome.measures["dead_ratio"], len(outcome.failed)) == (0, 0.0, 1)


def test_rows_only_leaves_the_day_alone(day: Day) -> None:
    day.suite(batch("rows", min_value=10))
    day.stage(ASSETS, [asset(1)])
    assert day.validate(rows_only=True)["assets"].failed == []


def test_unfit_day_reports_every_failure(day: Day) -> None:
    day.suite(batch("rows", min_value=10), batch("dead_ratio", min_value=0.5))
    day.stage(ASSETS, [asset(1)])
    outcomes = day.validate()
    with pytest.raises(DataQualityError, match=r"assets: .*\(rows\) is 1.*; assets: .*\(dead_ratio\) is 0.0.*somebody"):
        stop_if_unfit(VENDOR, outcomes)


# --- a whole vendor-day ---


@pytest.mark.others_long
def test_unfit_day_loads_nothing(firm: Firm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    strict: Callable[..., Any] = read_suite
    money = next((table for table in firm.vendor.tables if table.agrees), firm.vendor.tables[0])

    def read(vendor: str, table: str) -> Any:
        suite = strict(vendor, table)
        if table != money.name:
            return suite
        (tmp_path / f"{vendor}__{table}.json").write_text(json.dumps({"expectations": [batch("rows", max_value=1)]}))
        return (*suite, *strict(vendor, table, tmp_path))

    monkeypatch.setattr(suites_of_tables, "read_suite", read)
    with pytest.raises(DataQualityError, match=rf"{money.name}: .*\(rows\).*vendor={firm.vendor.name}"):
        firm.day()
    assert firm.database.value("select count(*) from control.ledger where stage in ('transform', 'load')") == 0
    assert firm.database.value("select count(*) from warehouse.source_key") == 0
    steps = firm.database.rows("select table_name, notes from control.ledger where stage = 'validate'")
    assert [s["table_name"] for s in steps if s["notes"]["failed"]] == [money.name]


def test_suite_that_rejects_every_row_is_named_and_limits_dead_letters(
    start_firm: Callable[..., Firm], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    firm, read = start_firm(), read_suite
    narrow = {"expectations": [row(BETWEEN, column="market_value_usd", max_value=-(10**6))]}
    (tmp_path / "orion__assets.json").write_text(json.dumps(narrow))
    monkeypatch.setattr(
        suites_of_tables, "read_suite", lambda v, t: (*read(v, t), *(read(v, t, tmp_path) if t == "assets" else ()))
    )
    run = firm.new_run()
    partitions = firm.stage(run)
    with pytest.raises(
        DataQualityError,
        match=r"suite orion__assets: .*between\(market_value_usd\): at most -1000000 refuses ([\d,]+) of \1 rows",
    ):
        vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    [step] = firm.database.rows(
        "select * from control.ledger where stage = 'validate' and table_name = 'assets' and staged > 100"
    )
    assert (step["dead"], step["produced"], step["notes"]["dead_letters"]) == (step["staged"], 0, 100)
    assert partitions["assets"].faults.num_rows == step["dead"]
    dead_letters = firm.database.rows("select row_number, reasons from control.dead_letter order by dead_letter_id")
    assert [each["row_number"] for each in dead_letters] == list(range(100))
    assert {reason for each in dead_letters for reason in each["reasons"]} == {
        f"{BETWEEN}(market_value_usd): at most -1000000"
    }


def test_decimal_bounds_are_read_as_they_are_written(tmp_path: Path) -> None:
    text = '{"expectations": [{"type": "t", "kwargs": {"column": "c", "max_value": 0.1}, "meta": {"level": "row"}}]}'
    (tmp_path / "somebody__t.json").write_text(text)
    [expectation] = read_suite("somebody", "t", tmp_path)
    assert expectation.kwargs["max_value"] == Decimal("0.1")


def test_dead_ratio_counts_a_row_that_two_pages_hold_once(day: Day) -> None:
    reader = PageReader(ASSETS, Redactor(b"only for tests"))
    rows = [{c.source: None for c in ASSETS.columns} | asset(n, amount="N/A" if n == 4 else 1) for n in (1, 2, 3, 4)]
    page = reader.read(json.dumps(rows).encode())
    windows = iter([Window(page, 6, 2)])
    day.partitions = {"assets": stage(VENDOR, ASSETS, Span(DAY), windows, reader, day.staging, datetime.now(UTC))}
    assert day.validate()["assets"].measures["dead_ratio"] == 0.25
