"""A warehouse that a module's tests share; each test is a vendor of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.control.findings import Tally
from include.rules import RULES
from include.rules.evaluation import evaluate_all
from include.rules.policy import Policy
from include.rules.snapshot import PresentDay, Snapshot, find_present_days, read_snapshot
from tests.conftest import Database
from tests.warehouse.loading import Loader

FRIDAY, MONDAY, TUESDAY = date(2026, 11, 20), date(2026, 11, 23), date(2026, 11, 24)


class Ledgered(Loader):
    """A vendor whose days are loaded entity by entity and then reconciled as one run."""

    def reconcile(
        self, day: date, *, is_passed: bool = True, checks: tuple[str, ...] = ("control total",), note: str = ""
    ) -> None:
        """Combine a day's loads into one run, `run <day>`, and record its reconciliation."""
        values = {"vendor": self.vendor.name, "day": day, "run_id": f"run {day}"}
        self.database.do(
            "update control.ledger set run_id = :run_id where vendor = :vendor and business_date = :day", **values
        )
        for check in checks:
            self.database.do(
                """
                insert into control.reconciliation
                    (run_id, vendor, business_date, check_name, expected, actual, tolerance, is_passed, note)
                values (:run_id, :vendor, :day, :check_name, 0, 0, 0, :is_passed, :note)
                on conflict (run_id, vendor, business_date, check_name) do update
                set is_passed = excluded.is_passed, note = excluded.note
                """,
                **values, check_name=check, is_passed=is_passed, note=note,
            )  # fmt: skip

    def day(self, day: date, values: dict[str, Any], cash: dict[str, Any] | None = None, **accounts: Any) -> None:
        """Load a whole day: accounts of household `h1` with their values, and one position in each.

        Args:
            day: The business date.
            values: Account -> dollars, also the value of its position.
            cash: Account -> dollars of cash.
            accounts: Account -> its other fields.
        """
        self.load("household", [{"household_key": "h1", "name": "Sample", "representative_key": "r1"}], day)
        self.load("account", [ACCOUNT | {"account_key": a} | accounts.get(a, {}) for a in values], day)
        self.load("account_owner", [{"account_owner_key": f"{a}:h1", "account_key": a, "household_key": "h1",
                                     "share_ratio": Decimal(1)} for a in values], day)  # fmt: skip
        self.load("security", [{"security_key": "s1", "name": "Sample Fund", "security_type": "ETF"}], day)
        worth = {a: Decimal(v) for a, v in values.items() if v is not None}
        self.load("account_value", [{"account_value_key": a, "account_key": a, "market_value_usd": v,
                                     "cash_usd": Decimal((cash or {}).get(a, 0))} for a, v in worth.items()], day)  # fmt: skip
        self.load("position", [{"position_key": f"p-{a}", "account_key": a, "security_key": "s1", "quantity": v,
                                "market_value_usd": v, "is_cash": False} for a, v in worth.items()], day)  # fmt: skip

    def present(self) -> PresentDay:
        """Return this vendor's current day."""
        with self.engine.connect() as connection:
            [day] = [day for day in find_present_days(connection) if day.vendor == self.vendor.name]
        return day

    def snapshot(self) -> Snapshot:
        """Return the snapshot of this vendor's current day."""
        with self.engine.connect() as connection:
            return read_snapshot(connection, self.present())

    def evaluate(self, policy: Policy = Policy(), rules: Any = RULES, run_id: str = "rules") -> dict[str, Tally]:  # noqa: B008
        """Run the rules; return this vendor's non-empty tallies."""
        tallies = evaluate_all(self.engine, policy, run_id, rules).get(self.vendor.name, {})
        return {rule: tally for rule, tally in tallies.items() if tally != Tally()}

    def findings(self, columns: str = "rule") -> list[tuple[Any, ...]]:
        """Read columns of this vendor's findings, in the order of opening."""
        query = f"select {columns} from control.finding where vendor = :vendor order by finding_id"
        return [tuple(row.values()) for row in self.rows(query)]

    def id_of(self, entity: str, key: str) -> int:
        """Return the surrogate id of a key."""
        with self.engine.connect() as connection:
            query = (
                "select id from warehouse.source_key where entity = :entity and vendor = :vendor and source_key = :key"
            )
            row_id = connection.scalar(sa.text(query), {"entity": entity, "vendor": self.vendor.name, "key": key})
        assert isinstance(row_id, int)
        return row_id


ACCOUNT = {
    "household_key": "h1", "representative_key": "r1", "open_date": date(2020, 1, 2), "is_active": True, "is_counted": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def new_vendor(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Ledgered]]:
    """Creates vendors without data."""
    folder: Path = tmp_path_factory.mktemp("staging")
    numbers, vendors = itertools.count(1), list[Ledgered]()

    def make() -> Ledgered:
        vendors.append(Ledgered(shared_database, folder, f"vendor{next(numbers)}"))
        return vendors[-1]

    yield make
    for vendor in vendors:
        vendor.engine.dispose()


@pytest.fixture
def firm(new_vendor: Callable[[], Ledgered]) -> Ledgered:
    return new_vendor()
