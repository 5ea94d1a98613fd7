"""Edits in the vendor's system, and that they persist."""

from decimal import Decimal

from sandbox.firm.households import LLC


def find(rows, **fields):
    return next(row for row in rows if all(row[key] == value for key, value in fields.items()))


def test_corrected_price_changes_that_day_alone(start_sandbox):
    sandbox = start_sandbox()
    day, next_day = "2026-11-10", "2026-11-11"
    row = next(r for r in sandbox.rows("Portfolio/Assets", asOfDate=day) if r["ticker"] and r["currentShares"])
    other = find(sandbox.rows("Portfolio/Assets", asOfDate=next_day), id=row["id"])
    sandbox.admin("orion/correct_price", product_id=row["productId"], date=day, price=123.4567)
    corrected = find(sandbox.rows("Portfolio/Assets", asOfDate=day), id=row["id"])
    assert corrected["currentPrice"] == Decimal("123.4567")
    assert corrected["currentValue"] == round(row["currentShares"] * Decimal("123.4567"), 2)
    assert corrected["editedDate"] == row["editedDate"]
    assert find(sandbox.rows("Portfolio/Assets", asOfDate=next_day), id=row["id"]) == other


def test_reversed_trade_takes_its_cash_leg_with_it_and_positions_follow(start_sandbox):
    sandbox = start_sandbox()
    buy = find(sandbox.rows("Portfolio/Transactions"), typeCode="BUY", status="Complete")
    before = find(sandbox.rows("Portfolio/Assets"), id=buy["assetId"])
    sandbox.admin("orion/reverse_transaction", transaction_id=buy["id"])
    edited = sandbox.rows("Portfolio/Transactions", editedStartDate="2026-11-20T16:59:00-06:00")
    legs = [row for row in edited if row["transactionLinkCode"] == buy["transactionLinkCode"]]
    assert {(row["typeCode"], row["status"]) for row in legs} == {("BUY", "Reversed"), ("CDB", "Reversed")}
    after = find(sandbox.rows("Portfolio/Assets"), id=buy["assetId"])
    assert after["currentShares"] == before["currentShares"] - buy["noUnits"]


def test_corrected_trade_keeps_its_id_and_its_cash_follows(start_sandbox):
    sandbox = start_sandbox()
    buy = find(sandbox.rows("Portfolio/Transactions"), typeCode="BUY", status="Complete")
    sandbox.admin("orion/correct_transaction", transaction_id=buy["id"], price=10, quantity=3)
    rows = sandbox.rows("Portfolio/Transactions")
    assert find(rows, id=buy["id"])["transAmount"] == 30
    leg = find(rows, transactionLinkCode=buy["transactionLinkCode"], typeCode="CDB", accountId=buy["accountId"])
    assert leg["transAmount"] == leg["noUnits"] == 30


def test_added_organization_has_its_own_title_and_tax_id_and_no_person(start_sandbox):
    sandbox = start_sandbox()
    client = sandbox.rows("Portfolio/Clients")[0]
    values = {"client_id": client["id"], "kind_id": LLC.id, "name": "Sample Holdings LLC", "employer_id": "98-7654321"}
    sandbox.admin("orion/add_registration", **values)
    [row] = [row for row in sandbox.rows("Portfolio/Registrations") if row["name"] == "Sample Holdings LLC"]
    assert (row["clientId"], row["ssN_TaxID"][-4:], row["accountType"]) == (client["id"], "4321", LLC.name)
    assert (row["firstName"], row["lastName"], row["dob"], row["gender"]) == (None,) * 4


def test_moved_account_has_another_household_everywhere(start_sandbox):
    sandbox = start_sandbox()
    account = find(sandbox.rows("Portfolio/Accounts"), sleeveType="None")
    target = next(r for r in sandbox.rows("Portfolio/Registrations") if r["clientId"] != account["clientId"])
    sandbox.admin("orion/move_account", account_id=account["id"], registration_id=target["id"])
    moved = sandbox.rows("Portfolio/Accounts", accountId=account["id"])[0]
    assert (moved["clientId"], moved["registrationId"]) == (target["clientId"], target["id"])
    assert moved["editedDate"] > account["editedDate"]
    trades = sandbox.rows("Portfolio/Transactions", accountId=account["id"])
    assert {row["clientId"] for row in trades} == {target["clientId"]}


def test_closed_account_is_empty_from_that_day(start_sandbox):
    sandbox = start_sandbox()
    account = next(r for r in sandbox.rows("Portfolio/Accounts") if r["isActive"] and r["sleeveType"] == "None")
    sandbox.admin("orion/close_account", account_id=account["id"], date="2026-11-18")
    closed = sandbox.rows("Portfolio/Accounts", accountId=account["id"])[0]
    assert (closed["isActive"], closed["cancelDate"][:10], closed["currentValue"]) == (False, "2026-11-18", 0)
    before = sandbox.rows("Portfolio/Assets", accountId=account["id"], asOfDate="2026-11-17")
    after = sandbox.rows("Portfolio/Assets", accountId=account["id"], asOfDate="2026-11-18")
    assert sum(row["currentValue"] for row in before) > 0
    assert {row["currentShares"] for row in after} == {0}


def test_edits_survive_a_restart_and_a_further_day(start_sandbox):
    first = start_sandbox()
    client = first.rows("Portfolio/Clients")[0]
    first.admin("orion/rename_household", client_id=client["id"], name="Renamed Sample")
    first.admin(
        "orion/set_fields", table="clients", id=client["id"], set={"email": "new@example.org", "riskScore": 7.250}
    )
    second = start_sandbox()
    second.admin("clock", now="2026-11-24T23:00:00Z")
    second.log_in()
    row = find(second.rows("Portfolio/Clients"), id=client["id"])
    assert (row["name"], row["email"], row["riskScore"]) == ("Renamed Sample", "new@example.org", Decimal("7.25"))
    assert row["editedDate"] > client["editedDate"]


def test_unknown_edit_or_id_is_refused_and_not_kept(start_sandbox, tmp_path):
    sandbox = start_sandbox()
    for path, body in (
        ("explode", {}),
        ("reverse_transaction", {"transaction_id": 1}),
        ("move_account", {"account_id": 1, "registration_id": 2}),
        ("set_fields", {"table": "clients"}),
    ):
        assert sandbox.http.post(f"/_sandbox/orion/{path}", json=body).status_code == 400
    assert not (tmp_path / "state" / "edits.jsonl").exists()


def test_closed_day_follows_the_clock(start_sandbox):
    sandbox = start_sandbox()
    assert sandbox.rows("Portfolio/Accounts", top=1)[0]["lastPositionDate"][:10] == "2026-11-20"
    sandbox.admin("clock", now="2026-11-23T15:00:00Z")
    sandbox.log_in()
    assert sandbox.rows("Portfolio/Accounts", top=1)[0]["lastPositionDate"][:10] == "2026-11-20"
    sandbox.admin("clock", now="2026-11-23T21:00:00Z")
    assert sandbox.rows("Portfolio/Accounts", top=1)[0]["lastPositionDate"][:10] == "2026-11-23"


def test_closed_day_can_be_held_back_and_released(start_sandbox):
    sandbox = start_sandbox()
    sandbox.admin("orion/closed_through", date="2026-11-18")
    account = sandbox.rows("Portfolio/Accounts", top=1)[0]
    assert account["lastReconciledEffectiveDate"][:10] == "2026-11-18"
    assert {r["asOfDate"][:10] for r in sandbox.rows("Portfolio/Assets", asOfDate="2026-11-20")} == {"2026-11-18"}
    assert max(row["createdDate"][:10] for row in sandbox.rows("Portfolio/Transactions")) == "2026-11-18"
    sandbox.admin("orion/closed_through", date=None)
    assert sandbox.rows("Portfolio/Accounts", top=1)[0]["lastPositionDate"][:10] == "2026-11-20"
