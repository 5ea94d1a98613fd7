"""List whose data a run, an actor, or anyone in a period has read or changed, so that a firm can notify its clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from include.audit import trail

Row = dict[str, Any]
COLUMNS = (
    "client",
    "client_id",
    "name",
    "household_name",
    "data_kinds",
    "how",
    "actions",
    "first_at",
    "last_at",
)
LIMITS = (
    "SQL queries of people and programs with a database role: Tributary does not see them; the database server's log may",
    "files that were read outside Tributary: partitions, backups, logs, reports, exports of this list",
    "what users saw in Salesforce, and what happened at the vendors",
    "actors that used another name, or credentials of another person",
)
"""Kinds of access that neither the audit trail nor the ledger records."""
_SCOPE = "(:run, :actor, :since, :until)"
_EXPOSED = sa.text(f"select * from mart.exposure{_SCOPE} order by client, household_name, name, client_id")  # noqa: S608
_GAPS = sa.text(f"select * from mart.exposure_gap{_SCOPE} order by action, explanation")  # noqa: S608
_BEGIN = sa.text("select min(happened_at) from control.audit")


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a list: a run, an actor, a period, or a combination of them.

    Attributes:
        run: Airflow's run id; None for all runs and people.
        actor: Person, program, or `run <run id>`; None for all.
        since: Start of the period; None for the first entry.
        until: End of the period, not included; None for now.
    """

    run: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Exposure:
    """The clients whose data was read or changed, and the gaps in this list.

    Attributes:
        clients: Rows with the columns `COLUMNS`. `client` is None for records that lead to no client.
        gaps: One phrase for each kind of access whose clients the list can't show.
    """

    clients: list[Row]
    gaps: list[str]


def read(engine: sa.Engine, scope: Scope, reader: str) -> Exposure:
    """Return the clients whose data was read or changed, with the kinds of data; record this query in the audit trail.

    Args:
        engine: The database, as the reading role.
        scope: What to list.
        reader: The person who reads, for the audit trail.
    """
    values = {"run": scope.run, "actor": scope.actor, "since": scope.since or datetime.min.replace(tzinfo=UTC),
              "until": scope.until or datetime.now(UTC)}  # fmt: skip
    with engine.begin() as connection:
        clients = [dict(row) for row in connection.execute(_EXPOSED, values).mappings()]
        gaps = [f"{row.records} x {row.action}: {row.explanation}" for row in connection.execute(_GAPS, values)]
        begin = connection.scalar(_BEGIN)
        details = {name: str(value) for name, value in values.items() if value is not None} | {"clients": len(clients)}
        trail.record(
            connection, reader, "exposure.read", " ".join(filter(None, (scope.run, scope.actor))) or "period", details
        )
    if begin is None or values["since"] < begin:
        gaps.append(f"what people and programs did before the first entry of the audit trail ({begin})")
    return Exposure(clients, [*gaps, *LIMITS])
