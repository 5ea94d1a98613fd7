"""The invented firm: its books add up."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import pytest

from sandbox.firm.book import Book
from sandbox.firm.households import Firm
from sandbox.firm.market import SECURITIES, Market, slice_sessions
from sandbox.orion.books import read_table

FIRM = Firm(seed=7, households=40, first=date(2026, 7, 30))
LAST = date(2026, 11, 20)
SIGNS = {"BUY": 1, "SEL": -1, "CON": 1, "DST": -1, "DIV": 1, "DRI": 1, "FEE": -1, "TIN": 1, "TOT": -1}
SIGNS |= {"SPL": 1, "CDB": -1, "CCR": 1, "INT": 1}


@pytest.fixture(scope="module")
def book() -> Book:
    return Book(FIRM, LAST, [])


def read(book: Book, table: str, day: date = LAST) -> list[dict]:
    return read_table(book, table, day).as_dicts()


def test_positions_roll_forward_on_twenty_consecutive_sessions(book):
    moved: dict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for row in read(book, "transactions"):
        if row["status"] == "Complete":
            moved[row["assetId"], row["transDate"][:10]] += SIGNS[row["typeCode"]] * row["noUnits"]
    sessions = slice_sessions(date(2026, 10, 20), LAST)[-21:]
    assert len(sessions) == 21
    for before, day in pairwise(sessions):
        shares_of = {row["id"]: row["currentShares"] for row in read(book, "assets", before)}
        after = {row["id"]: row["currentShares"] for row in read(book, "assets", day)}
        for asset, shares in after.items():
            assert shares == shares_of.get(asset, 0) + moved[asset, day.isoformat()], (asset, day)
        assert shares_of.keys() <= after.keys()


def test_position_is_the_sum_of_every_trade_up_to_its_day(book):
    day = date(2026, 10, 1)
    totals: dict[int, Decimal] = defaultdict(Decimal)
    for row in read(book, "transactions"):
        if row["status"] == "Complete" and row["transDate"][:10] <= day.isoformat():
            totals[row["assetId"]] += SIGNS[row["typeCode"]] * row["noUnits"]
    assert {row["id"]: row["currentShares"] for row in read(book, "assets", day)} == dict(totals)


def test_value_is_shares_times_price_in_whole_cents(book):
    for row in read(book, "assets"):
        exact = row["currentShares"] * row["currentPrice"]
        assert row["currentValue"] == exact.quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_no_position_is_ever_short(book):
    for day in slice_sessions(FIRM.first, LAST)[::7]:
        assert all(row["currentShares"] >= 0 for row in read(book, "assets", day))


def test_custodial_parent_holds_the_sum_of_its_sleeves(book):
    accounts = read(book, "accounts")
    parents = [row for row in accounts if row["sleeveType"] == "CustodialAccount"]
    assert parents
    for parent in parents:
        sleeves = [row for row in accounts if row["secondaryAccountNumber"] == parent["number"]]
        assert len(sleeves) == 3
        assert not parent["isSleeveAccount"]
        assert all(row["isSleeveAccount"] for row in sleeves)
        assert {row["registrationId"] for row in sleeves} == {parent["registrationId"]}
        for day in (date(2026, 9, 1), LAST):
            shares_of: dict[int, Decimal] = defaultdict(Decimal)
            for row in read(book, "assets", day):
                sign = {parent["id"]: -1} | {sleeve["id"]: 1 for sleeve in sleeves}
                shares_of[row["productId"]] += sign.get(row["accountId"], 0) * row["currentShares"]
            assert set(shares_of.values()) == {0}


def test_closed_accounts_hold_nothing_from_that_day_on(book):
    closed = {row["id"]: row["cancelDate"][:10] for row in read(book, "accounts") if not row["isActive"]}
    assert closed
    for day in (date.fromisoformat(text) for text in set(closed.values())):
        ids = {key for key, text in closed.items() if text == day.isoformat()}
        positions = [row for row in read(book, "assets", day) if row["accountId"] in ids]
        assert {row["currentShares"] for row in positions} == {0}
        eve = [row for row in read(book, "assets", day - timedelta(days=1)) if row["accountId"] in ids]
        assert sum(row["currentValue"] for row in eve) > 0


def test_purchase_and_its_cash_share_a_link_code_and_an_amount(book):
    legs: dict[str, list[dict]] = defaultdict(list)
    for row in read(book, "transactions"):
        if row["transactionLinkCode"] and row["typeCode"] in ("BUY", "CDB"):
            legs[row["transactionLinkCode"]].append(row)
    for rows in legs.values():
        assert len({row["transAmount"] for row in rows}) == 1
        assert {row["typeCode"] for row in rows} == {"BUY", "CDB"}


def test_history_has_back_dated_reversed_corrected_and_pending_trades(book):
    rows = read(book, "transactions")
    assert any(row["createdDate"][:10] > row["transDate"][:10] and row["notes"] == "Posted late" for row in rows)
    statuses = {row["status"] for row in rows}
    assert {"Complete", "Reversed", "Rejected", "Inactive"} <= statuses
    assert any(row["status"] == "Complete" and row["editedDate"] > row["createdDate"] for row in rows)
    pending = set()
    for day in slice_sessions(date(2026, 10, 26), date(2026, 11, 6)):
        pending |= {row["status"] for row in read(Book(FIRM, day, []), "transactions")}
    assert "Pending" in pending


def test_hierarchy_has_joint_owners_several_registrations_and_moved_accounts(book):
    registrations = read(book, "registrations")
    assert any(" & " in row["name"] for row in registrations)
    assert len(registrations) > 2 * len(book.households)
    first, last = Book(FIRM, date(2026, 8, 20), []), read(book, "accounts")
    then = {row["id"]: row["clientId"] for row in read(first, "accounts")}
    assert any(then.get(row["id"], row["clientId"]) != row["clientId"] for row in last)


def test_same_seed_gives_the_same_firm_and_another_seed_another(book):
    assert read(Book(FIRM, LAST, []), "transactions") == read(book, "transactions")
    other = Book(Firm(8, 40, FIRM.first), LAST, [])
    assert read(other, "assets") != read(book, "assets")


def test_further_day_keeps_every_trade_and_appends(book):
    earlier = {row["id"]: row for row in read(Book(FIRM, date(2026, 11, 19), []), "transactions")}
    later = {row["id"]: row for row in read(book, "transactions")}
    assert earlier.keys() < later.keys()
    assert min(later.keys() - earlier.keys()) > max(earlier)
    facts = ("assetId", "transDate", "typeCode", "createdDate")
    assert all(later[id_][name] == row[name] for id_, row in earlier.items() for name in facts)


def test_household_does_not_depend_on_the_size_of_the_firm(book):
    larger = Firm(7, 5000, FIRM.first).draw_household(3, Market(7, FIRM.first, LAST))
    same = book.households[3]
    assert [account.number for account in larger.accounts] == [account.number for account in same.accounts]


def test_cusips_are_of_the_private_range_and_all_different():
    cusips = [security.cusip for security in SECURITIES]
    assert len(set(cusips)) == len(cusips)
    assert all(len(cusip) == 9 and cusip.startswith("99") for cusip in cusips)
