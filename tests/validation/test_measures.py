"""Measures of a day as a whole: orphans, sums, differences from other days, dead rows and repeated keys."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import DataQualityError
from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.sensitive import Redactor
from include.validation.check import stop_if_unfit
from tests.validation.vendor_day import ACCOUNTS, ASSETS, BETWEEN, DAY, VENDOR, Day, asset, batch, row


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
        "suite testbank__assets: expect_column_values_to_not_be_null(ticker) refuses 1 of 3 rows",
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
    with pytest.raises(DataQualityError, match=r"assets: .*\(rows\) is 1.*; assets: .*\(dead_ratio\) is 0.0.*testbank"):
        stop_if_unfit(VENDOR, outcomes)


def test_dead_ratio_counts_a_row_that_two_pages_hold_once(day: Day) -> None:
    reader = PageReader(ASSETS, Redactor(b"only for tests"))
    rows = [{c.source: None for c in ASSETS.columns} | asset(n, amount="N/A" if n == 4 else 1) for n in (1, 2, 3, 4)]
    page = reader.read(json.dumps(rows).encode())
    windows = iter([Window(page, 6, 2)])
    day.partitions = {"assets": stage(VENDOR, ASSETS, Span(DAY), windows, reader, day.staging, datetime.now(UTC))}
    assert day.validate()["assets"].measures["dead_ratio"] == 0.25
