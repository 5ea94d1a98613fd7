"""The SQL that withdraws the records of a push, generated from the entity's declaration; every value is a bound parameter."""

from __future__ import annotations

from functools import cached_property

import sqlalchemy as sa

from include.canonical import Entity


class WithdrawalStatement:
    """The statements for one entity.

    Their table `withdrawn_<entity>` has a row for each affected record: its key (`record`), and the version to restore, which is null if
    there is none.

    Args:
        entity: The entity. Names come from our own declaration, never from data.
        columns: The columns of its table, without `recorded_from` and `recorded_to`.
    """

    def __init__(self, entity: Entity, columns: str) -> None:
        self._entity = entity
        self._columns = columns
        self._table = f"warehouse.{entity.name}"
        self._withdrawn = f"withdrawn_{entity.name}"

    @cached_property
    def find(self) -> sa.TextClause:
        """Create the table of the affected records.

        affected: records whose current version a withdrawn load wrote, and members of a set that a withdrawn load ended.
        earlier: the newest version of each affected record that no withdrawn load wrote.
        replaced: the earlier versions since which each version was followed by another, so the vendor never removed the record.
        """
        table, key = self._table, self._entity.key
        return sa.text(f"""
            create temporary table {self._withdrawn} on commit drop as
            with affected as (
                select distinct f.{key} from {table} f
                where {self._of("f")} and f.recorded_to is null and f.source_run_id = any(:withdrawn) {self._is_unconfirmed}
                  and not exists (select from {table} c where {self._newest_of("c")} and c.{key} = f.{key} and c.recorded_to is null
                                                          and c.source_run_id <> all(:withdrawn))
            ), earlier as (
                select distinct on (v.{key}) v.* from {table} v join affected a on a.{key} = v.{key}
                where {self._newest_of("v")} and v.recorded_to is not null and v.source_run_id <> all(:withdrawn)
                order by v.{key}, v.recorded_from desc
            ), replaced as (
                select * from earlier e
                where not exists (select from {table} w where {self._of("w")} and w.{key} = e.{key} and w.recorded_to >= e.recorded_to
                                  and not exists (select from {table} n where {self._of("n")} and n.{key} = w.{key}
                                                                          and n.recorded_from = w.recorded_to))
            )
            select a.{key} as record, r.* from affected a left join replaced r on r.{key} = a.{key}
        """)  # noqa: S608

    @cached_property
    def close(self) -> sa.TextClause:
        """Close the current versions that a withdrawn load wrote."""
        is_described = self._entity.kind == "description"
        since = "and (r.valid_from is null or f.valid_from >= r.valid_from)" if is_described else ""
        return sa.text(f"""
            update {self._table} f set recorded_to = now() from {self._withdrawn} r
            where {self._of("f")} and f.{self._entity.key} = r.record and f.recorded_to is null
              and f.source_run_id = any(:withdrawn) {since}
        """)  # noqa: S608

    @cached_property
    def restore(self) -> sa.TextClause:
        """Add the earlier versions again."""
        return sa.text(f"""
            insert into {self._table} ({self._columns}, recorded_from)
            select {self._columns}, now() from {self._withdrawn} where {self._entity.key} is not null
        """)  # noqa: S608

    @property
    def _is_unconfirmed(self) -> str:
        """SQL condition, with `and`, that no newer full pull confirms the record `f`.

        A full pull that does not list a record removes it from a snapshot; for a description, it records that the record is absent.
        """
        entity = self._entity
        if entity.kind == "snapshot":
            return "and not :is_confirmed"
        if entity.kind == "event":
            return ""
        return f"""
            and (not :is_confirmed or exists (
                select from control.absence b where {self._of("b")} and b.entity = '{entity.name}' and b.source_key = f.{entity.key}))
        """

    def _of(self, alias: str) -> str:
        """Return the SQL condition that a row is of the vendor and, for a snapshot, of the day; `alias` is the alias of its table."""
        on_day = f" and {alias}.business_date = :day" if self._entity.kind == "snapshot" else ""
        return f"{alias}.vendor = :vendor{on_day}"

    def _newest_of(self, alias: str) -> str:
        """Return the condition of `_of` that, for a description, also selects versions without an end."""
        is_described = self._entity.kind == "description"
        return self._of(alias) + (f" and {alias}.valid_to is null" if is_described else "")
