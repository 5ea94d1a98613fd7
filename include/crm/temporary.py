"""The temporary tables of a sync: the content of each, the functions that fill and read it, and when it is dropped.

All temporary tables of `include.crm` are declared here. A table is dropped when its connection closes, if not before
(`include.crm.database.open_session`). If a function reads a table of another module, the table is a parameter or is named in the
function's docstring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from psycopg import sql

_KEY = 'text collate "C"'


@dataclass(frozen=True, slots=True)
class TempTable:
    """A temporary table of one connection. Its text form is its name, for use in SQL.

    Attributes:
        name: The name.
        columns: PostgreSQL types by column name.
        is_dropped_on_commit: Whether the table is dropped when its transaction ends. Otherwise it exists until it is dropped or created
            again.
    """

    name: str
    columns: Mapping[str, str]
    is_dropped_on_commit: bool = False

    def __str__(self) -> str:
        return self.name

    def create(self, db: sa.Connection) -> None:
        """Create the table, empty. Drop an existing one first."""
        self.drop(db)
        columns = ", ".join(f"{_quote(name)} {type_}" for name, type_ in self.columns.items())
        db.execute(sa.text(f"create temporary table {self.name} ({columns}){self._ending}"))

    def fill(self, db: sa.Connection, query: str, values: Mapping[str, Any] | None = None) -> int:
        """Create the table and fill it with the result of a query; return the number of rows. Drop an existing table first.

        Args:
            db: The connection of the table.
            query: Returns the table's columns, by name.
            values: Bind parameters of the query.
        """
        self.drop(db)
        columns = ", ".join(f"{_quote(name)}::{type_} as {_quote(name)}" for name, type_ in self.columns.items())
        query = f"create temporary table {self.name}{self._ending} as select {columns} from ({query}) as query"  # noqa: S608
        return db.execute(sa.text(query), values or {}).rowcount

    def drop(self, db: sa.Connection) -> None:
        """Drop the table, if it exists."""
        db.execute(sa.text(f"drop table if exists pg_temp.{self.name}"))

    @property
    def _ending(self) -> str:
        return " on commit drop" if self.is_dropped_on_commit else ""


def _quote(name: str) -> str:
    return sql.Identifier(name).as_string().replace(":", r"\:")  # a colon would begin a parameter


# The days and vendors that may be sent. `readiness.find_present_days` creates these tables again before each comparison;
# `delta.compare` reads them.
PRESENT_DAY = TempTable("present_day", {"vendor": "text", "business_date": "date"})
"""The latest day of each vendor that a current pull has loaded (not a backfill or a replay). `CrmObject.source` may read it."""

UNSETTLED = TempTable("unsettled", {"vendor": "text"})
"""Vendors whose rows may not be sent, because their newest day is not reconciled."""

UNSETTLED_RECORD = TempTable("unsettled_record", {"external_key": _KEY, "vendor": "text"})
"""Households, persons and legal entities with a record of a vendor in `UNSETTLED`. `external_key` is their key without the firm's part."""

# The comparison of one object.
DESIRED = TempTable("desired", {"external_key": _KEY, "payload": "jsonb"})
"""The records as Salesforce should have them, built from the warehouse. Filled by `desired.build`, read and dropped by `delta.compare`."""

REFUSED = TempTable("refused", {"external_key": _KEY, "payload": "jsonb"})
"""Records that Salesforce rejected and that are not sent again unless they change. Filled, read and dropped by `delta.compare`."""

PARENT_KEYS = TempTable("parent_keys", {"external_key": _KEY, "keys": "jsonb"})
"""The keys of the org records to which our records refer, by name of the lookup. Filled, read and dropped by `adoption.accepted`."""

KEYED = TempTable("keyed", {"sobject": "text", "salesforce_id": "text", "external_key": _KEY})
"""The org records that have our key. Filled, read and dropped by `adoption.relations`."""


def declare_outgoing(entity: str) -> TempTable:
    """Return the declaration of the table of an object's new and changed records.

    `delta.compare` creates and fills it; `delta` and `rounds` read it. Its columns:

    - `payload`: the fields to send.
    - `family`: records with the same value are sent together, because they have the same parent.
    - `is_refused`: the record is in `REFUSED` with the same payload, so it is not sent now.
    - `is_notable`: the record is new, or more than daily fields have changed.
    - `is_closing`: the change closes a record that Salesforce has, such as an account.
    - `moved_usd`: the change of the record's worth; null for new records, and for objects without a worth.
    - `held_by`: the vendor whose newest day is not reconciled, or `salesforce` if Salesforce may have the record already; null if the
      record may be sent.
    - `waits_for`: the object of the parent that the record waits for, set by `rounds.wait_for_parents`; null if it does not wait.
    """
    columns = {
        "external_key": _KEY, "payload": "jsonb", "is_new": "boolean", "family": _KEY, "is_refused": "boolean",
        "is_notable": "boolean", "is_closing": "boolean", "moved_usd": "numeric", "held_by": "text", "waits_for": "text",
    }  # fmt: skip
    return TempTable(f"outgoing_{entity}", columns)


HELD_PARENT = TempTable("held_parent", {"sobject": "text", "external_key": _KEY})
"""Records, with notable changes, of the objects that are held back; their children wait. Created by `rounds.hold_none`, filled by
`rounds.hold_children`, read by `rounds.wait_for_parents`. It exists for the whole sync."""

UNMET = TempTable("unmet", {"name": "text", "parent_key": "text", "sobject": "text"}, is_dropped_on_commit=True)
"""Lookups of an object to parents that Salesforce has not accepted or that are in `HELD_PARENT`. Filled and read by
`rounds.wait_for_parents`."""

SENDING = TempTable("sending", {"part": "int", "external_key": _KEY, "payload": "jsonb", "row_number": "bigint"})
"""The records of one round, in parts. Filled by `rounds.cut` or `rounds.create_part`, which create it again; read by `file`, `collections`
and `jobs`."""

# The results of one job.
OUTCOME = TempTable(
    "outcome",
    {"external_key": _KEY, "status": "text", "salesforce_id": "text", "error": "text", "is_passing": "boolean"},
)
"""The outcome of each row. `is_passing`: true if the row failed with a temporary error, else null. Filled by `results.read` or
`results.take`, which create it again; read by `results.settle`."""

REMADE = TempTable("remade", {"external_key": _KEY, "salesforce_id": "text"}, is_dropped_on_commit=True)
"""Records that were deleted in Salesforce and that the job created again, with the ids of the deleted records. Filled and read by
`results.settle`."""


def declare_result_file(columns: Iterable[str]) -> TempTable:
    """Return the declaration of the table of one result file; all columns are text. Filled and read by `results.read`."""
    return TempTable("result", dict.fromkeys(columns, "text"), is_dropped_on_commit=True)


# The read-back of one object: all filled and dropped by `readback`.
def declare_query_result(columns: Iterable[str]) -> TempTable:
    """Return the declaration of the table of a query's result; all columns are text."""
    return TempTable("answered", dict.fromkeys(columns, "text"))


HELD = TempTable(
    "held",
    {"external_key": _KEY, "salesforce_id": "text", "is_deleted": "boolean", "master_id": "text", "payload": "jsonb"},
)
"""The records of the query's result (`declare_query_result`), with their fields in one JSON payload."""

DIFFERING = TempTable(
    "differing",
    {
        "external_key": _KEY, "salesforce_id": "text", "master_id": "text", "theirs": "jsonb", "kind": "text",
        "fields": "text[]",
    },
)  # fmt: skip
"""Records that differ from the state that Salesforce accepted last, and how they differ."""
