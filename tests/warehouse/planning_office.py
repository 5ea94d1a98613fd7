"""A firm of four vendors that know the same household or its person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from tests.warehouse.loading import DAY, Loader

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
COMPUTED = {"computed_on": DAY, "computed_at": NOON, "scenario": "current"}


class Office:
    """A portfolio system, two planners and a risk vendor, which share one household or its person."""

    def __init__(self, new_loader: Callable[[], Loader]) -> None:
        self.of = {vendor: new_loader() for vendor in ("pms", "first", "second", "risk")}
        self.of["pms"].load("representative", [{"representative_key": "r1", "name": "Rep Sample"}])
        for vendor in ("pms", "first", "second"):
            home = {"household_key": "h1", "name": f"Family {vendor}", "representative_key": "r1"}
            self.of[vendor].load("household", [home])
            self.of[vendor].load("person", [{"person_key": "p1", "name": f"Ada {vendor}", "household_key": "h1"}])
        self.of["risk"].load("person", [{"person_key": "p1", "name": "Ada Risk"}])
        for rank, vendor in enumerate(self.of):
            self.do("insert into control.survivorship values (:vendor, '', :rank)", vendor, rank=rank)
        for vendor in ("first", "second"):
            self.join("household", vendor, "h1")
        for vendor in ("first", "second", "risk"):
            self.join("person", vendor, "p1")

    def do(self, statement: str, vendor: str = "pms", **values: Any) -> None:
        self.of[vendor].database.do(statement, **({"vendor": self.of[vendor].vendor.name} | values))

    def id_of(self, vendor: str, entity: str, key: str) -> int:
        query = "select id from warehouse.source_key where entity = :entity and vendor = :vendor and source_key = :key"
        [row] = self.of[vendor].rows(query, entity=entity, key=key)
        return int(row["id"])

    def join(self, entity: str, vendor: str, key: str, to: str = "") -> None:
        """Link a vendor's record to one of the portfolio system's."""
        known_as = "account" if entity == "outside_account" else entity
        self.of["pms"].database.do(
            """
            insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id)
            values (:entity, :id, :other, now(), 'test')
            """,
            entity=known_as, id=self.id_of(vendor, entity, key), other=self.id_of("pms", known_as, to or key),
        )  # fmt: skip

    def plan(self, vendor: str, *plans: dict[str, Any], day: date = DAY) -> None:
        rows = [{"household_key": "h1", "is_base": True, "name": "Base", "updated_on": DAY} | plan for plan in plans]
        self.of[vendor].load("plan", rows, day)

    def result(self, vendor: str, *results: dict[str, Any], day: date = DAY) -> None:
        rows = [COMPUTED | {"household_key": "h1", "plan_key": "n1", "is_stale": False} | row for row in results]
        self.of[vendor].load("plan_result", rows, day)

    def query_mart(self, mart: str, columns: str, at: Any = "infinity", where: str = "true") -> list[tuple[Any, ...]]:
        """Return a mart's rows about the household, as known at a time."""
        about = "" if mart == "questionnaire_age" else " and household_id = :household"
        rows = self.of["pms"].rows(
            f"select {columns} from mart.{mart}_as_known(:at) where {where}{about} order by 1",
            at=at, household=self.id_of("pms", "household", "h1"),
        )  # fmt: skip
        return [tuple(row.values()) for row in rows]
