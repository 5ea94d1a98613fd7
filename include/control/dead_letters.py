"""Dead letters: rows that could not go on, why, and where their content is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from include.control.ledger import Pull

_INSERT = sa.text("""
insert into control.dead_letter
    (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number)
values (:run_id, :vendor, :table_name, :business_date, :stage, :row_key, :reasons, :partition, :part, :row_number)
on conflict (partition, part, row_number, stage) do nothing
""")

_SUPERSEDE = sa.text("""
update control.dead_letter set status = 'superseded', replayed_by = :run_id, closed_at = clock_timestamp()
where vendor = :vendor and table_name = :table_name and business_date = :business_date and status = 'open'
  and partition <> :partition and row_key = any(:keys)
""")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that could not go on.

    Attributes:
        row_key: Its key at the vendor; None where it could not be read.
        reasons: Names of the failed expectations, or what is wrong with which field; never a value.
        part: File of the partition that holds the row.
        row_number: Row within that file, from 0.
    """

    row_key: str | None
    reasons: list[str]
    part: str
    row_number: int


def bury(connection: sa.Connection, pull: Pull, stage: str, partition: str, letters: Iterable[DeadLetter]) -> None:
    """Writes dead letters; one that was written before stays as it is.

    A row that died in an earlier pull of the same day and dies again has one open letter: the newest.
    """
    of = {**asdict(pull), "stage": stage, "partition": partition}
    rows = [of | asdict(letter) for letter in letters]
    if rows:
        keys = [row["row_key"] for row in rows if row["row_key"] is not None]
        connection.execute(_SUPERSEDE, of | {"keys": keys})
        connection.execute(_INSERT, rows)


def open_keys(connection: sa.Connection, pull: Pull) -> list[str]:
    """Returns the keys of rows of a vendor's table and day that are dead now: not loaded, but not gone either."""
    return list(
        connection.scalars(
            sa.text("""
            select distinct row_key from control.dead_letter
            where vendor = :vendor and table_name = :table_name and business_date = :business_date
              and status = 'open' and row_key is not null
            """),
            asdict(pull),
        )
    )


def close_landed(connection: sa.Connection, pull: Pull, keys: Iterable[str]) -> int:
    """Closes the letters of rows that a later pull of the same day loads; returns how many.

    Args:
        connection: In the load's transaction.
        pull: The load.
        keys: Those of its good rows that had a letter.
    """
    return connection.execute(
        sa.text("""
        update control.dead_letter set status = 'replayed', replayed_by = :run_id, closed_at = clock_timestamp()
        where vendor = :vendor and table_name = :table_name and business_date = :business_date
          and status = 'open' and row_key = any(:keys)
        """),
        asdict(pull) | {"keys": list(keys)},
    ).rowcount
