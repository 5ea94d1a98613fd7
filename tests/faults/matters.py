"""What the kill points lie on at each vendor, and what people correct there after its day was pulled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.conftest import Database
from tests.running_sandbox import LAST, Sandbox


@dataclass(frozen=True)
class Matter:
    """The tables of a vendor that a day is killed in.

    Attributes:
        facts: Most of the day's work.
        people: Descriptions, whose changes are versions.
        events: What is dated.
        rows: Rows of a page and of a part, so few that there are several of each.
        correct: Changes what the database holds, at the vendor.
    """

    facts: str
    people: str
    events: str
    rows: int
    correct: Callable[[Sandbox, Database], None]


def _orion(sandbox: Sandbox, _: Database) -> None:
    for product in sorted({row["productId"] for row in sandbox.rows("Portfolio/Assets") if row["ticker"]})[:5]:
        sandbox.admin("orion/correct_price", product_id=product, date=str(LAST), price=123.45)
    buys = [
        row for row in sandbox.rows("Portfolio/Transactions") if (row["typeCode"], row["status"]) == ("BUY", "Complete")
    ]
    sandbox.admin("orion/reverse_transaction", transaction_id=buys[0]["id"])
    sandbox.admin("orion/correct_transaction", transaction_id=buys[-1]["id"], price=10, quantity=3)
    for client in sandbox.rows("Portfolio/Clients")[:3]:
        sandbox.admin("orion/rename_household", client_id=client["id"], name=f"Sample {client['id']}")
    account = next(row for row in sandbox.rows("Portfolio/Accounts") if row["sleeveType"] == "None")
    registrations = sandbox.rows("Portfolio/Registrations")
    target = next(row["id"] for row in registrations if row["clientId"] != account["clientId"])
    sandbox.admin("orion/move_account", account_id=account["id"], registration_id=target)


def _keys(database: Database, entity: str, vendor: str) -> list[str]:
    query = (
        f"select {entity}_key as key from warehouse.{entity} where vendor = :vendor and recorded_to is null order by 1"
    )
    return [row["key"] for row in database.rows(query, vendor=vendor)]


def _tamarac(sandbox: Sandbox, database: Database) -> None:
    for key in _keys(database, "household", "tamarac")[:3]:
        sandbox.admin("tamarac/rename_household", household_id=key, name=f"Sample {key}")
    trades = [key for key in _keys(database, "transaction", "tamarac") if not key.endswith(":cash")]
    sandbox.admin("tamarac/reverse_transaction", transaction_id=trades[0])


def _emoney(sandbox: Sandbox, database: Database) -> None:
    for key in _keys(database, "household", "emoney")[:3]:
        sandbox.admin("emoney/mend", table="clients", id=key, set={"email": f"sample-{key[:4]}@example.com"})
    sandbox.admin("emoney/change_plan", plan_id=_keys(database, "plan", "emoney")[0], name="Sample plan")


def _moneyguidepro(sandbox: Sandbox, database: Database) -> None:
    for key in _keys(database, "plan", "moneyguidepro")[:2]:
        sandbox.admin("moneyguidepro/change_plan", household_id=key, probability="41%")
    for key in _keys(database, "household", "moneyguidepro")[:3]:
        sandbox.admin("moneyguidepro/mend", table="households", id=int(key), set={"name": f"Sample {key}"})


def _nitrogen(sandbox: Sandbox, database: Database) -> None:
    clients = [key for key in _keys(database, "person", "nitrogen") if key.isdigit()]
    for key in clients[:3]:
        sandbox.admin("nitrogen/mend", table="clients", id=int(key), set={"lname": f"Sample{key}", "risk_number": 41})


def _open_envelopes(database: Database, vendor: str) -> list[str]:
    query = (
        "select envelope_key as key from warehouse.envelope where vendor = :vendor and status in ('sent', 'delivered')"
    )
    return [row["key"] for row in database.rows(f"{query} and recorded_to is null order by 1", vendor=vendor)]


def _docusign(sandbox: Sandbox, database: Database) -> None:
    voided, signed, corrected, *_ = _open_envelopes(database, "docusign")
    sandbox.admin("docusign/void", envelope_id=voided, reason="Sample")
    sandbox.admin("docusign/sign", envelope_id=signed)
    sandbox.admin("docusign/correct", envelope_id=corrected, recipient="1", set={"name": "Sample Corrected"})


def _adobe_sign(sandbox: Sandbox, database: Database) -> None:
    cancelled, signed, *_ = _open_envelopes(database, "adobe_sign")
    sandbox.admin("adobe_sign/cancel", agreement_id=cancelled)
    sandbox.admin("adobe_sign/sign", agreement_id=signed)


MATTERS = {
    "orion": Matter("assets", "clients", "transactions", 60, _orion),
    "tamarac": Matter("holdings", "clients", "transactions", 60, _tamarac),
    "emoney": Matter("monte_carlo", "clients", "monte_carlo", 3, _emoney),
    "moneyguidepro": Matter("meters", "households", "meters", 3, _moneyguidepro),
    "nitrogen": Matter("portfolios", "clients", "clients", 3, _nitrogen),
    "docusign": Matter("envelopes", "templates", "recipients", 3, _docusign),
    "adobe_sign": Matter("agreement_details", "library_documents", "agreement_events", 2, _adobe_sign),
}
