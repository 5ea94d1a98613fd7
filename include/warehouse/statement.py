"""The SQL of loading a fact, made from the entity's declaration; every value is a bound parameter."""

from __future__ import annotations

from functools import cached_property

import sqlalchemy as sa

from include.canonical import Entity


class Statement:
    """Statements over `incoming_<entity>` (as copied), `resolved` (with surrogate ids) and the warehouse's table.

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
        self._same_key = f"f.{entity.key} = r.{entity.key}"

    @cached_property
    def count_incoming(self) -> sa.TextClause:
        """How many rows were copied."""
        return sa.text(f"select count(*) from {self._incoming}")  # noqa: S608

    @cached_property
    def any_open(self) -> sa.TextClause:
        """Whether anything is stored yet that these rows could change."""
        return sa.text(f"select exists (select from {self._table} f where {self._open})")  # noqa: S608

    @property
    def _selected(self) -> str:
        """Incoming rows with surrogate ids for keys."""
        entity = self._entity
        joins = "".join(
            f" join warehouse.source_key k{n} on k{n}.entity = '{target}' and k{n}.vendor = :vendor"
            f" and k{n}.source_key = i.{column}"
            for n, (column, target) in enumerate(entity.references.items())
        )
        ids = {column: f"k{n}.id" for n, column in enumerate(self._ids)}
        columns = ", ".join(f"{ids.get(c, f'i.{c}')} as {c}" for c in self._columns)
        return f"select {columns} from {self._incoming} i{joins}"  # noqa: S608

    @cached_property
    def insert_all(self) -> sa.TextClause:
        """Every row, where nothing is stored yet."""
        return self._insert(f"({self._selected})", "")

    @cached_property
    def resolve(self) -> sa.TextClause:
        """The rows with surrogate ids, kept for the statements that follow."""
        return sa.text(f"create temporary table resolved_{self._entity.name} on commit drop as {self._selected}")

    @cached_property
    def close_changed(self) -> sa.TextClause:
        """Closes what the incoming rows correct; an older state of an event corrects nothing."""
        newer = (
            f" and not coalesce(f.{self._entity.version} > r.{self._entity.version}, false)"
            if self._entity.version
            else ""
        )
        return sa.text(
            f"merge into {self._table} f using resolved_{self._entity.name} r on {self._open} and {self._same_key}"
            f" when matched and {self._differs}{newer} then update set recorded_to = now()"
        )

    @cached_property
    def insert_missing(self) -> sa.TextClause:
        """Rows that have no open state: new ones, and the new state of those just closed."""
        missing = f" where not exists (select from {self._table} f where {self._open} and {self._same_key})"
        return self._insert(f"resolved_{self._entity.name}", missing)

    @cached_property
    def count_superseded(self) -> sa.TextClause:
        """Rows older than what is stored."""
        return sa.text(
            f"select count(*) from resolved_{self._entity.name} r join {self._table} f on {self._open} and {self._same_key}"  # noqa: S608
            f" where f.{self._entity.version} > r.{self._entity.version} and {self._differs}"
        )

    @cached_property
    def withdraw(self) -> sa.TextClause:
        """Closes what a whole snapshot no longer has; a dead letter is not gone."""
        entity = self._entity
        return sa.text(
            f"update {self._table} f set recorded_to = now() where {self._open}"  # noqa: S608
            f" and not exists (select from resolved_{entity.name} r where {self._same_key})"
            f" and not (f.{entity.key} = any(:dead_keys))"
        )

    @cached_property
    def money_of_run(self) -> sa.TextClause:
        """Money of the rows that this load wrote."""
        day = " and business_date = :business_date" if self._entity.kind == "snapshot" else ""
        return sa.text(
            f"select sum({self._entity.money}) from {self._table} where source_run_id = :source_run_id{day}"  # noqa: S608
        )

    @cached_property
    def money_of_keys(self) -> sa.TextClause:
        """Money now stored under the incoming keys; a superseded row counts with what came in."""
        entity = self._entity
        stored = f"f.{entity.money}"
        if entity.version:
            stored = f"case when f.{entity.version} > r.{entity.version} then r.{entity.money} else {stored} end"
        return sa.text(
            f"select sum({stored}) from resolved_{entity.name} r join {self._table} f on {self._open} and {self._same_key}"  # noqa: S608
        )

    @property
    def _differs(self) -> str:
        stored, incoming = (", ".join(f"{alias}.{c}" for c in self._values) for alias in "fr")
        return f"({stored}) is distinct from ({incoming})"

    def _insert(self, source: str, where: str) -> sa.TextClause:
        columns = ", ".join(self._columns)
        return sa.text(
            f"insert into {self._table} (vendor, {columns}, recorded_from, source_run_id)"  # noqa: S608
            f" select :vendor, {columns}, now(), :source_run_id from {source} r{where}"
        )
