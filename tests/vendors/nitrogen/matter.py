"""Nitrogen: the tables that tests compare, edit and interrupt."""

from __future__ import annotations

import json
import random

from include.extract.session import Request, VendorSession
from tests.conftest import Database, Firm
from tests.running_sandbox import Sandbox
from tests.vendors.matter import Edit, Keys, Matter, Stated, find_keys, read_json

_QUERY = (
    "select source_key, risk_number from warehouse.client_risk join warehouse.source_key on id = person_id"
    " where recorded_to is null and risk_number is not null"
)


def _state(firm: Firm, session: VendorSession) -> Stated:
    stated: Stated = {}
    for grant in json.loads(firm.connection.extra["grants"]):
        for client in session.request(Request("clients", grant=grant), read_json) or []:
            stated[str(client["id"])] = (client.get("risk_number"),)
    return {key: number for key, number in stated.items() if number[0] is not None}


def _correct(sandbox: Sandbox, database: Database) -> None:
    clients = [key for key in find_keys(database, "person", "nitrogen") if key.isdigit()]
    for key in clients[:3]:
        sandbox.admin(
            "nitrogen/set_fields", table="clients", id=int(key), set={"lname": f"Sample{key}", "risk_number": 41}
        )


def _draw_edits(rng: random.Random, keys: Keys) -> list[Edit]:
    changed = {"lname": f"Sample{rng.randrange(10**6)}", "risk_number": rng.randint(20, 80)}
    return [
        Edit(
            "nitrogen/set_fields",
            {
                "table": "clients",
                "id": int(rng.choice(keys("person", "nitrogen", "person_key !~ '[^0-9]'"))),
                "set": changed,
            },
        )
    ]


MATTER = Matter("portfolios", "clients", "clients", 3, _state, _QUERY, _correct, _draw_edits)
