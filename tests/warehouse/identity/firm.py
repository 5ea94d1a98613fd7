"""Vendors that load the people, accounts and securities of one firm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from include.identity.policy import Policy
from include.identity.resolve import Resolved, resolve
from include.warehouse import schema
from tests.conftest import Database
from tests.warehouse.loading import DAY, NEXT, Loader, position

JOHN = {"first_name": "John", "last_name": "Sampleton", "birth_date": date(1960, 2, 3), "email": "john@example.org"}
MARY = {"first_name": "Mary", "last_name": "Sampleton", "birth_date": date(1962, 5, 6), "email": "mary@example.org"}
HOME = {"street": "12 Example St", "city": "Omaha", "state_code": "NE", "postal_code": "68102"}


class Firm:
    """Vendors that load people and households, in one database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.engine = schema.engine(database.url())
        self.loaders: dict[str, Loader] = {}
        self.ranks: dict[str, dict[str, int]] = {}

    def load(self, vendor: str, entity: str, *rows: Mapping[str, Any], day: date = DAY) -> None:
        loader = self.loaders.setdefault(vendor, Loader(self.database, self.folder, vendor))
        loader.load(entity, rows, day)

    def people(self, vendor: str, *people: Mapping[str, Any], day: date = DAY) -> None:
        """Load people."""
        rows = [{"person_key": f"p{n}"} | dict(person) for n, person in enumerate(people, 1)]
        self.load(vendor, "person", *rows, day=day)

    def resolve(self, run_id: str = "r", policy: Policy | None = None) -> Resolved | None:
        vendors = [replace(each.vendor, ranks=self.ranks.get(name, {"": 100})) for name, each in self.loaders.items()]
        return resolve(self.engine, vendors, run_id, NEXT, policy)

    def known(self, view: str = "known_person") -> list[dict[str, Any]]:
        return self.database.rows(f"select * from warehouse.{view} where is_anchor order by identity_id")

    def close(self) -> None:
        for engine in (self.engine, *(loader.engine for loader in self.loaders.values())):
            engine.dispose()


APPLE = {"security_key": "s1", "cusip": "037833100", "ticker": "AAPL"}


def load_position(firm: Firm, vendor: str, security: Mapping[str, Any], money: str) -> None:
    """Load an account with one position, in a household of its own."""
    firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"})
    firm.load(vendor, "account", {"account_key": "a1", "is_counted": True})
    firm.load(
        vendor,
        "account_owner",
        {
            "account_owner_key": "a1:h1",
            "account_key": "a1",
            "household_key": "h1",
            "share_ratio": Decimal(1),
            "role": "primary",
        },
    )
    firm.load(vendor, "security", security)
    firm.load(vendor, "position", position("p1", money=money))
