"""The SQL that loads a fact, generated from the entity's declaration; every value is a bound parameter."""

from __future__ import annotations

from functools import cached_property

import sqlalchemy as sa

from include.canonical import Entity
from include.warehouse.protection import is_unprotected


class Statement:
    """Statements on `incoming_<entity>` (the copied rows), `compared_<entity>` (the rows that differ) and the warehouse table.

    Args:
        entity: A snapshot or an event. Names come from our own declaration, never from data.
    """

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._table = f"warehouse.{entity.name}"
        self._incoming = f"incoming_{entity.name}"
        self._ids = [column.replace("_key", "_id") for column in entity.references]
        self._values = [*self._ids, *entity.fields]
        dated = ["business_date"] if entity.kind == "snapshot" else []
        self._columns = [*dated, entity.key, *self._values]
        on_day = "f.business_date = :business_date and " if dated else ""
        self._open = f"{on_day}f.vendor = :vendor and f.recorded_to is null"

    @cached_property
    def count_incoming(self) -> sa.TextClause:
        """Count the copied rows."""
        return sa.text(f"select count(*) from {self._incoming}")  # noqa: S608

    @cached_property
    def any_open(self) -> sa.TextClause:
        """Select whether any stored row could be changed by these rows."""
        return sa.text(f"select exists (select from {self._table} f where {self._open})")  # noqa: S608

    @cached_property
    def insert_all(self) -> sa.TextClause:
        """Insert every row whose references are known; used if nothing is stored yet."""
        return self._insert(f"(select {self._selected} from {self._incoming} i{self._joins('join')})", "")  # noqa: S608

    @cached_property
    def compare(self) -> sa.TextClause:
        """Create `compared_<entity>`: the rows that differ from the stored ones, with surrogate ids and the `outcome` of each.

        The outcome is new, changed, older (than the stored state of an event), or lost (a reference is unknown).
        `compared_run_id` is the load that wrote the stored state.
        """
        entity = self._entity
        lost = " or ".join(f"k{n}.id is null" for n in range(len(self._ids))) or "false"
        older = f" when {self._is_older} then 'older'" if entity.version else ""
        compared = [c for c in self._values if not (entity.is_observed and c == entity.version)]
        stored = ", ".join(f"f.{c}" for c in compared)
        arrived = ", ".join(self._arrived[c] for c in compared)
        return sa.text(
            f"create temporary table compared_{entity.name} on commit drop as select * from ("  # noqa: S608
            f"select {self._selected}, case when {lost} then 'lost' when f.{entity.key} is null then 'new'"
            f" when ({stored}) is not distinct from ({arrived}) then 'same'{older} else 'changed' end as outcome"
            f", f.source_run_id as compared_run_id from {self._incoming} i{self._joins('left join')}"
            f" left join {self._table} f on {self._open} and f.{entity.key} = i.{entity.key}) r where outcome <> 'same'"
        )

    @cached_property
    def count_outcomes(self) -> sa.TextClause:
        """Count the rows by outcome."""
        return sa.text(f"select outcome, count(*) from compared_{self._entity.name} group by 1")  # noqa: S608

    @cached_property
    def close_changed(self) -> sa.TextClause:
        """Close the stored rows that the incoming rows correct, unless another load has written them since the comparison."""
        return sa.text(
            f"update {self._table} f set recorded_to = now() from compared_{self._entity.name} r"  # noqa: S608
            f" where r.outcome = 'changed' and {self._open} and f.{self._entity.key} = r.{self._entity.key}"
            " and f.source_run_id = r.compared_run_id"
        )

    @cached_property
    def insert_changed(self) -> sa.TextClause:
        """Insert new rows, and the new state of the rows just closed."""
        return self._insert(f"compared_{self._entity.name}", " where outcome in ('new', 'changed')")

    @cached_property
    def money_of_run(self) -> sa.TextClause:
        """Sum the money of the rows that this load wrote."""
        return sa.text(
            f"select sum({self._entity.money}) from {self._table} f"  # noqa: S608
            f" where {self._open} and f.source_run_id = :source_run_id"
        )

    @cached_property
    def sum_open(self) -> sa.TextClause:
        """Count the open rows and sum their money."""
        money = self._entity.money or "null::numeric"
        return sa.text(f"select count(*) as rows, sum({money}) as money from {self._table} f where {self._open}")  # noqa: S608

    @cached_property
    def withdraw(self) -> sa.TextClause:
        """Close the stored rows that are missing from a full pull, unless a dead letter may describe them.

        For an event, only rows within the bounds of the pull, by edit time or by date.
        """
        key, within = self._entity.key, ""
        if self._entity.kind == "event":
            edited = f"f.{self._entity.version} >= cast(:edited_from as timestamptz) and f.{self._entity.version} < cast(:edited_to as timestamptz)"
            dated = f"f.{self._entity.dated} between cast(:first_date as date) and :business_date"
            within = f" and case when :is_edited then {edited} else {dated} end"
        return sa.text(
            f"update {self._table} f set recorded_to = now() where {self._open}{within}"  # noqa: S608
            f" and not exists (select from {self._incoming} i where f.{key} = i.{key})"
            f" and {is_unprotected(self._entity, 'f')}"
        )

    @cached_property
    def money_of_keys(self) -> sa.TextClause:
        """Sum the money now stored under the incoming keys; a superseded row counts with its incoming amount."""
        entity = self._entity
        stored = f"f.{entity.money}"
        if entity.version:
            stored = f"case when {self._is_older} then i.{entity.money} else {stored} end"
        return sa.text(
            f"select sum({stored}) from {self._incoming} i"  # noqa: S608
            f" join {self._table} f on {self._open} and f.{entity.key} = i.{entity.key}"
        )

    @property
    def _is_older(self) -> str:
        """SQL: whether the stored state wins over the incoming one: it is newer, or it is final and a newer time does not reopen it."""
        older = f"f.{self._entity.version} > i.{self._entity.version}"
        if self._entity.final is None:
            return older
        return f"({self._wins_as_final('f', 'i')} or {older} and not ({self._wins_as_final('i', 'f')}))"

    def _wins_as_final(self, state: str, other: str) -> str:
        """Return the SQL condition that a final state wins over a non-final one that does not reopen it."""
        entity = self._entity
        reopened = f"coalesce({other}.{entity.reopened} > {state}.{entity.version}, false)"
        return f"coalesce({state}.{entity.final}, false) and not coalesce({other}.{entity.final}, false) and not {reopened}"

    @property
    def _arrived(self) -> dict[str, str]:
        """Warehouse column -> SQL of its value in an incoming row."""
        ids = {column: f"k{n}.id" for n, column in enumerate(self._ids)}
        return {column: ids.get(column, f"i.{column}") for column in self._columns}

    @property
    def _selected(self) -> str:
        return ", ".join(f"{arrived} as {column}" for column, arrived in self._arrived.items())

    def _joins(self, verb: str) -> str:
        return "".join(
            f" {verb} warehouse.source_key k{n} on k{n}.entity = '{target}' and k{n}.vendor = :vendor"
            f" and k{n}.source_key = i.{column}"
            for n, (column, target) in enumerate(self._entity.references.items())
        )

    def _insert(self, source: str, where: str) -> sa.TextClause:
        columns = ", ".join(self._columns)
        return sa.text(
            f"insert into {self._table} (vendor, {columns}, recorded_from, source_run_id)"  # noqa: S608
            f" select :vendor, {columns}, now(), :source_run_id from {source} r{where}"
        )
