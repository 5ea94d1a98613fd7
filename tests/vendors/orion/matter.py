"""Orion: the tables that tests compare, edit and interrupt."""

from __future__ import annotations

import random

from include.business_dates import latest_closed
from include.extract.session import VendorSession
from tests.conftest import Database, Firm
from tests.running_sandbox import LAST, Sandbox
from tests.vendors.matter import Edit, Keys, Matter, Stated, read_json

_QUERY = "select position_key, quantity, market_value_usd from warehouse.position where recorded_to is null"


def _state(firm: Firm, session: VendorSession) -> Stated:
    day = latest_closed(firm.clock()).isoformat()
    rows = session.get("Portfolio/Assets", {"asOfDate": day, "$top": "10000"}, read_json)
    return {str(row["id"]): (row["currentShares"], row["currentValue"]) for row in rows}


def _correct(sandbox: Sandbox, _: Database) -> None:
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


def _name(rng: random.Random) -> str:
    return f"Sample {rng.randrange(10**6)}"


def _draw_edits(rng: random.Random, keys: Keys) -> list[Edit]:
    trade = rng.choice(keys("transaction", "orion", "transaction_type = 'Buy'") or [""])
    renamed = Edit(
        "orion/rename_household", {"client_id": int(rng.choice(keys("household", "orion"))), "name": _name(rng)}
    )
    return [renamed, *([Edit("orion/reverse_transaction", {"transaction_id": int(trade)})] if trade else [])]


MATTER = Matter("assets", "clients", "transactions", 60, _state, _QUERY, _correct, _draw_edits)
