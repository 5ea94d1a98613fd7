"""An account that a planner also lists, under a masked number, counts once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.identity.resolve import resolve
from include.vendors.emoney import EMONEY
from include.vendors.orion import ORION
from include.warehouse import schema
from tests.conftest import Database
from tests.vendors.golden_day import DAY, Responses, change_response, goldens, run_day

MANAGED = {"number": "01763734", "custodian": "Pershing", "currentValue": 716541.83}
"""The number of the first account in Orion's goldens."""


REST = ("x3734", "Ending in 3734", "*3734", "XXXX-3734", "••••3734")


def planner(number: str) -> Responses:
    """Return the planner's goldens with Orion's client as the first one, with one account of this number."""

    def be_orion_s(rows: list[Any]) -> None:
        rows[0] |= {"dateOfBirth": "1967-01-01", "email": "gus.example.1001@example.org", "spouse": None}

    def list_one(body: dict[str, Any]) -> None:
        [first, *others] = body
        one = {"accountNumber": number, "institution": MANAGED["custodian"], "value": MANAGED["currentValue"]}
        body[first] = [body[first][0] | one]
        for path in others:
            body[path] = []

    return change_response(change_response(goldens(EMONEY), "clients", be_orion_s), "accounts", list_one)


@pytest.mark.parametrize(
    "number",
    ["01763734", "...3734", *(pytest.param(number, marks=pytest.mark.long) for number in REST)],
)
def test_held_away_copy_counts_once(database: Database, tmp_path: Path, number: str) -> None:
    engine = schema.engine(database.url())
    for vendor, responses in ((ORION, goldens(ORION)), (EMONEY, planner(number))):
        run_day(engine, tmp_path / vendor.name, vendor, responses).load()
    resolve(engine, (ORION, EMONEY), "run", DAY)
    engine.dispose()
    household = "household_name like '%Example%'"
    [worth] = database.rows(f"select managed_usd, held_away_usd, copies from mart.net_worth where {household}")
    assert worth["managed_usd"] > 0
    assert (worth["held_away_usd"], worth["copies"]) == (0, 1)
