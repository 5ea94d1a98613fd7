"""The temporary tables of a sync: the content of each, the functions that fill and read it, and when it is dropped.

A table ends with its connection at the latest (`include.crm.database.open_connection`). A function that reads a table of another module
takes it as a parameter, or names it in its docstring. All temporary tables of `include.crm` are created here.
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
        columns: Column -> PostgreSQL type.
        is_dropped_on_commit: Whether it ends with its transaction. Otherwise it exists until it is dropped or created again.
    """

    name: str
    columns: Mapping[str, str]
    is_dropped_on_commit: bool = False

    def __str__(self) -> str:
        return self.name

    def create(self, db: sa.Connection) -> None:
        """Create the table, empty, in place of an earlier one."""
        self.drop(db)
        columns = ", ".join(f"{_quote(name)} {type_}" for name, type_ in self.columns.items())
        db.execute(sa.text(f"create temporary table {self.name} ({columns}){self._ending}"))

    def fill(self, db: sa.Connection, query: str, values: Mapping[str, Any] | None = None) -> int:
        """Create the table, in place of an earlier one, from a query with the same columns; return its number of rows."""
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


# What may be sent: filled by `readiness.find_present_days`, read by `delta.compare`, created again by the next comparison.
PRESENT_DAY = TempTable("present_day", {"vendor": "text", "business_date": "date"})
"""Each vendor's latest day loaded by a current pull. Objects read it in `CrmObject.source`."""

UNSETTLED = TempTable("unsettled", {"vendor": "text"})
"""Vendors whose rows may not be sent."""

UNSETTLED_RECORD = TempTable("unsettled_record", {"external_key": _KEY, "vendor": "text"})
"""Households and persons with a record of such a vendor; keys without the firm."""

# The comparison of one object.
DESIRED = TempTable("desired", {"external_key": _KEY, "payload": "jsonb"})
"""The records as the warehouse has them. Filled by `desired.build`, read and dropped by `delta.compare`."""

REFUSED = TempTable("refused", {"external_key": _KEY, "payload": "jsonb"})
"""Rejected records that are not sent again unless they change. Filled, read and dropped by `delta.compare`."""


def outgoing(entity: str) -> TempTable:
    """Return the table of an object's new and changed records.

    Filled by `delta.compare`, which creates it again; read by `delta` and by `rounds`, which notes there which records wait.
    """
    columns = {
        "external_key": _KEY, "payload": "jsonb", "is_new": "boolean", "family": _KEY, "is_refused": "boolean",
        "is_notable": "boolean", "held_by": "text", "waits_for": "text",
    }  # fmt: skip
    return TempTable(f"outgoing_{entity}", columns)


HELD_PARENT = TempTable("held_parent", {"sobject": "text", "external_key": _KEY})
"""Records with notable changes in an object that is held back. Created by `rounds.hold_none`, filled by `rounds.hold_children`, read by
`rounds.wait_for_parents`; it is kept for the whole sync."""

UNMET = TempTable("unmet", {"name": "text", "parent_key": "text", "sobject": "text"}, is_dropped_on_commit=True)
"""Lookups of an object to parents that Salesforce has not accepted. Filled and read by `rounds.wait_for_parents`."""

SENDING = TempTable("sending", {"part": "int", "external_key": _KEY, "payload": "jsonb", "row_number": "bigint"})
"""The records of one round, in parts. Filled by `rounds.cut` or `rounds.place`, which create it again; read by `file`, `collections`
and `jobs`."""

# The results of one job.
OUTCOME = TempTable(
    "outcome",
    {"external_key": _KEY, "status": "text", "salesforce_id": "text", "error": "text", "is_passing": "boolean"},
)
"""The outcome of each row. Filled by `results.read` or `results.take`, which create it again; read by `results.settle`."""

REMADE = TempTable("remade", {"external_key": _KEY, "salesforce_id": "text"}, is_dropped_on_commit=True)
"""Records that the job created again, with their former ids. Filled and read by `results.settle`."""


def result(columns: Iterable[str]) -> TempTable:
    """Return the table of one result file, as text. Filled and read by `results.read`."""
    return TempTable("result", dict.fromkeys(columns, "text"), is_dropped_on_commit=True)


# The read-back of one object: all filled and dropped by `readback`.
def answered(columns: Iterable[str]) -> TempTable:
    """Return the table of a query's result, as text."""
    return TempTable("answered", dict.fromkeys(columns, "text"))


HELD = TempTable(
    "held",
    {"external_key": _KEY, "salesforce_id": "text", "is_deleted": "boolean", "master_id": "text", "payload": "jsonb"},
)
"""The same records, with the fields as a payload."""

DIFFERING = TempTable(
    "differing",
    {
        "external_key": _KEY, "salesforce_id": "text", "master_id": "text", "theirs": "jsonb", "kind": "text",
        "fields": "text[]",
    },
)  # fmt: skip
"""Records that differ from the accepted state, and how."""
