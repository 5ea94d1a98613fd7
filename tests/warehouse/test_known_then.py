"""What was known at a time stays as it was, whatever is loaded, linked or no longer listed later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.control import lateness
from tests.warehouse.loading import DAY, NEXT, QUICK, Loader, Make, position, transaction

KEYS = ("a", "b")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Step = tuple[str, str, date, tuple[str, ...], int]

PORTFOLIO = [
    (step, vendor)
    for step in ("accounts", "values", "positions", "transactions", "use")
    for vendor in ("pms", "second")
]
OTHERS = [
    ("people", "pms"),
    ("outside", "planner"),
    ("plans", "planner"),
    ("risks", "risk"),
    ("link", "second"),
    ("link", "planner"),
]


def list_steps(kinds: Sequence[tuple[str, str]]) -> st.SearchStrategy[list[Step]]:
    days, keys = st.sampled_from([DAY, NEXT]), st.sampled_from([(), ("a",), ("b",), KEYS])
    step = st.tuples(st.sampled_from(list(kinds)), days, keys, st.integers(1, 9))
    return st.lists(step.map(lambda each: (*each[0], *each[1:])), min_size=4, max_size=10)


class Firm:
    """Two portfolio vendors, a planner and a risk vendor, of which each lists the household `h` and what it knows of it."""

    def __init__(self, new_loader: Make) -> None:
        self.of = {name: new_loader() for name in ("pms", "second", "planner", "risk")}
        for loader in self.of.values():
            loader.load("household", [{"household_key": "h", "name": "Sample"}])
            loader.load("person", [{"person_key": "p", "name": "Ada Sample", "household_key": "h"}])
        self.do("accounts", "pms", DAY, KEYS, 1)
        self.do("accounts", "second", DAY, KEYS, 1)

    def do(self, step: str, vendor: str, day: date, keys: Sequence[str], number: int) -> None:
        """Do one step: load some keys of a kind, all with a number; link or unlink accounts; or stop or resume to use a vendor."""
        getattr(self, f"_do_{step}")(self.of[vendor], day, keys, number)

    def _do_accounts(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        counted = {
            "household_key": "h",
            "is_counted": True,
            "is_active": number > 3,
            "open_date": date(2020, 1, number),
        }
        loader.load("account", [counted | {"account_key": key} for key in keys], day)
        owner = {"household_key": "h", "person_key": "p", "share_ratio": Decimal(number) / 10}
        loader.load(
            "account_owner", [owner | {"account_owner_key": f"{key}:h", "account_key": key} for key in keys], day
        )

    def _do_values(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        value = {"market_value_usd": Decimal(number)}
        loader.load("account_value", [value | {"account_value_key": key, "account_key": key} for key in keys], day)

    def _do_positions(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        loader.load("position", [position(key, number, account=key) for key in keys], day)

    def _do_transactions(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        trades = [
            transaction(key, number, day, "posted", str(number)) | {"account_key": key, "flow": "contribution"}
            for key in keys
        ]
        loader.load("transaction", trades, day)

    def _do_outside(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        loader.load("outside_account", [{"outside_account_key": key, "household_key": "h"} for key in keys], day)
        value = {"market_value_usd": Decimal(number), "requested_on": day, "requested_at": NOON}
        values = [value | {"outside_value_key": f"{key}:{day}", "outside_account_key": key} for key in keys]
        loader.load("outside_value", values, day)

    def _do_people(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        loader.load("household", [{"household_key": "h", "name": f"Sample {number}"}], day)
        loader.load(
            "person", [{"person_key": key, "name": f"Person {number}", "household_key": "h"} for key in keys], day
        )

    def _do_plans(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        plans = [
            {"plan_key": key, "household_key": "h", "is_base": True, "name": f"Plan {number}", "updated_on": day}
            for key in keys
        ]
        loader.load("plan", plans, day)
        loader.load("goal", [{"goal_key": key, "plan_key": key, "name": f"Goal {number}"} for key in keys], day)
        result = {
            "household_key": "h",
            "computed_on": day,
            "computed_at": NOON,
            "scenario": "current",
            "probability_ratio": Decimal(number) / 10,
        }
        loader.load("plan_result", [result | {"plan_result_key": f"{key}:{day}", "plan_key": key} for key in keys], day)

    def _do_risks(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        asked = {
            "person_key": "p",
            "version": "v",
            "completed_at": NOON,
            "is_completed": True,
            "is_archived": False,
            "is_deleted": False,
        }
        loader.load("questionnaire", [asked | {"questionnaire_key": key, "risk_number": number} for key in keys], day)
        loader.load(
            "portfolio", [{"portfolio_key": key, "person_key": "p", "portfolio_type": "current"} for key in keys], day
        )

    def _do_link(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        if number > 5:
            loader.database.do(
                "update warehouse.identity set recorded_to = clock_timestamp() where recorded_to is null"
            )
            return
        loader.database.do(
            """
            insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
            select 'account', k.id, o.id, clock_timestamp(), 'link' from warehouse.source_key k
            join warehouse.source_key o on o.vendor = :original and o.entity = 'account' and o.source_key = k.source_key
            where k.vendor = :vendor and k.entity in ('account', 'outside_account') and k.source_key = any(:keys) and k.id <> o.id
              and not exists (select from warehouse.identity i where i.id = k.id and i.recorded_to is null)
            """,
            original=self.of["pms"].vendor.name, vendor=loader.vendor.name, keys=list(keys),
        )  # fmt: skip

    def _do_use(self, loader: Loader, day: date, keys: Sequence[str], number: int) -> None:
        name = loader.vendor.name
        if number > 5:
            lateness.record_use(loader.engine, name, is_used=True)
        else:
            loader.database.do(
                "insert into control.unused_vendor (vendor) values (:name) on conflict do nothing", name=name
            )


def list_marts(loader: Loader) -> list[str]:
    query = """
    select proname from pg_proc where pronamespace = 'mart'::regnamespace and proname like '%\\_as\\_known' and pronargs - pronargdefaults = 1 order by 1
    """
    return [row["proname"] for row in loader.rows(query)]


def read_known(loader: Loader, marts: Sequence[str], at: datetime) -> dict[str, list[str]]:
    """Return the rows of each mart, as known at a time."""
    return {
        mart: [row["row"] for row in loader.rows(f"select r::text as row from mart.{mart}(:at) r order by 1", at=at)]
        for mart in marts
    }


def check_known(new_loader: Make, story: Sequence[Step]) -> None:
    """Do the steps; each mart as known after each step must be the same at the end."""
    firm = Firm(new_loader)
    loader = firm.of["pms"]
    marts, known = list_marts(loader), dict[datetime, Any]()
    for step in story:
        firm.do(*step)
        at = loader.now()
        known[at] = read_known(loader, marts, at)
    for at, rows in known.items():
        assert read_known(loader, marts, at) == rows


@pytest.mark.parametrize("kinds", [PORTFOLIO, OTHERS], ids=["portfolio", "others"])
@settings(QUICK, max_examples=5)
@given(data=st.data())
def test_any_later_step_leaves_what_was_known_before(
    new_loader: Make, kinds: list[tuple[str, str]], data: st.DataObject
) -> None:
    check_known(new_loader, data.draw(list_steps(kinds)))


@pytest.mark.parametrize(
    ("step", "vendor"), [("accounts", "pms"), ("outside", "planner"), ("plans", "planner"), ("risks", "risk")]
)
def test_record_that_the_vendor_lists_again_was_missing_meanwhile(new_loader: Make, step: str, vendor: str) -> None:
    lists = [KEYS, ("b",), KEYS]
    check_known(new_loader, [(step, vendor, NEXT, keys, 4) for keys in lists])


def test_vendor_that_the_firm_uses_again_was_unused_meanwhile(new_loader: Make) -> None:
    worth = [("values", vendor, NEXT, KEYS, number) for vendor, number in (("pms", 5), ("second", 7))]
    check_known(
        new_loader,
        [
            *worth,
            ("link", "second", NEXT, KEYS, 1),
            ("use", "pms", NEXT, (), 1),
            ("values", "pms", NEXT, KEYS, 6),
            ("use", "pms", NEXT, (), 9),
        ],
    )
