"""Store the results of identity matching in the warehouse."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

import pyarrow as pa
import sqlalchemy as sa

from include.contract import Vendor
from include.database import statistics
from include.database.copy import copy_in
from include.identity.security import Conflict

# Close rows whose identity changed or ended; open new ones. A record that represents itself has no row.
_CLOSE = sa.text("""
update warehouse.identity i set recorded_to = :at
where i.entity = :entity and i.recorded_to is null and (cast(:within as bigint[]) is null or i.id = any(:within))
  and not exists (select from found f where f.id = i.id and f.identity_id = i.identity_id)
""")
# The two statements of an insertion: one that also looked for open rows would search the table that it fills, once per record.
_DROP_OPEN = sa.text("""
delete from found f using warehouse.identity i where i.entity = :entity and i.id = f.id and i.recorded_to is null
""")
_OPEN = sa.text("""
insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
select :entity, f.id, f.identity_id, :how, :at, :run_id from found f
""")

_FORGET_LESSONS = sa.text("delete from control.identity_lesson")
_STORE_LESSON = sa.text("""
insert into control.identity_lesson (rule, answers, same, expected, bits, run_id) values (:rule, :answers, :same, :expected, :bits, :run_id)
""")
_FORGET_CONFLICTS = sa.text("delete from control.security_conflict where number <> all(:numbers)")
_STORE_CONFLICT = sa.text("""
insert into control.security_conflict (number, security_ids, kinds, run_id) values (:number, :security_ids, :kinds, :run_id)
on conflict (number) do update set security_ids = excluded.security_ids, kinds = excluded.kinds, run_id = excluded.run_id
""")
_RANKS = """
unnest(cast(:vendors as text[]), cast(:attributes as text[]), cast(:ranks as int[])) declared(vendor, attribute, rank)
"""
_FORGET_RANKS = sa.text(f"""
delete from control.survivorship s
where not exists (select from {_RANKS} where (declared.vendor, declared.attribute) = (s.vendor, s.attribute))
""")  # noqa: S608
_STORE_RANKS = sa.text(f"""
insert into control.survivorship as s select * from {_RANKS}
on conflict (vendor, attribute) do update set rank = excluded.rank where s.rank <> excluded.rank
""")  # noqa: S608
# Most reasons are those of the run before. Their rows stay, with the id of the run that found them.
_COMPARE = """
create temporary table difference on commit drop as
select r.*, t.left_id, t.right_id
from reasons r full join (
    select * from control.{table} t
    where t.entity = :entity and (cast(:within as bigint[]) is null or t.left_id = any(:within) or t.right_id = any(:within))
) t on t.left_id = r."left" and t.right_id = r."right"
where ({read}) is distinct from ({stored})
"""
_DELETE = """
delete from control.{table} t using difference d where t.entity = :entity and t.left_id = d.left_id and t.right_id = d.right_id
"""
_INSERT = """
insert into control.{table} (entity, left_id, right_id, {columns}, run_id)
select :entity, "left", "right", {columns}, :run_id from difference where "left" is not null
"""


def rank_vendors(connection: sa.Connection, vendors: Sequence[Vendor]) -> None:
    """Store each vendor's declared rank for each attribute; it decides whose value is used. Change only rows that differ."""
    ranks = [(v.name, name, rank) for v in vendors for name, rank in v.ranks.items()]
    columns = [list(column) for column in zip(*ranks, strict=True)] or [[], [], []]
    declared = dict(zip(("vendors", "attributes", "ranks"), columns, strict=True))
    connection.execute(_FORGET_RANKS, declared)
    connection.execute(_STORE_RANKS, declared)


def store_identities(
    connection: sa.Connection,
    entity: str,
    identities: Mapping[int, int],
    how: str,
    run_id: str,
    within: Collection[int] | None = None,
) -> int:
    """Store which record represents each record, with history; return the number of records whose identity changed.

    Args:
        connection: The transaction of the run.
        entity: The entity of the records.
        identities: Record id -> id of the record that represents it.
        how: What matched the records; it is stored with each identity.
        run_id: The run.
        within: Ids of the records that were matched; None for all. The identities of other records stay.
    """
    pairs = pa.table({"id": list(identities), "identity_id": list(identities.values())}, schema=_PAIR)
    copy_in(connection, "found", _PAIR, [pairs])
    connection.execute(sa.text("analyze found"))  # without statistics, the planner searches all of it for each record
    # Don't use the transaction's start time: this run may have waited for a run that began later.
    values = {
        "entity": entity,
        "how": how,
        "run_id": run_id,
        "within": None if within is None else list(within),
        "at": connection.scalar(sa.text("select clock_timestamp()")),
    }
    closed = connection.execute(_CLOSE, values).rowcount
    connection.execute(_DROP_OPEN, values)
    opened = connection.execute(_OPEN, values).rowcount
    connection.execute(sa.text("drop table found"))
    if within is None and opened:
        statistics.analyze(connection, "warehouse.identity")
    return max(closed, opened)


def store_reasons(
    connection: sa.Connection,
    entity: str,
    links: pa.Table,
    review: pa.Table,
    run_id: str,
    within: Collection[int] | None = None,
) -> None:
    """Replace an entity's links and pairs for review; rows that stay the same are not written.

    Args:
        connection: The transaction of the run.
        entity: The entity of the records.
        links: The links of the matched records (schema LINKS).
        review: Table with the schema REVIEW: all pairs for review.
        run_id: The run.
        within: Ids of the records that were matched; None for all. The links of other records stay.
    """
    _replace_reasons(connection, "identity_link", entity, links, run_id, within)
    _replace_reasons(connection, "identity_review", entity, review, run_id, None)


def _replace_reasons(
    connection: sa.Connection, table: str, entity: str, pairs: pa.Table, run_id: str, within: Collection[int] | None
) -> None:
    copy_in(connection, "reasons", pairs.schema, [pairs])
    connection.execute(sa.text("analyze reasons"))
    names = pairs.column_names[2:]
    columns, read, stored = (", ".join(f"{of}{name}" for name in names) for of in ("", "r.", "t."))
    parts = {"table": table, "columns": columns, "read": read, "stored": stored}
    values = {"entity": entity, "run_id": run_id, "within": None if within is None else list(within)}
    for statement in (_COMPARE, _DELETE, _INSERT):
        connection.execute(sa.text(statement.format(**parts)), values)
    connection.execute(sa.text("drop table reasons, difference"))


def store_lessons(connection: sa.Connection, lessons: pa.Table, run_id: str) -> None:
    """Replace the lessons (`LESSONS`) by those of this run."""
    connection.execute(_FORGET_LESSONS)
    if len(lessons):
        connection.execute(_STORE_LESSON, [row | {"run_id": run_id} for row in lessons.to_pylist()])


def store_conflicts(connection: sa.Connection, conflicts: Sequence[Conflict], run_id: str) -> None:
    """Replace the conflicts of securities by those of this run; conflicts that existed before keep the time of their first record."""
    connection.execute(_FORGET_CONFLICTS, {"numbers": [each.number for each in conflicts]})
    if conflicts:
        connection.execute(_STORE_CONFLICT, [asdict(each) | {"run_id": run_id} for each in conflicts])


_PAIR = pa.schema({"id": pa.int64(), "identity_id": pa.int64()})
