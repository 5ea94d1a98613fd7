"""eMoney: the tables that tests compare, edit and interrupt."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from include.extract.session import VendorSession
from tests.conftest import Database, Firm
from tests.running_sandbox import Sandbox
from tests.vendors.matter import Edit, Keys, Matter, Stated, find_keys, read_json

_QUERY = (
    "select goal_key, source_key, name, amount_usd from warehouse.goal join warehouse.source_key on id = plan_id"
    " where recorded_to is null and goal_type <> 'Retirement'"
)


def _state(firm: Firm, session: VendorSession) -> Stated:
    stated: Stated = {}
    for client in _pages(session, "clients", pageSize="50"):
        for plan in session.get(f"clients/{client['clientId']}/plans", {}, read_json):
            expenses = session.get(f"clients/{client['clientId']}/plans/{plan['planId']}/expenses", {}, read_json)
            for goal in (expense for expense in expenses if expense.get("isGoal")):
                money = round(goal["amount"], 2) if "amount" in goal else None
                stated[f"{plan['planId']}:{goal['expenseId']}"] = (plan["planId"], goal["name"], money)
    return stated


def _pages(session: VendorSession, path: str, **params: str) -> Iterator[Mapping[str, Any]]:
    for page in range(1, 100):
        rows = session.get(path, {"page": str(page), **params}, read_json)
        yield from rows
        if not rows:
            return


def _correct(sandbox: Sandbox, database: Database) -> None:
    for key in find_keys(database, "household", "emoney")[:3]:
        sandbox.admin("emoney/set_fields", table="clients", id=key, set={"email": f"sample-{key[:4]}@example.com"})
    sandbox.admin("emoney/change_plan", plan_id=find_keys(database, "plan", "emoney")[0], name="Sample plan")


def _name(rng: random.Random) -> str:
    return f"Sample {rng.randrange(10**6)}"


def _draw_edits(rng: random.Random, keys: Keys) -> list[Edit]:
    email = f"sample-{rng.randrange(10**6)}@example.com"
    return [
        Edit(
            "emoney/set_fields",
            {"table": "clients", "id": rng.choice(keys("household", "emoney")), "set": {"email": email}},
        ),
        Edit("emoney/change_plan", {"plan_id": rng.choice(keys("plan", "emoney")), "name": _name(rng)}),
    ]


MATTER = Matter("monte_carlo", "clients", "monte_carlo", 3, _state, _QUERY, _correct, _draw_edits)
