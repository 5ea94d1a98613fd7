"""Record the alerts that were sent, so that each alert is sent once, even if several processes raise it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import sqlalchemy as sa

# If two processes raise an alert, the second waits here until the first has sent it. If the first rolls back, the second sends it.
_RECORD = sa.text("""
insert into control.alert (kind, dag_id, run_id, task, subject, title)
values (:kind, :dag_id, :run_id, :task, :subject, :title) on conflict do nothing returning alert_id
""")
_SENT = sa.text("update control.alert set sent_at = clock_timestamp() where alert_id = :alert_id")
_HAS = sa.text("select exists (select from control.alert where kind = :kind and dag_id = :dag_id and run_id = :run_id)")

KINDS = (
    "approval", "audit_late", "backup", "crm_difference", "deadline", "digest", "failed", "held_back", "late", "outage", "outage over",
    "restored", "returned", "subscriber", "warning",
)  # fmt: skip
"""The kinds of alerts; see docs/reference/alerts.md."""
SILENT = "silent"
"""Kind of a failed run that sends no alert: its input was rejected, or an alert about the same cause exists already."""
DELIVERED = "delivered"
"""Kind of an alert that reached one address and not another, so that the next try leaves out the first."""


@dataclass(frozen=True, slots=True)
class Record:
    """The record of an alert. Two records that differ only in their title are the same alert.

    Attributes:
        kind: `failed`, `deadline`, `late`, ...
        title: First line of the alert.
        dag_id: Empty if the alert concerns no DAG.
        run_id: Empty if the alert concerns no run.
        task: Task with its map index, such as `pull[2]`; empty if the alert concerns no task.
        subject: Detail that distinguishes alerts of the same kind and run: a deadline, a try, a day.
    """

    kind: str
    title: str
    dag_id: str = ""
    run_id: str = ""
    task: str = ""
    subject: str = ""


def send_once(engine: sa.Engine, record: Record, send: Callable[[], None]) -> bool:
    """Send an alert unless it was sent before; return whether this call sent it.

    If `send` raises, the record is rolled back, so that the next try sends the alert.
    """
    with engine.begin() as connection:
        alert_id = connection.execute(_RECORD, asdict(record)).scalar()
        if alert_id is None:
            return False
        send()
        connection.execute(_SENT, {"alert_id": alert_id})
    return True


def send_to_each(engine: sa.Engine, record: Record, addresses: Sequence[str], send: Callable[[str], None]) -> None:
    """Send an alert to each address that has not received it.

    If `send` raises for an address, the others receive the alert all the same, and this is recorded. Call it inside `send_once`, whose next
    try then sends the alert only to the addresses that failed.

    Args:
        engine: The firm's database.
        record: The alert.
        addresses: Each with its scheme. Records contain only the scheme and the position, because an address contains secrets.
        send: Sends the alert to one address.

    Raises:
        Exception: What `send` raised first.
    """
    errors: list[Exception] = []
    with engine.connect() as connection:
        for position, address in enumerate(addresses):
            scheme = address.partition(":")[0]
            part = replace(record, kind=DELIVERED, subject=f"{record.kind} {record.subject} {position} {scheme}")
            attempt = connection.begin_nested()
            if connection.execute(_RECORD, asdict(part)).scalar() is None:
                continue
            try:
                send(address)
            except Exception as error:
                attempt.rollback()
                errors.append(error)
        if errors:
            connection.commit()
            raise errors[0]
        connection.rollback()  # the alert's own record is enough


def record_silent(engine: sa.Engine, dag_id: str, run_id: str, title: str) -> None:
    """Record that a run failed without an alert, so that its deadline sends no alert either."""
    with engine.begin() as connection:
        connection.execute(_RECORD, asdict(Record(SILENT, title, dag_id, run_id)))


def is_silent(engine: sa.Engine, dag_id: str, run_id: str) -> bool:
    """Return whether `record_silent` recorded that a run failed without an alert."""
    with engine.connect() as connection:
        values = {"kind": SILENT, "dag_id": dag_id, "run_id": run_id}
        return bool(connection.execute(_HAS, values).scalar())
