"""Dead letters: rows that could not be processed, with the reasons and the location of their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa

from include.control.ledger import LATEST_START, Pull
from include.errors import InputRejected

# Maximum dead letters per statement, and per event of the outbox: all of them are in this process's memory, and PostgreSQL accepts
# no JSON document beyond 256 MB.
_BATCH_SIZE = 10_000

_INCOMING = """
incoming as (
    select l.*, row_number() over (partition by l.row_key, l.reasons order by l.part, l.row_number) as place
    from jsonb_to_recordset(cast(:rows as jsonb))
      as l(row_key text, reasons text[], part text, row_number bigint, money_usd numeric, is_money_unreadable boolean, row_date date,
           describes jsonb)
)
"""

# Open dead letters of the pull's table. In a snapshot, each day has its own rows, so only the pull's day counts. A description or an
# event is the same row on every day. `_OLDER` selects those that the pull may close: of other partitions, and not of a newer pull.
_OPEN = """
vendor = :vendor and table_name = :table_name and status = 'open' and (not :own_day or business_date = :business_date)
"""
_OLDER = f"{_OPEN} and partition <> :partition and (extracted_at <= :extracted_at or extracted_at > {LATEST_START})"

# Dead letters with the given row keys. The index `dead_letter_open` stores only the first characters of a key: this many.
_START = 200
_OF_ROWS = f"left(row_key, {_START}) = any(:starts) and row_key = any(:keys)"

# A row that fails again for the same reasons keeps its dead letter. Update the dead letter to point to the row's newest content.
_KEEP = sa.text(f"""
with {_INCOMING}, known as (
    select dead_letter_id, row_key, reasons,
           row_number() over (partition by row_key, reasons order by dead_letter_id) as place
    from control.dead_letter where {_OLDER} and stage = :stage and {_OF_ROWS}
), again as (
    select dead_letter_id, i.* from known join incoming i using (row_key, reasons, place)
)
update control.dead_letter l
set run_id = :run_id, business_date = :business_date, partition = :partition, part = a.part, row_number = a.row_number,
    money_usd = a.money_usd, is_money_unreadable = a.is_money_unreadable, row_date = a.row_date, describes = a.describes,
    extracted_at = :extracted_at
from again a where l.dead_letter_id = a.dead_letter_id
  and not exists (select from control.dead_letter o
                  where (o.partition, o.part, o.row_number, o.stage) = (:partition, a.part, a.row_number, :stage))
""")  # noqa: S608

_INSERT = sa.text(f"""
with {_INCOMING}
insert into control.dead_letter
    (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number,
     money_usd, is_money_unreadable, row_date, describes, extracted_at)
select :run_id, :vendor, :table_name, :business_date, :stage, row_key, reasons, :partition, part, row_number,
       money_usd, is_money_unreadable, row_date, describes, :extracted_at
from incoming
on conflict (partition, part, row_number, stage) do nothing
""")  # noqa: S608

_SUPERSEDE = sa.text(f"""
update control.dead_letter set status = 'superseded', replayed_by = :run_id, closed_at = clock_timestamp()
where {_OLDER} and {_OF_ROWS}
""")  # noqa: S608

_SUPERSEDE_REST = sa.text(f"""
update control.dead_letter set status = 'superseded', replayed_by = :run_id, closed_at = clock_timestamp()
where {_OLDER} and business_date <= :business_date
""")  # noqa: S608

# Dead letters to discard. Includes those that the same run discarded already, so that its task can be retried.
_IS_SELECTED = """
l.dead_letter_id = any(:ids) and (l.status = 'open' or l.status = 'discarded' and l.replayed_by = :run_id)
"""
_SELECT = sa.text(f"""
select l.dead_letter_id, l.vendor, l.table_name, l.business_date, l.row_key, l.public_reasons, l.money_usd
from control.dead_letter l where {_IS_SELECTED} order by l.dead_letter_id for update
""")  # noqa: S608

_DESCRIBED = """
select l.vendor, case d.entity when '*' then l.table_name else d.entity end as entity, l.business_date, d.key,
       case when d.key is null then d.parent end as parent
from control.dead_letter l cross join jsonb_to_recordset(l.describes) as d(entity text, key text, parent text)
where l.stage <> 'crm'
"""
# Stored rows that no open dead letter protects once these are discarded. A dead letter of stage crm protects none.
_RELEASED = sa.text(f"""
{_DESCRIBED} and {_IS_SELECTED} except {_DESCRIBED} and l.status = 'open' and l.dead_letter_id <> all(:ids)
order by 1, 2, 3, 4, 5
""")

_DISCARD = sa.text("""
update control.dead_letter
set status = 'discarded', discard_reason = :reason, discarded_by = :by, replayed_by = :run_id, closed_at = clock_timestamp()
where dead_letter_id = any(:ids) and status = 'open'
""")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that could not be processed.

    Attributes:
        row_key: The row's key at the vendor; None if it could not be read.
        reasons: The failed expectations, or the fields with their faults; never a value.
        part: File of the partition that contains the row.
        row_number: Row within that file, from 0.
        money_usd: The row's amount in the table's money column; None if the table has no such column, or the amount can't be read.
        is_money_unreadable: Whether the table has a money column and the row's amount can't be read.
        row_date: The row's own date; None if it has none or it can't be read.
        describes: The stored rows that this row may describe, one mapping per entity: `{"entity", "key"}` if the key can be read, else
            `{"entity", "parent"}`, else `{"entity"}` (any row). For transactions also `position` and `quantity`, if they can be
            read. See `include.transform.dead_rows`.
    """

    row_key: str | None
    reasons: list[str]
    part: str
    row_number: int
    money_usd: Decimal | None = None
    is_money_unreadable: bool = False
    row_date: date | None = None
    describes: tuple[dict[str, str], ...] = ({"entity": "*"},)


def insert(
    connection: sa.Connection,
    pull: Pull,
    stage: str,
    partition: str,
    dead_letters: Iterable[DeadLetter],
    *,
    own_day: bool,
) -> None:
    """Insert dead letters. Inserting the same rows of a partition again changes nothing.

    If a row already has an open dead letter from an earlier pull, the outcome depends on the reasons:
        same stage and reasons: that dead letter stays open and now points to the row in this partition. No new one is inserted.
        otherwise: that dead letter is closed as superseded, and a new one is inserted.

    Args:
        connection: An open transaction.
        pull: The pull that the rows belong to.
        stage: The stage in which the rows failed.
        partition: Path of the partition that contains the rows.
        dead_letters: The dead letters; at most `_BATCH_SIZE` are in memory at a time.
        own_day: Whether each day has its own rows (a snapshot). If true, a dead letter of another day belongs to another row.
    """
    of = {**asdict(pull), "stage": stage, "partition": partition, "own_day": own_day}
    remaining = iter(dead_letters)
    while rows := [asdict(each) for each in islice(remaining, _BATCH_SIZE)]:
        keys = [row["row_key"] for row in rows if row["row_key"] is not None]
        incoming = of | _of_rows(keys) | {"rows": orjson.dumps(rows, default=str).decode()}
        for statement in (_KEEP, _SUPERSEDE, _INSERT):
            connection.execute(statement, incoming)


def find_open_keys(connection: sa.Connection, pull: Pull, *, own_day: bool) -> list[str]:
    """Return the row keys of a table's open dead letters, without duplicates. If `own_day`, only those of the pull's day count."""
    return list(
        connection.scalars(
            sa.text(f"select distinct row_key from control.dead_letter where {_OPEN} and row_key is not null"),  # noqa: S608
            asdict(pull) | {"own_day": own_day},
        )
    )


_GROUP = sa.text("""
select dead_letter_id from control.dead_letter
where vendor = :vendor and table_name = :table_name and business_date = cast(:business_date as date) and stage = :stage
  and array_to_string(public_reasons, '; ') = :reasons and status = 'open' and dead_letter_id <= :last_id
order by dead_letter_id
""")


def find_group(engine: sa.Engine, group: Mapping[str, Any]) -> list[int]:
    """Return the ids of the open dead letters of a group, as the page *Dead letters* shows it.

    Args:
        engine: The database.
        group: `vendor`, `table_name`, `business_date`, `stage` and `reasons` of the group, and `last_id`, the largest id on the page.
            Dead letters that were inserted after the page was opened have larger ids, so they are left out.

    Raises:
        InputRejected: No dead letter of the group is open.
    """
    with engine.connect() as connection:
        ids = list(connection.scalars(_GROUP, dict(group)))
    if not ids:
        raise InputRejected("No dead letter of this group is still open: reload the list")
    return ids


def group_by_vendor(engine: sa.Engine, ids: Sequence[int]) -> dict[str, list[int]]:
    """Return the vendors of open dead letters, each with its dead letters' ids."""
    query = sa.text("""
    select vendor, array_agg(dead_letter_id order by dead_letter_id) from control.dead_letter
    where dead_letter_id = any(:ids) and status = 'open' group by vendor order by vendor
    """)
    with engine.connect() as connection:
        return {vendor: list(found) for vendor, found in connection.execute(query, {"ids": list(ids)})}


def close_loaded(
    connection: sa.Connection, pull: Pull, keys: Iterable[str], *, own_day: bool, partition: str = ""
) -> int:
    """Close, as replayed, the dead letters of rows that this pull loads; return their number.

    Args:
        connection: The transaction of the load.
        pull: The pull that is loaded.
        keys: Keys of the pull's good rows that have an open dead letter.
        own_day: Whether each day has its own rows (a snapshot).
        partition: Path of the loaded partition. Its own dead letters stay open, because a good row and a dead row may share a key
            (the lots of a holding).
    """
    return connection.execute(
        sa.text(f"""
        update control.dead_letter set status = 'replayed', replayed_by = :run_id, closed_at = clock_timestamp()
        where {_OLDER} and {_OF_ROWS}
        """),  # noqa: S608
        asdict(pull) | _of_rows(list(keys)) | {"own_day": own_day, "partition": partition},
    ).rowcount


def supersede_rest(connection: sa.Connection, pull: Pull, partition: str, *, own_day: bool) -> int:
    """After a full pull, close the table's remaining dead letters of earlier pulls as superseded; return their number.

    Each of their rows was loaded, has a newer dead letter, or was removed at the vendor.

    Args:
        connection: The transaction of the load.
        pull: The full pull that is loaded.
        partition: Path of the loaded partition. Its own dead letters stay open.
        own_day: Whether each day has its own rows (a snapshot). If true, dead letters of other days stay open.
    """
    return connection.execute(_SUPERSEDE_REST, asdict(pull) | {"partition": partition, "own_day": own_day}).rowcount


def _of_rows(keys: list[str]) -> dict[str, list[str]]:
    return {"keys": keys, "starts": [key[:_START] for key in keys]}


@dataclass(frozen=True, slots=True)
class Discarded:
    """Dead letters that an operator discards.

    Attributes:
        dead_letters: One line per dead letter: `17 <vendor>.assets 2026-11-20 4711: price_usd: not a number`.
        money_usd: Sum of the amounts that can be read; None if no amount can be read.
        released: Stored rows that only these dead letters protected, so that the next run may withdraw them. One line per row:
            `<vendor>: position 4711, 2026-11-20`.
    """

    dead_letters: tuple[str, ...]
    money_usd: Decimal | None
    released: tuple[str, ...]

    def __str__(self) -> str:
        """Return the dead letters and the released rows as text: two lists, each with a heading."""
        money = "" if self.money_usd is None else f" with ${self.money_usd:,.2f}"
        return "\n- ".join([f"{len(self.dead_letters):,} dead letters{money}:", *self.dead_letters]) + "\n- ".join(
            [f"\nReleased, so that the next run may withdraw it: {len(self.released):,}", *self.released]
        )


def discard(
    engine: sa.Engine, ids: Sequence[int], reason: str, discarded_by: str, run_id: str, *, is_dry: bool
) -> Discarded:
    """Discard open dead letters whose rows will never be loaded; return what is discarded.

    Args:
        engine: The database, as the loading role.
        ids: Ids of the dead letters.
        reason: The operator's reason.
        discarded_by: Name of the operator.
        run_id: The run that discards. If the same run repeats the call, it is accepted.
        is_dry: Whether to change nothing and only return what would be discarded.

    Raises:
        InputRejected: There are no ids or no reason, or a dead letter is not open. Nothing was discarded.
    """
    if not ids:
        raise InputRejected("No dead letters are selected: enter the ids of those to discard")
    if not reason.strip():
        raise InputRejected("The reason for discarding is empty: enter one")
    values = {"ids": list(ids), "reason": reason.strip(), "by": discarded_by, "run_id": run_id}
    with engine.begin() as connection:
        rows = connection.execute(_SELECT, values).all()
        if missing := sorted(set(ids) - {row.dead_letter_id for row in rows}):
            raise InputRejected("These dead letters are not open; nothing was discarded", ids=missing)
        released = connection.execute(_RELEASED, values).all()
        if not is_dry:
            connection.execute(_DISCARD, values)
    money = [row.money_usd for row in rows if row.money_usd is not None]
    return Discarded(
        tuple(
            f"{row.dead_letter_id} {row.vendor}.{row.table_name} {row.business_date} {row.row_key or 'without a key'}:"
            f" {'; '.join(row.public_reasons)}"
            for row in rows
        ),
        sum(money, Decimal(0)) if money else None,
        tuple(map(_name_released, released)),
    )


def _name_released(row: sa.Row[tuple[str, str, date, str | None, str | None]]) -> str:
    if row.key is not None:
        which = f"{row.entity} {row.key}"
    else:
        which = f"any {row.entity}" + (f" of {row.parent}" if row.parent is not None else "")
    return f"{row.vendor}: {which}, {row.business_date}"
