"""MoneyGuidePro: the tables that tests compare, edit and interrupt."""

from __future__ import annotations

import random

from include.extract.session import Request, VendorSession
from tests.conftest import Database, Firm
from tests.running_sandbox import Sandbox
from tests.vendors.matter import Edit, Keys, Matter, Stated, find_keys, read_json

_QUERY = (
    "select source_key, probability_text from warehouse.plan_result join warehouse.source_key on id = plan_id"
    " where recorded_to is null and scenario = 'recommended' and probability_text is not null"
)


def _state(firm: Firm, session: VendorSession) -> Stated:
    stated: Stated = {}
    for household in session.get("Households", {}, read_json):
        path = f"Households/{household['householdId']}/MonteCarloMeter"
        meter = session.request(Request(path, {"includeImage": "false"}, missing=(404,)), read_json) or {}
        stated[str(household["householdId"])] = (meter.get("probabilityOfSuccess"),)
    return {key: text for key, text in stated.items() if text[0] is not None}


def _correct(sandbox: Sandbox, database: Database) -> None:
    for key in find_keys(database, "plan", "moneyguidepro")[:2]:
        sandbox.admin("moneyguidepro/change_plan", household_id=key, probability="41%")
    for key in find_keys(database, "household", "moneyguidepro")[:3]:
        sandbox.admin("moneyguidepro/set_fields", table="households", id=int(key), set={"name": f"Sample {key}"})


def _name(rng: random.Random) -> str:
    return f"Sample {rng.randrange(10**6)}"


def _draw_edits(rng: random.Random, keys: Keys) -> list[Edit]:
    plan, household = rng.choice(keys("plan", "moneyguidepro")), rng.choice(keys("household", "moneyguidepro"))
    return [
        Edit("moneyguidepro/change_plan", {"household_id": plan, "probability": f"{rng.randint(20, 95)}%"}),
        Edit("moneyguidepro/set_fields", {"table": "households", "id": int(household), "set": {"name": _name(rng)}}),
    ]


MATTER = Matter("meters", "households", "meters", 3, _state, _QUERY, _correct, _draw_edits)
