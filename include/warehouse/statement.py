"""The SQL that loads a fact, generated from the entity's declaration; every value is a bound parameter."""

from __future__ import annotations

from functools import cached_property

import sqlalchemy as sa

from include.canonical import Entity
from include.control.ledger import LATEST_START
from include.warehouse.protection import is_unprotected

_LATER_LOADS = f"""
from control.ledger
where vendor = :vendor and entity = :entity and stage = 'load' and extracted_at > :extracted_at and extracted_at <= {LATEST_START}
"""
"""SQL of the loads of an entity's pulls that started later than this pull."""
_IS_LATER = f"f.source_run_id = any(array(select ledger_id {_LATER_LOADS}))"
"""SQL condition that the pull of a stored row `f` started later than this pull. PostgreSQL lists the later loads once a statement."""
_NEWER_REACHES = f"""
select cast(notes -> 'reach' ->> 'edited_from' as timestamptz) as edited_from, cast(notes -> 'reach' ->> 'edited_to' as timestamptz) as edited_to,
       cast(notes -> 'reach' ->> 'first_date' as date) as first_date, business_date as last_date
{_LATER_LOADS} and table_name = :table_name and notes -> 'reach' is not null
"""
"""SQL query: the ranges that full pulls covered which started later than this pull and are loaded already (see `fact.Reach`)."""


class Statement:
    """The statements for one entity.

    Their tables are `incoming_<entity>` (the copied rows, with surrogate ids), `compared_<entity>` (the rows that are new or differ), and the
    entity's table in the warehouse. An open row is a row of the warehouse table without `recorded_to`.

    For few rows, the statements look each key up in the index. They leave the planner no choice, because it has no statistics on rows loaded
    today: it takes a day's millions of rows for one row, and would read all of them for each key.

    Args:
        entity: A snapshot or an event. Names come from our own declaration, never from data.
        has_few: Whether few rows were copied.
    """

    def __init__(self, entity: Entity, *, has_few: bool = False) -> None:
        self.has_few = has_few
        self._entity = entity
        self._table = f"warehouse.{entity.name}"
        self._incoming = f"incoming_{entity.name}"
        self._values = [*entity.ids, *entity.fields]
        dated = ["business_date"] if entity.kind == "snapshot" else []
        self._columns = [*dated, entity.key, *self._values]
        on_day = "f.business_date = :business_date and " if dated else ""
        self._open = f"{on_day}f.vendor = :vendor and f.recorded_to is null"

    @cached_property
    def needs_comparison(self) -> sa.TextClause:
        """Select whether the vendor has open rows (for a snapshot, of the business date), or a newer full pull may lack an incoming row."""
        newer = f" or exists ({_NEWER_REACHES})" if self._entity.is_removable else ""
        return sa.text(f"select exists (select from {self._table} f where {self._open}){newer}")  # noqa: S608

    @cached_property
    def index_incoming(self) -> sa.TextClause:
        """Create an index on the keys of the incoming rows. Only in the collation of the stored keys can a join use it."""
        return sa.text(f'create index on {self._incoming} ({self._entity.key} collate "C")')

    @cached_property
    def index_compared(self) -> sa.TextClause:
        """Create an index on the keys of the rows that are new or differ."""
        return sa.text(f'create index on compared_{self._entity.name} ({self._entity.key} collate "C")')

    @cached_property
    def compare(self) -> sa.TextClause:
        """Create `compared_<entity>`: the incoming rows that are new or differ from the open row.

        The column `outcome` is `new`, `changed`, `older` (the stored state wins), or `removed` (there is no open row, and a
        newer full pull that covers the event lacks it). `compared_run_id` is the load that wrote the open row.
        """
        entity = self._entity
        newer, removed = "", ""
        if entity.is_removable:
            newer = f"with newer_reach as materialized ({_NEWER_REACHES}) "
            removed = f" when f.{entity.key} is null and {self._is_removed} then 'removed'"
        compared = [c for c in self._values if not (entity.is_observed and c == entity.version)]
        stored, arrived = (", ".join(f"{row}.{c}" for c in compared) for row in "fi")
        return sa.text(
            f"create temporary table compared_{entity.name} on commit drop as {newer}select * from ("  # noqa: S608
            f"select i.*, case{removed} when f.{entity.key} is null then 'new'"
            f" when ({stored}) is not distinct from ({arrived}) then 'same' when {self._is_older} then 'older' else 'changed' end as outcome"
            f", f.source_run_id as compared_run_id from {self._incoming} i left join {self._stored_beside}) r where outcome <> 'same'"
        )

    @cached_property
    def count_outcomes(self) -> sa.TextClause:
        """Count the rows by outcome."""
        return sa.text(f"select outcome, count(*) from compared_{self._entity.name} group by 1")  # noqa: S608

    @property
    def days_of_run(self) -> sa.TextClause:
        """Select the days of the rows that this load wrote."""
        return sa.text(
            f"select distinct {self._entity.dated} from {self._table} f"  # noqa: S608
            f" where {self._open} and f.source_run_id = :source_run_id order by 1"
        )

    @property
    def days_of_changes(self) -> sa.TextClause:
        """Select the days of the new rows, and of both states of the changed rows; used before `close_changed`."""
        entity, compared = self._entity, f"compared_{self._entity.name}"
        return sa.text(
            f"select {entity.dated} from {compared} where outcome in ('new', 'changed') union"  # noqa: S608
            f" select f.{entity.dated} from {compared} r join {self._table} f on {self._open} and f.{entity.key} = r.{entity.key}"
            f" where r.outcome = 'changed'{self._among_changed} order by 1"
        )

    @cached_property
    def close_changed(self) -> sa.TextClause:
        """Close the open rows that changed, except rows that another load has replaced since the comparison."""
        return sa.text(
            f"update {self._table} f set recorded_to = now() from compared_{self._entity.name} r"  # noqa: S608
            f" where r.outcome = 'changed' and {self._open} and f.{self._entity.key} = r.{self._entity.key}"
            f" and f.source_run_id = r.compared_run_id{self._among_changed}"
        )

    @cached_property
    def insert_changed(self) -> sa.TextClause:
        """Insert the new rows, and the new state of the changed rows."""
        columns = ", ".join(self._columns)
        return sa.text(
            f"insert into {self._table} (vendor, {columns}, recorded_from, source_run_id)"  # noqa: S608
            f" select :vendor, {columns}, now(), :source_run_id from compared_{self._entity.name} where outcome in ('new', 'changed')"
        )

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
        """Close the open rows that are missing from a full pull, unless a dead letter may describe them.

        The rows of a pull or push that started later stay open, because they may be newer than this pull. For an event, only rows whose edit
        time or date is within the range of the pull are closed.
        """
        key, within = self._entity.key, ""
        if self._entity.kind == "event":
            edited = f"f.{self._entity.version} >= cast(:edited_from as timestamptz) and f.{self._entity.version} < cast(:edited_to as timestamptz)"
            dated = f"f.{self._entity.dated} between cast(:first_date as date) and :business_date"
            within = f" and case when :is_edited then {edited} else {dated} end"
        return sa.text(
            f"update {self._table} f set recorded_to = now() where {self._open}{within} and not {_IS_LATER}"  # noqa: S608
            f" and not exists (select from {self._incoming} i where f.{key} = i.{key})"
            f" and {is_unprotected(self._entity, 'f')}"
        )

    @cached_property
    def money_of_keys(self) -> sa.TextClause:
        """Sum the money stored under the incoming keys, for comparison with the incoming money.

        The incoming amount of a superseded row is added instead of the stored one.
        """
        entity, removed = self._entity, ""
        stored = f"case when {self._is_older} then i.{entity.money} else f.{entity.money} end"
        if entity.is_removable:
            removed = f" union all select {entity.money} from compared_{entity.name} where outcome = 'removed'"  # noqa: S608
        return sa.text(
            f"select sum(money) from (select {stored} as money from {self._incoming} i join {self._stored_beside}{removed}) m"  # noqa: S608
        )

    @property
    def _stored_beside(self) -> str:
        """SQL of the open rows `f` with the keys of the incoming rows `i`, for a join."""
        is_same = f"{self._open} and f.{self._entity.key} = i.{self._entity.key}"
        if self.has_few:
            return f"lateral (select * from {self._table} f where {is_same} offset 0) f on true"  # noqa: S608
        return f"{self._table} f on {is_same}"

    @property
    def _is_removed(self) -> str:
        """SQL condition that a newer full pull covers the incoming event `i`, so that it was removed at the vendor if there is no open row.

        A row that an open dead letter may describe is not removed.
        """
        version, dated = self._entity.version, self._entity.dated
        return (
            f"exists (select from newer_reach n where i.{version} >= n.edited_from and i.{version} < n.edited_to"
            f" or i.{dated} between n.first_date and n.last_date) and {is_unprotected(self._entity, 'i')}"
        )

    @property
    def _among_changed(self) -> str:
        """SQL condition that is true for every changed row, and lets the index find these rows."""
        if not self.has_few:
            return ""
        changed = f"select {self._entity.key} from compared_{self._entity.name} where outcome = 'changed'"  # noqa: S608
        return f" and f.{self._entity.key} = any(array({changed}))"

    @property
    def _is_older(self) -> str:
        """SQL condition that the stored state `f` wins over the incoming state `i`.

        For a snapshot, the state of the pull that started later wins. For an event, a final state wins over a non-final one (see
        `_wins_as_final`). Otherwise, the newer version wins or, if the versions are equal, the state of the pull that started later.
        """
        version = self._entity.version
        if version is None:
            return _IS_LATER
        older = f"(f.{version} > i.{version} or f.{version} is not distinct from i.{version} and {_IS_LATER})"
        if self._entity.final is None:
            return older
        return f"({self._wins_as_final('f', 'i')} or {older} and not ({self._wins_as_final('i', 'f')}))"

    def _wins_as_final(self, state: str, other: str) -> str:
        """Return the SQL condition that `state` is final, and `other` is neither final nor reopened after it. Both are table aliases."""
        entity = self._entity
        reopened = f"coalesce({other}.{entity.reopened} > {state}.{entity.version}, false)"
        return f"coalesce({state}.{entity.final}, false) and not coalesce({other}.{entity.final}, false) and not {reopened}"
