"""One round of sending: the outgoing records whose parents Salesforce has accepted, cut into parts.

Temporary tables of the session that compared (see `include.crm.sync.delta`):
    held_parent          sobject, external_key: records with notable changes in an object that is held back
    sending              records of one round, cut into parts: one part is one job
    waiting              keys that Salesforce did not accept this time, and may accept the next
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject

MOST_BYTES = 90_000_000
"""Target size of a file. Salesforce advises at most 100 MB; files may be a little larger, to keep a parent's children together."""

_HELD_PARENT = sa.text('create temporary table if not exists held_parent (sobject text, external_key text collate "C")')

# A record waits for its parents: until Salesforce has accepted them, and while they have notable changes in an object that is held
# back.
_UNMET = """
create temporary table unmet as
select n.name, n.parent_key, n.sobject from (
    select distinct l.name, l.sobject, o.payload ->> l.name as parent_key
    from outgoing_{entity} o, unnest(cast(:links as text[]), cast(:parents as text[])) l(name, sobject)
    where not o.is_refused and o.held_by is null and o.payload ->> l.name is not null
) n
where not exists (select from control.crm_state p where p.sobject = n.sobject and p.external_key = n.parent_key)
   or exists (select from held_parent h where h.sobject = n.sobject and h.external_key = n.parent_key)
"""
_WAIT_FOR_PARENTS = """
update outgoing_{entity} o set waits_for = u.sobject from unmet u
where not o.is_refused and o.held_by is null and o.payload ->> u.name = u.parent_key
"""

# A part never splits a family. The size of a row's JSON, without the field names that it always contains, is an upper bound of its
# CSV line's.
_SENDING = """
create temporary table sending as
with sized as (
    select o.external_key, o.payload, family,
           octet_length(payload::text) - :names_bytes + octet_length(external_key) as size
    from outgoing_{entity} o where not is_refused and held_by is null and waits_for is null {only_waiting}
), placed as (
    select *, sum(size) over before as bytes_before, count(*) over before as rows_before from sized
    window before as (order by family, external_key rows between unbounded preceding and 1 preceding)
), parted as (
    select external_key, payload, family,
           (coalesce(min(bytes_before) over (partition by family), 0) / :most_bytes)::int
           + (min(rows_before) over (partition by family) / :most_rows)::int as part
    from placed
)
select part, external_key, payload,
       row_number() over (partition by part order by family, external_key) - 1 as row_number
from parted
"""


def wait_for_parents(db: sa.Connection, mapping: CrmObject) -> int:
    """Exclude from `cut` the records with a parent that Salesforce has not accepted, or that is held back.

    Args:
        db: After `delta.compare`, in a transaction.
        mapping: The object; its parents' objects were sent.

    Returns:
        The number of waiting records.
    """
    db.execute(_HELD_PARENT)
    db.execute(sa.text("drop table if exists pg_temp.unmet"))
    db.execute(sa.text(f"update outgoing_{mapping.entity} set waits_for = null where waits_for is not null"))  # noqa: S608
    if not db.execute(sa.text(_UNMET.format(entity=mapping.entity)), mapping.lookups).rowcount:
        return 0
    db.execute(sa.text(_WAIT_FOR_PARENTS.format(entity=mapping.entity)))
    query = f"select count(*) from outgoing_{mapping.entity} where waits_for is not null"  # noqa: S608
    return db.scalar(sa.text(query)) or 0


def hold_children(db: sa.Connection, mapping: CrmObject) -> None:
    """Hold back the children of the records in `outgoing_<entity>` with notable changes (more than daily fields)."""
    db.execute(_HELD_PARENT)
    db.execute(
        sa.text(f"""
        insert into held_parent
        select :sobject, external_key from outgoing_{mapping.entity} where is_notable and not is_refused
        """),  # noqa: S608
        {"sobject": mapping.sobject},
    )


def cut(db: sa.Connection, mapping: CrmObject, most_rows: int, *, only_waiting: bool = False) -> list[int]:
    """Create `sending` from `outgoing_<entity>`, and empty `waiting`; return the part numbers.

    Args:
        db: After `delta.compare`, in a transaction.
        mapping: The object.
        most_rows: Rows per part; the last family may exceed it.
        only_waiting: Include only the keys in `waiting`.
    """
    db.execute(sa.text("drop table if exists pg_temp.sending"))
    only = "and external_key in (select external_key from waiting)" if only_waiting else ""
    names_bytes = sum(len(f.name.encode()) for f in mapping.fields if not f.is_once and not f.unknown)
    values = {"names_bytes": names_bytes, "most_bytes": MOST_BYTES, "most_rows": most_rows}
    db.execute(sa.text(_SENDING.format(entity=mapping.entity, only_waiting=only)), values)
    db.execute(sa.text("create index on sending (part)"))
    db.execute(sa.text("analyze sending"))
    keep_waiting(db, [])
    return list(db.scalars(sa.text("select distinct part from sending order by part")))


def read_waiting(db: sa.Connection) -> list[str]:
    """Return the keys in `waiting`."""
    return list(db.scalars(sa.text("select external_key from waiting")))


def keep_waiting(db: sa.Connection, keys: Sequence[str]) -> None:
    """Replace the keys in `waiting`."""
    db.execute(sa.text("drop table if exists pg_temp.waiting"))
    db.execute(
        sa.text("create temporary table waiting as select unnest(cast(:keys as text[])) as external_key"),
        {"keys": list(keys)},
    )
