"""Prepare one round of sending: select the outgoing records whose parents Salesforce has accepted, and cut them into parts.

The functions read the temporary table `declare_outgoing(mapping.entity)`, which `include.crm.sync.delta` has created on the connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject
from include.crm.temporary import HELD_PARENT, SENDING, UNMET, TempTable, declare_outgoing

MOST_BYTES = 90_000_000
"""Target size of a file. Salesforce advises at most 100 MB; files may be a little larger, to keep a parent's children together."""

# A record waits until Salesforce has its parents, which users may have deleted, and while a parent has notable changes in an object that is held back.
_UNMET = """
select n.name, n.parent_key, n.sobject from (
    select distinct l.name, l.sobject, o.payload ->> l.name as parent_key
    from {outgoing} o, unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
    where not o.is_refused and o.held_by is null and o.payload ->> l.name is not null
) n
where not exists (select from control.crm_state p where p.sobject = n.sobject and p.external_key = n.parent_key
                  and p.missing is null)
   or exists (select from {held_parent} h where h.sobject = n.sobject and h.external_key = n.parent_key)
"""
_WAIT_FOR_PARENTS = """
update {outgoing} o set waits_for = u.sobject from {unmet} u
where not o.is_refused and o.held_by is null and o.payload ->> u.name = u.parent_key
"""

# A family is the records with the same parent. A part never splits a family. The size of a row's JSON, without the field names that it
# always contains, is an upper bound of the size of its CSV line.
_SENDING = """
with sized as materialized (  -- otherwise the payloads are sorted, on disk
    select external_key, family, octet_length(payload::text) - :names_bytes + octet_length(external_key) as size
    from {outgoing} where not is_refused and held_by is null and waits_for is null {only}
), placed as (
    select *, sum(size) over before as bytes_before, count(*) over before as rows_before from sized
    window before as (order by family, external_key rows between unbounded preceding and 1 preceding)
), parted as (
    select external_key, rows_before,
           (coalesce(min(bytes_before) over (partition by family), 0) / :most_bytes)::int
           + (min(rows_before) over (partition by family) / :most_rows)::int as part
    from placed
), numbered as (
    select external_key, part, row_number() over (partition by part order by rows_before) - 1 as row_number from parted
)
select n.part, n.external_key, o.payload, n.row_number from numbered n join {outgoing} o using (external_key)
"""


def hold_none(db: sa.Connection) -> None:
    """Create the empty table `HELD_PARENT`: no object is held back yet. Call it in a transaction."""
    HELD_PARENT.create(db)


def hold_children(db: sa.Connection, mapping: CrmObject) -> None:
    """Add an object's outgoing records with notable changes to `HELD_PARENT`, so that their children wait.

    A change is notable if the record is new, or if more than daily fields have changed.
    """
    query = f"""
        insert into {HELD_PARENT}
        select :sobject, external_key from {declare_outgoing(mapping.entity)} where is_notable and not is_refused
    """  # noqa: S608
    db.execute(sa.text(query), {"sobject": mapping.sobject})


def wait_for_parents(db: sa.Connection, mapping: CrmObject) -> int:
    """Mark the records that must wait for a parent, so that `cut` leaves them out.

    A record waits if Salesforce has not accepted one of its parents, or no longer has it, or if one of its parents is in `HELD_PARENT`.

    Args:
        db: The sync's connection, in a transaction, after `hold_none`.
        mapping: The object. The objects of its parents must have been sent before.

    Returns:
        The number of waiting records.
    """
    names = {"outgoing": declare_outgoing(mapping.entity), "held_parent": HELD_PARENT, "unmet": UNMET}
    db.execute(sa.text("update {outgoing} set waits_for = null where waits_for is not null".format_map(names)))
    if not UNMET.fill(db, _UNMET.format_map(names), mapping.lookups):
        return 0
    db.execute(sa.text(_WAIT_FOR_PARENTS.format_map(names)))
    return db.scalar(sa.text("select count(*) from {outgoing} where waits_for is not null".format_map(names))) or 0


def cut(db: sa.Connection, mapping: CrmObject, most_rows: int, only: Sequence[str] = ()) -> tuple[TempTable, list[int]]:
    """Create the table of an object's records to send, cut into parts; return the table and the part numbers.

    Args:
        db: The sync's connection, in a transaction.
        mapping: The object.
        most_rows: Target number of rows per part. A part may have more, because records with the same parent stay together.
        only: The keys to include; empty for all.
    """
    chosen = "and external_key in (select unnest(cast(:only as text[])))" if only else ""
    names_bytes = sum(len(f.name.encode()) for f in mapping.fields if f.owner == "vendor" and not f.unknown)
    values = {"names_bytes": names_bytes, "most_bytes": MOST_BYTES, "most_rows": most_rows, "only": list(only)}
    SENDING.fill(db, _SENDING.format(outgoing=declare_outgoing(mapping.entity), only=chosen), values)
    db.execute(sa.text(f"create index on {SENDING} (part)"))
    db.execute(sa.text(f"analyze {SENDING}"))
    return SENDING, list(db.scalars(sa.text(f"select distinct part from {SENDING} order by part")))  # noqa: S608


def create_part(db: sa.Connection, rows: Sequence[tuple[str, Mapping[str, str | None]]]) -> TempTable:
    """Create the table of records to send from keys and payloads, as one part; return the table.

    Args:
        db: The sync's connection, in a transaction.
        rows: Pairs of key and payload; at least one.
    """
    SENDING.create(db)
    db.execute(
        sa.text(f"insert into {SENDING} values (0, :key, :payload, :number)"),  # noqa: S608
        [{"key": key, "payload": json.dumps(payload), "number": n} for n, (key, payload) in enumerate(rows)],
    )
    return SENDING
