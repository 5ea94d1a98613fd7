"""Tamarac's own code: groups and parts become shares, lots are summed, trades move cash, late entries arrive."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from include.contract import Vendor
from include.extract.pull import Span, request
from include.validation.suite import read_suite
from include.vendors.tamarac import TAMARAC
from include.vendors.tamarac.positions import CASH, FLOWS, STATUSES, TRANSACTIONS
from sandbox.firm.market import SECURITIES
from tests.conftest import Firm
from tests.vendors.conftest import Run
from tests.vendors.golden_day import DAY, Day, Row, change_response, goldens, run_day, zip_report

GOLDEN = goldens(TAMARAC)
READABLE = change_response(GOLDEN, "groups", lambda body: body["items"].pop())
"""The goldens without the dead group, because it might own any account that is not owned completely."""
OFFICE = ("clients", "households", "groups", "accounts")
GROUPS = {"G10011", "G10012"}
HEADER = dict.fromkeys(GOLDEN["holdings"].decode().splitlines()[0].split(","), "")
SAMPLE = {
    "Account ID": "TA100", "Account Type": "Individual", "Description": "Sample", "Quantity": "1", "Market Value": "1",
    "As Of Date": "11/20/2026",
}  # fmt: skip
TRADE = {
    "Transaction ID": "T1", "Account ID": "TA100", "Trade Date": "11/20/2026", "Entry Date": "11/20/2026", "Settle Date": "",
    "Type": "Buy", "Symbol": "SMPL", "CUSIP": "", "Description": "", "Quantity": "2", "Price": "", "Amount": "-10.50",
    "Status": "Posted",
}  # fmt: skip


def csv(*rows: dict[str, str]) -> bytes:
    """Write a report of these rows, with every cell quoted."""
    lines = [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)]
    return "".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in lines).encode()


def lots(*rows: dict[str, str]) -> dict[str, bytes]:
    return {"holdings": csv(*(HEADER | SAMPLE | row for row in rows))}


def trades(*rows: dict[str, str]) -> dict[str, bytes]:
    return {"transactions": csv(*(TRADE | {"Transaction ID": f"T{n}"} | row for n, row in enumerate(rows)))}


@pytest.fixture(scope="module")
def office(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of the unchanged goldens."""
    return run_day(engine, tmp_path_factory.mktemp("office"), TAMARAC, GOLDEN)


@pytest.fixture
def owners(run: Run) -> Callable[..., list[tuple[str, str, Decimal]]]:
    """Finds the owners of all accounts, given the members of each household."""

    def find(**members: list[Row]) -> list[tuple[str, str, Decimal]]:
        def change(body: Any) -> None:
            for row in body["items"]:
                row["members"] = members.get(row["householdId"], [])

        day = run(TAMARAC, change_response(READABLE, "households", change), *OFFICE)
        return [
            (row["account_key"], row["household_key"], row["share_ratio"])
            for row in day.read_canonical("accounts", "account_owner")
        ]

    return find


def member(id_: str, **options: Any) -> Row:
    return {"type": "Account" if id_.startswith("TA") else "Group", "id": id_, **options}


# --- words ---


@pytest.mark.parametrize(
    ("column", "ours"), [("status", set(STATUSES)), ("type", {"Buy", "Sell", *FLOWS})], ids=["status", "type"]
)
def test_suite_and_vendor_file_have_the_same_values(column: str, ours: set[str]) -> None:
    expectations = [e for e in read_suite("tamarac", "transactions") if e.column == column and "value_set" in e.kwargs]
    assert [set(e.kwargs["value_set"]) for e in expectations] == [ours]


@pytest.mark.parametrize(("theirs", "ours"), list(STATUSES.items()))
def test_status_becomes_ours(run: Run, theirs: str, ours: str) -> None:
    day = run(TAMARAC, trades({"Status": theirs}), "transactions")
    assert {row["status"] for row in day.read_canonical("transactions", "transaction")} == {ours}


# --- properties that are left out ---


def test_row_of_required_properties_alone_is_read_and_no_drift(run: Run) -> None:
    def strip(body: Any) -> None:
        body["items"] = [{"clientId": "C1", "lastName": "Sample"}]

    day = run(TAMARAC, change_response(GOLDEN, "clients", strip), "clients")
    [row] = day.staged("clients")
    assert {name for name, value in row.items() if value is not None} == {"client_id", "last_name"}
    assert day.partitions["clients"].manifest.undeclared == ()


def test_household_without_an_advisor_names_no_representative(office: Day) -> None:
    assert [row["representative_key"] for row in office.read_canonical("households", "representative")] == ["A07"]
    assert office.produced("households", "representative").dropped["no advisor"] == 1
    [alone] = [row for row in office.read_canonical("households", "household") if row["household_key"] == "H1003"]
    assert alone["representative_key"] is None


def test_account_without_a_value_is_worth_nothing_that_we_know(office: Day) -> None:
    values = {row["account_key"]: row["market_value_usd"] for row in office.read_canonical("accounts", "account_value")}
    assert values["TA400"] is None
    assert values["TA200"] == 0


# --- groups among accounts ---


@pytest.mark.parametrize("entity", ["account", "account_owner", "account_value"])
def test_group_among_the_accounts_is_none(office: Day, entity: str) -> None:
    assert {row["account_key"] for row in office.read_canonical("accounts", entity)} & GROUPS == set()
    assert office.produced("accounts", entity).dropped["group of accounts"] == len(GROUPS)


def test_group_among_the_holdings_holds_nothing(office: Day) -> None:
    assert {row["account_key"] for row in office.read_canonical("holdings", "position")} & GROUPS == set()


def test_households_together_hold_what_the_accounts_are_worth_and_no_more(office: Day) -> None:
    worth = {
        row["account_key"]: row["market_value_usd"] or 0 for row in office.read_canonical("accounts", "account_value")
    }
    owned = office.read_canonical("accounts", "account_owner")
    assert sum(worth[row["account_key"]] * row["share_ratio"] for row in owned) == sum(worth.values()) - worth["TA600"]


# --- owners ---


def test_nested_group_reaches_its_accounts(owners: Callable[..., Any]) -> None:
    rows = owners(H1001=[member("G10011")])
    assert {("TA100", "H1001", 1), ("TA200", "H1001", 1)} <= set(rows)


def test_account_of_two_households_is_theirs_in_parts(owners: Callable[..., Any]) -> None:
    rows = owners(H1001=[member("TA300", ownershipPercent=60)], H1002=[member("TA300", ownershipPercent=40)])
    assert {("TA300", "H1001", Decimal("0.6")), ("TA300", "H1002", Decimal("0.4"))} <= set(rows)


def test_account_that_two_households_claim_whole_is_owned_once(owners: Callable[..., Any]) -> None:
    rows = owners(H1001=[member("TA300")], H1002=[member("TA300")])
    assert [row[1:] for row in rows if row[0] == "TA300"] == [("H1001", Decimal("0.5")), ("H1002", Decimal("0.5"))]


def test_billing_group_owns_nothing(owners: Callable[..., Any]) -> None:
    rows = owners(H1002=[member("G10014")])
    assert [row[1:] for row in rows if row[0] == "TA400"] == [("H1003", 1)]  # its primary client owns all of it


def test_account_that_no_household_reaches_is_its_primary_client_s(owners: Callable[..., Any]) -> None:
    assert ("TA500", "H1002", 1) in owners()


def test_account_without_household_has_no_owner_and_is_counted(office: Day) -> None:
    assert "TA600" not in {row["account_key"] for row in office.read_canonical("accounts", "account_owner")}
    assert office.produced("accounts", "account_owner").dropped["nothing in it"] == 1


def test_share_that_cannot_be_read_is_the_household_s_dead_letter(run: Run) -> None:
    odd: list[Any] = ["half", None, -10, 250, 0.5]

    def change(body: Any) -> None:
        [first, *_] = body["items"]
        body["items"] = [
            first | {"householdId": f"H{n}", "members": [member("TA100", ownershipPercent=share)]}
            for n, share in enumerate(odd)
        ] + [first | {"householdId": "H9", "members": [{"type": "Account"}]}, first]

    day = run(TAMARAC, change_response(GOLDEN, "households", change), *OFFICE)
    assert {row["key"] for row in day.dead("households")} == {"H0", "H1", "H2", "H3", "H4", "H9"}
    assert {
        row["share_ratio"] for row in day.read_canonical("accounts", "account_owner") if row["account_key"] == "TA100"
    } == {1}


def test_client_that_is_a_trust_owns_as_a_legal_entity(run: Run) -> None:
    def change(body: Any) -> None:
        for row in body["items"]:
            if row["clientId"] == "C1001-0":
                row["lastName"] = "Sample Holdings LLC"
                del row["firstName"]

    day = run(TAMARAC, change_response(READABLE, "clients", change), *OFFICE)
    owned = {row["legal_entity_key"] for row in day.read_canonical("accounts", "account_owner")} - {None}
    persons = {row["person_key"] for row in day.read_canonical("clients", "person")}
    assert owned == {"C1001-0", "C1003-0"}
    assert persons.isdisjoint({"C1001-0", "C1003-0"})


def test_joint_client_owns_the_account_without_a_share(run: Run) -> None:
    def change(body: Any) -> None:
        body["items"][0]["jointClientId"] = "C1001-1"
        body["items"][1]["jointClientId"] = "C1001-1"  # the account's own primary client
        body["items"][2]["jointClientId"] = "C1002-0"

    day = run(TAMARAC, change_response(GOLDEN, "accounts", change), *OFFICE)
    rows = [row for row in day.read_canonical("accounts", "account_owner") if row["role"] == "joint"]
    assert [
        (row["account_owner_key"], row["household_key"], row["person_key"], row["share_ratio"]) for row in rows
    ] == [
        ("TA100:joint:C1001-1", None, "C1001-1", 0),
        ("TA300:joint:C1002-0", None, "C1002-0", 0),
    ]


# --- holdings ---


@pytest.mark.parametrize(("second", "cost"), [("11.00", Decimal("20.00")), ("", None)], ids=["known", "unknown"])
def test_lots_of_one_security_are_added_up(run: Run, second: str, cost: Decimal | None) -> None:
    """The cost of a position is unknown if that of a lot is: the cost of the other lots would show a gain that is too high."""
    cells = [
        {"Quantity": "1.5", "Market Value": "15.00", "Cost Basis": "9.00"},
        {"Quantity": "2", "Market Value": "20.01", "Cost Basis": second},
    ]
    day = run(TAMARAC, lots(*({"CUSIP": "990100109", **row} for row in cells)), "holdings")
    [position] = day.read_canonical("holdings", "position")
    added = [position[name] for name in ("quantity", "market_value_usd", "cost_basis_usd")]
    assert added == [Decimal("3.5"), Decimal("35.01"), cost]
    assert day.produced("holdings", "position").merged == 1
    assert day.produced("holdings", "position").money == Decimal("35.01")


@pytest.mark.parametrize(
    ("cells", "key"),
    [
        ({"CUSIP": "990100109", "Symbol": "SMPL", "Description": "Sample"}, "990100109"),
        ({"Symbol": "SMPL", "Description": "Sample"}, "SMPL"),
        ({"Description": "Sample"}, "Sample"),
    ],
    ids=["cusip", "symbol", "name"],
)
def test_security_is_known_by_cusip_first_and_symbol_second(run: Run, cells: dict[str, str], key: str) -> None:
    day = run(TAMARAC, lots({"Description": "Other", **cells}), "holdings")
    assert [row["security_key"] for row in day.read_canonical("holdings", "security")] == [key]
    assert [row["position_key"] for row in day.read_canonical("holdings", "position")] == [f"TA100:{key}"]


def test_every_lot_that_cannot_be_read_is_a_dead_letter(run: Run) -> None:
    day = run(TAMARAC, lots(*({"Description": "Sample", "Quantity": q} for q in ("many", "few", "1"))), "holdings")
    manifest = day.partitions["holdings"].manifest
    assert (manifest.fetched, manifest.staged, manifest.duplicate, manifest.dead) == (3, 1, 0, 2)


def test_zipped_report_is_the_same_as_a_plain_one(run: Run, office: Day) -> None:
    day = run(TAMARAC, GOLDEN | {"holdings": zip_report(GOLDEN["holdings"])}, "holdings")
    assert day.staged("holdings") == office.staged("holdings")
    assert day.dead("holdings") == office.dead("holdings")


# --- transactions ---


@pytest.mark.parametrize(
    ("cells", "moved"),
    [
        ({"Type": "Buy", "Quantity": "2", "Amount": "-10.50"}, {"SMPL": "2", CASH: "-10.50"}),
        ({"Type": "Sell", "Quantity": "-2", "Amount": "10.50"}, {"SMPL": "-2", CASH: "10.50"}),
        ({"Type": "Dividend", "Quantity": "0", "Amount": "1.25"}, {"SMPL": "0", CASH: "1.25"}),
        ({"Type": "Transfer In", "Quantity": "2", "Amount": "10.50"}, {"SMPL": "2"}),
        ({"Type": "Transfer In", "Quantity": "2", "Amount": ""}, {"SMPL": "2"}),
        ({"Type": "Deposit", "Symbol": CASH, "Quantity": "7", "Amount": "7"}, {CASH: "7"}),
        ({"Type": "Transfer Out", "Symbol": CASH, "Quantity": "-7", "Amount": "-7"}, {CASH: "-7"}),
    ],
    ids=["buy", "sale", "dividend", "transfer in kind", "split", "deposit", "cash that leaves"],
)
def test_transaction_moves_its_security_and_its_cash(run: Run, cells: dict[str, str], moved: dict[str, str]) -> None:
    day = run(TAMARAC, trades(cells), "transactions")
    transactions = day.read_canonical("transactions", "transaction")
    assert {row["security_key"]: row["quantity"] for row in transactions} == {
        key: Decimal(q) for key, q in moved.items()
    }
    assert [row["account_key"] for row in transactions] == ["TA100"] * len(moved)


def test_amount_is_counted_once_although_cash_is_a_row_of_its_own(run: Run) -> None:
    day = run(TAMARAC, trades({"Amount": "-10.50"}, {"Type": "Deposit", "Symbol": CASH, "Amount": "7"}), "transactions")
    produced = day.produced("transactions", "transaction")
    assert (produced.staged, produced.split, produced.produced) == (2, 1, 3)
    assert produced.money == Decimal("-3.50")


def test_cash_of_a_reversed_trade_is_also_reversed(run: Run) -> None:
    day = run(TAMARAC, trades({"Status": "Reversed"}), "transactions")
    assert [row["status"] for row in day.read_canonical("transactions", "transaction")] == ["reversed"] * 2


def test_transactions_are_requested_by_day_of_entry_in_new_york() -> None:
    since, now = datetime(2026, 11, 19, 2, tzinfo=UTC), datetime(2026, 11, 21, 2, tzinfo=UTC)
    params, window = request(TAMARAC, TRANSACTIONS, Span(DAY, edited_since=since), now)
    # In New York it is the 18th and the 20th; the request adds two days before and one after.
    assert params == {"dateType": "Entry", "startDate": "2026-11-16", "endDate": "2026-11-21"}
    assert window is not None


def test_past_day_is_requested_by_day_of_trade() -> None:
    span = Span(date(2026, 11, 16), is_past=True, first_date=date(2026, 11, 14))
    params, window = request(TAMARAC, TRANSACTIONS, span, datetime(2026, 11, 21, tzinfo=UTC))
    assert params == {"dateType": "Trade", "startDate": "2026-11-14", "endDate": "2026-11-16"}
    assert window is None


@pytest.fixture
def vendor() -> Vendor:
    """Tamarac, the only vendor of the firm below."""
    return replace(TAMARAC)


def test_trade_that_is_entered_late_arrives(firm: Firm) -> None:
    firm.day(DAY, "transactions")
    bought = (
        "select position_key, trade_date from warehouse.transaction where transaction_type = 'Buy' order by 1 limit 1"
    )
    [position] = firm.database.rows(bought)
    account, cusip = position["position_key"].split(":")
    symbol = next(security.ticker for security in SECURITIES if security.cusip == cusip)
    late = {"trade_date": "2026-10-15", "quantity": 3.25, "price": 10}
    firm.sandbox.admin("tamarac/backdate_trade", account_id=account, symbol=symbol, **late)
    loaded = firm.day(DAY, "transactions")
    assert loaded["transaction"].inserted == 2  # the trade and its cash
    late_rows = (
        "select quantity from warehouse.transaction where trade_date = '2026-10-15' and quantity in (3.25, -32.50)"
    )
    assert sorted(row["quantity"] for row in firm.database.rows(late_rows)) == [Decimal("-32.50"), Decimal("3.25")]


def test_responses_of_the_goldens_are_json_of_items() -> None:
    assert all(list(json.loads(GOLDEN[name])) == ["items"] for name in OFFICE)


def test_transaction_that_names_no_security_is_of_cash(run: Run) -> None:
    day = run(TAMARAC, trades({"Type": "Fee", "Symbol": "", "Quantity": "0", "Amount": "-7.50"}), "transactions")
    transactions = day.read_canonical("transactions", "transaction")
    assert {row["position_key"] for row in transactions} == {f"TA100:{CASH}"}
    assert sum(row["quantity"] for row in transactions) == Decimal("-7.50")


@pytest.mark.parametrize(
    ("cells", "security"),
    [
        ({"CUSIP": "990100109", "Description": "Buy Sample Inc"}, ("990100109", "Sample Inc", "SMPL", "990100109")),
        ({"Description": "Sample Inc"}, ("SMPL", "Sample Inc", "SMPL", None)),
        (
            {"Symbol": "", "Description": "A Private Note", "Amount": ""},
            ("A Private Note", "A Private Note", None, None),
        ),
        ({"Symbol": CASH, "Type": "Deposit", "Description": "Wire"}, (CASH, CASH, CASH, None)),
    ],
    ids=["cusip", "symbol", "name", "cash"],
)
def test_transaction_names_its_security(run: Run, cells: dict[str, str], security: tuple[str | None, ...]) -> None:
    day = run(TAMARAC, trades(cells), "transactions")
    first, *cash = day.read_canonical("transactions", "security")
    assert tuple(first[name] for name in ("security_key", "name", "ticker", "cusip")) == security
    assert {row["security_key"] for row in cash} <= {CASH}


def test_security_of_a_transaction_alone_is_known_and_one_that_is_held_is_not_overwritten(start_firm: Any) -> None:
    firm = start_firm(TAMARAC)
    firm.day(DAY)
    query = "select security_key, name, asset_class from warehouse.security where recorded_to is null and asset_class is not null"
    missing = """
        select count(*) from warehouse.transaction t where not exists (
            select from warehouse.security s where s.security_id = t.security_id and s.recorded_to is null)
    """
    alone = "select * from warehouse.security where recorded_to is null and asset_class is null"
    assert firm.database.value(missing) == 0
    assert firm.database.value("select count(*) from warehouse.transaction") > 0
    before = firm.database.rows(f"{query} order by 1")
    firm.day()
    assert [row for row in firm.database.rows(f"{query} order by 1") if row in before] == before
    assert all(row["ticker"] or row["cusip"] or row["name"] for row in firm.database.rows(alone))
