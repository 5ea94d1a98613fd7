"""Edits of Tamarac's books change the lists and reports, and survive a restart."""

from decimal import Decimal

import pytest

from tests.sandbox.tamarac.caller import LAST, find, find_moves, find_units, number


def first_buy(tamarac):
    """Return the first purchase of November that reinvests no dividend."""
    rows = tamarac.transactions(first="2026-11-01")
    ids = {row["Transaction ID"] for row in rows}
    return find((row for row in rows if f"{row['Transaction ID']}D" not in ids), Type="Buy", Status="Posted")


def units_of(tamarac, account, cusip, day=LAST):
    return find_units(tamarac.holdings(day))[account, cusip]


def test_corrected_transaction_keeps_its_id_and_is_entered_today(start_tamarac):
    tamarac = start_tamarac()
    buy = first_buy(tamarac)
    account, more = buy["Account ID"], number(buy["Quantity"]) + 5
    before = units_of(tamarac, account, buy["CUSIP"])
    tamarac.edit("correct_transaction", transaction_id=buy["Transaction ID"], quantity=float(more), price=10)
    rows = tamarac.transactions("2026-11-21", "2026-11-21", by="Entry")
    assert [(row["Transaction ID"], number(row["Amount"])) for row in rows] == [
        (buy["Transaction ID"], -round(more * 10, 2))
    ]
    assert units_of(tamarac, account, buy["CUSIP"]) == before + 5


def test_reversed_transaction_counts_no_more(start_tamarac):
    tamarac = start_tamarac()
    buy = first_buy(tamarac)
    before = units_of(tamarac, buy["Account ID"], buy["CUSIP"])
    tamarac.edit("reverse_transaction", transaction_id=buy["Transaction ID"])
    assert find(tamarac.transactions(), **{"Transaction ID": buy["Transaction ID"]})["Status"] == "Reversed"
    assert units_of(tamarac, buy["Account ID"], buy["CUSIP"]) == before - number(buy["Quantity"])


def test_back_dated_trade_has_an_old_trade_date_and_changes_positions_since(start_tamarac):
    tamarac = start_tamarac()
    account = find(tamarac.rows("accounts"), status="Open")["accountId"]
    cusip = find(tamarac.holdings(), Symbol="KO")["CUSIP"]
    days = ("2026-10-14", "2026-10-15", LAST)
    before = [units_of(tamarac, account, cusip, day) for day in days]
    tamarac.edit("backdate_trade", account_id=account, symbol="KO", trade_date="2026-10-15", quantity=12.5)
    (row,) = tamarac.transactions("2026-11-21", "2026-11-21", by="Entry")
    assert [row[name] for name in ("Trade Date", "Entry Date", "Type", "Quantity")] == [
        "10/15/2026",
        "11/21/2026",
        "Buy",
        "12.5",
    ]
    after = [units_of(tamarac, account, cusip, day) for day in days]
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, Decimal("12.5"), Decimal("12.5")]
    assert find_moves(tamarac.transactions())[account, ""] == units_of(tamarac, account, "")


def test_moved_account_leaves_its_groups_and_belongs_to_another_household(start_tamarac):
    tamarac = start_tamarac()
    groups = tamarac.rows("groups")
    account = find(groups, groupType="Reporting")["members"][0]["id"]
    target = tamarac.rows("households")[-1]
    tamarac.edit("move_account", account_id=account, household_id=target["householdId"])
    assert account not in {member["id"] for row in tamarac.rows("groups") for member in row["members"]}
    holders = [r["householdId"] for r in tamarac.rows("households") if account in {m["id"] for m in r["members"]}]
    assert holders == [target["householdId"]]
    assert find(tamarac.rows("accounts"), accountId=account)["primaryClientId"] == target["primaryClientId"]


def test_closed_account_is_empty_from_that_day(start_tamarac):
    tamarac = start_tamarac()
    account = find(tamarac.rows("accounts"), status="Open")["accountId"]
    tamarac.edit("close_account", account_id=account, date="2026-09-15")
    row = find(tamarac.rows("accounts"), accountId=account)
    assert (row["status"], row["closedDate"], row["marketValue"]) == ("Closed", "2026-09-15", 0)
    assert account in {row["Account ID"] for row in tamarac.holdings("2026-09-14")}
    assert account not in {row["Account ID"] for row in tamarac.holdings("2026-09-15")}
    rows = [row for row in tamarac.transactions() if row["Account ID"] == account]
    assert set(find_moves(rows).values()) == {0}
    assert max(row["Trade Date"] for row in rows) == "09/15/2026"


def test_edits_survive_a_restart_and_leave_orion_alone(start_tamarac):
    first = start_tamarac()
    house, client = first.rows("households")[0], first.rows("clients")[0]
    first.edit("rename_household", household_id=house["householdId"], name="Renamed Sample")
    first.edit("set_fields", table="clients", id=client["clientId"], set={"email": "new@example.org", "zip": None})
    second = start_tamarac()
    assert second.rows("households")[0]["name"] == "Renamed Sample"
    row = second.rows("clients")[0]
    assert (row["email"], "zip" in row) == ("new@example.org", False)
    second.sandbox.log_in()
    assert second.sandbox.rows("Portfolio/Clients")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("explode", {}),
        ("correct_transaction", {"transaction_id": "T10300001-99999", "price": 1}),
        ("correct_transaction", {"transaction_id": "5000001"}),
        ("backdate_trade", {"account_id": "A1", "symbol": "KO", "trade_date": LAST, "quantity": 1}),
        ("backdate_trade", {"account_id": "A10300001", "symbol": "NONE", "trade_date": LAST, "quantity": 1}),
        ("move_account", {"account_id": "A10300001", "household_id": "H1"}),
        ("close_account", {"account_id": "A10300001"}),
        ("rename_household", {"household_id": "H501001"}),
        ("set_fields", {"table": "advisors", "id": "1", "set": {}}),
        ("closed_through", {"date": "2001-01-01"}),
    ],
)
def test_impossible_edit_is_refused_and_not_kept(start_tamarac, tmp_path, kind, values):
    tamarac = start_tamarac()
    assert tamarac.http.post(f"/_sandbox/tamarac/{kind}", json=values).status_code == 400
    assert not (tmp_path / "state" / "edits.jsonl").exists()
    assert tamarac.rows("households")
