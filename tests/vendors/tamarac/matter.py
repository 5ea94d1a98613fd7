"""Tamarac: the tables that tests compare, edit and interrupt."""

from __future__ import annotations

import csv
import io
import random
import time
import zipfile
from collections import defaultdict
from decimal import Decimal

from include.business_dates import latest_closed
from include.extract.session import Request, VendorSession
from tests.conftest import Database, Firm
from tests.running_sandbox import Sandbox
from tests.vendors.matter import Edit, Keys, Matter, Stated, find_keys, read_json

_QUERY = "select position_key, quantity, market_value_usd from warehouse.position where recorded_to is null"


def _state(firm: Firm, session: VendorSession) -> Stated:
    order = {"report": "AccountHoldingsAV", "asOfDate": latest_closed(firm.clock()).isoformat()}
    job = (session.request(Request("reports", body=order), read_json) or {})["jobId"]
    while (session.request(Request(f"reports/{job}"), read_json) or {})["status"] != "Complete":
        time.sleep(0.05)
    content = session.request(Request(f"reports/{job}/file", is_file=True), bytes) or b""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(archive.namelist()[0])
    sums_of: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig"))):
        if row["Account Type"] != "Reporting Group":
            security = row["CUSIP"] or row["Symbol"] or row["Description"]
            sums = sums_of[f"{row['Account ID']}:{security}"]
            sums[0] += _number(row["Quantity"])
            sums[1] += _number(row["Market Value"]).quantize(Decimal("0.01"))
    return {key: tuple(sums) for key, sums in sums_of.items()}


def _number(text: str) -> Decimal:
    plain = text.replace(",", "").replace("$", "")
    return -Decimal(plain.strip("()")) if plain.startswith("(") else Decimal(plain)


def _correct(sandbox: Sandbox, database: Database) -> None:
    for key in find_keys(database, "household", "tamarac")[:3]:
        sandbox.admin("tamarac/rename_household", household_id=key, name=f"Sample {key}")
    trades = [key for key in find_keys(database, "transaction", "tamarac") if not key.endswith(":cash")]
    sandbox.admin("tamarac/reverse_transaction", transaction_id=trades[0])


def _name(rng: random.Random) -> str:
    return f"Sample {rng.randrange(10**6)}"


def _draw_edits(rng: random.Random, keys: Keys) -> list[Edit]:
    trades = [key for key in keys("transaction", "tamarac") if not key.endswith(":cash")]
    household = rng.choice(keys("household", "tamarac"))
    return [
        Edit("tamarac/rename_household", {"household_id": household, "name": _name(rng)}),
        Edit("tamarac/reverse_transaction", {"transaction_id": rng.choice(trades)}),
    ]


MATTER = Matter("holdings", "clients", "transactions", 60, _state, _QUERY, _correct, _draw_edits)
