"""Tamarac's reports: their jobs and files, and the positions and transactions in them."""

import csv
import io
from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal

import pytest

from sandbox.firm.market import slice_sessions
from sandbox.tamarac.positions import HOLDINGS
from sandbox.tamarac.trades import TRANSACTIONS
from tests.sandbox.tamarac.caller import FIRST, LAST, find_moves, find_units, number, read_text


def test_job_is_queued_then_running_then_complete(tamarac):
    response = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST)
    assert response.status_code == 202
    job = response.json()["jobId"]
    assert tamarac.get(f"reports/{job}/file").status_code == 409
    assert tamarac.wait(job)[1] == ["Queued", "Running", "Complete"]


def test_files_have_the_agreed_columns_and_every_third_is_zipped_and_some_are_marked(tamarac):
    kinds, marks = Counter(), 0
    for _ in range(12):
        job = tamarac.submit(report="AccountTransactions", dateType="Entry", startDate=LAST, endDate=LAST).json()
        response, _ = tamarac.wait(job["jobId"])
        kinds[response.headers["Content-Type"]] += 1
        marks += response.content.startswith(b"\xef\xbb\xbf")
        assert tuple(next(csv.reader(io.StringIO(read_text(response))))) == TRANSACTIONS
    assert kinds == {"text/csv; charset=utf-8": 8, "application/zip": 4}
    assert marks == 2
    assert tuple(tamarac.holdings()[0]) == HOLDINGS


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"report": "Everything"},
        {"report": "AccountHoldingsAV"},
        {"report": "AccountHoldingsAV", "asOfDate": "11/20/2026"},
        {"report": "AccountHoldingsAV", "asOfDate": LAST, "format": "xlsx"},
        {"report": "AccountTransactions", "dateType": "Settle", "startDate": LAST, "endDate": LAST},
        {"report": "AccountTransactions", "dateType": "Entry", "startDate": LAST, "endDate": FIRST},
    ],
)
def test_report_that_is_not_documented_is_refused(tamarac, params):
    response = tamarac.submit(**params)
    assert response.status_code == 400
    assert response.json()["message"]


def test_unknown_job_is_404(tamarac):
    assert tamarac.get("reports/999999").status_code == 404
    assert tamarac.get("reports/999999/file").status_code == 404


def test_positions_of_consecutive_days_follow_from_transactions(tamarac):
    days = [day.isoformat() for day in slice_sessions(date(2026, 10, 26), date(2026, 11, 20))]
    before = find_units(tamarac.holdings(days[0]))
    for day in days[1:]:
        moved, after = find_moves(tamarac.transactions(day, day)), find_units(tamarac.holdings(day))
        for key in before.keys() | after.keys() | moved.keys():
            assert after.get(key, 0) == before.get(key, 0) + moved.get(key, 0), (day, key)
        before = after


def test_positions_are_the_sum_of_all_transactions(tamarac):
    moved = find_moves(tamarac.transactions())
    assert {key: units for key, units in moved.items() if units} == dict(find_units(tamarac.holdings()))


def test_amount_of_a_trade_is_the_cash_that_it_moves(tamarac):
    rows = tamarac.transactions()
    signs = {kind: {number(r["Amount"]) > 0 for r in rows if r["Type"] == kind} for kind in ("Buy", "Sell", "Fee")}
    assert signs == {"Buy": {False}, "Sell": {True}, "Fee": {False}}
    kinds = {"Buy", "Sell", "Dividend", "Interest", "Deposit", "Withdrawal", "Fee", "Transfer In", "Transfer Out"}
    assert {row["Type"] for row in rows} == kinds
    assert len({row["Transaction ID"] for row in rows}) == len(rows)


def test_values_of_holdings_are_those_of_the_accounts_list(tamarac):
    totals = defaultdict(Decimal)
    for row in tamarac.holdings():
        totals[row["Account ID"]] += number(row["Market Value"])
    values = {row["accountId"]: row["marketValue"] for row in tamarac.rows("accounts")}
    assert {key: value for key, value in values.items() if value} == totals
    assert any(key.startswith("G") for key in totals)


def test_some_positions_have_two_rows_and_large_numbers_have_commas(tamarac):
    rows = tamarac.holdings()
    counts = Counter((row["Account ID"], row["CUSIP"]) for row in rows)
    assert set(counts.values()) == {1, 2}
    assert all(("," in row["Market Value"]) == (number(row["Market Value"]) >= 1000) for row in rows)


def test_days_of_entry_and_of_trade_differ_for_late_entries(tamarac):
    rows = tamarac.transactions(by="Entry")
    late = [row for row in rows if row["Description"] == "Posted late"]
    assert late
    assert all(row["Trade Date"] < row["Entry Date"] for row in late)
    day = datetime.strptime(late[0]["Entry Date"], "%m/%d/%Y").date().isoformat()  # noqa: DTZ007
    assert late[0] in tamarac.transactions(day, day, by="Entry")
    assert late[0] not in tamarac.transactions(day, day, by="Trade")


def test_further_day_keeps_every_transaction(start_tamarac):
    tamarac = start_tamarac()
    facts = ("Account ID", "Trade Date", "Type", "CUSIP", "Quantity")
    earlier = {row["Transaction ID"]: [row[name] for name in facts] for row in tamarac.transactions()}
    tamarac.sandbox.admin("clock", now="2026-11-25T12:00:00Z")
    later = {r["Transaction ID"]: [r[name] for name in facts] for r in tamarac.transactions(last="2026-11-24")}
    assert earlier.items() < later.items()
