"""Store the records that a full sync held back from Salesforce, with the causes, so that operators get one alert and can look them up.

The table `control.crm_held` has one row per object, cause and subject. While the subject is held back, later syncs do not change
`alerted_at`. They change `since` only if they report another time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

_FORGET = sa.text("""
delete from control.crm_held h where not exists (
    select from unnest(cast(:entities as text[]), cast(:causes as text[]), cast(:subjects as text[])) n(entity, cause, subject)
    where (n.entity, n.cause, n.subject) = (h.entity, h.cause, h.subject))
""")
_STORE = sa.text("""
insert into control.crm_held (entity, cause, subject, records, reason, since, run_id)
values (:entity, :cause, :subject, :records, :reason, coalesce(cast(:since as timestamptz), clock_timestamp()), :run_id)
on conflict (entity, cause, subject) do update
set records = excluded.records, reason = excluded.reason, run_id = excluded.run_id,
    since = case when :since is null then crm_held.since else excluded.since end
""")
_READ = "select entity, cause, subject, records, reason, since from control.crm_held"
# Alert only after `patience`: a running load, or a question that waits for a decision, holds rows back for a while.
_ALERT = sa.text("""
update control.crm_held set alerted_at = clock_timestamp()
where alerted_at is null and since < clock_timestamp() - :patience
returning entity, cause, subject, records, reason, since
""")

Cause = Literal["vendor", "approval", "failure", "parent", "adoption"]


@dataclass(frozen=True, slots=True)
class Held:
    """Records of one object that were not sent.

    Attributes:
        entity: The object.
        cause: Why the records were not sent:

            - `vendor`: a vendor's newest day is not reconciled.
            - `approval`: a change needs approval.
            - `failure`: sending the object failed.
            - `parent`: a parent is not in Salesforce.
            - `adoption`: Salesforce may have the records already.

        subject: The vendor, the kinds of change (`approval`), or the class of the error (`failure`); empty for `parent` and `adoption`.
        records: Number of records.
        reason: Explanation, without values of records.
        since: For a vendor, when the load of its newest day began; otherwise when the row was first stored. None before it is stored.
    """

    entity: str
    cause: Cause
    subject: str
    records: int
    reason: str
    since: datetime | None = None

    def __str__(self) -> str:
        since = f" since {self.since:%Y-%m-%d %H:%M} UTC" if self.since else ""
        return f"{self.entity}: {self.records:,} records held back{since}: {self.reason}"


def store(db: sa.Connection, held: Iterable[Held], run_id: str) -> None:
    """Store the records that a run held back, and delete the rows of records that are no longer held back.

    Args:
        db: The sync's connection, in a transaction.
        held: Everything that the run held back.
        run_id: The run's id.
    """
    rows = [asdict(each) | {"run_id": run_id} for each in held]
    keys = {
        "entities": [row["entity"] for row in rows],
        "causes": [row["cause"] for row in rows],
        "subjects": [row["subject"] for row in rows],
    }
    db.execute(_FORGET, keys)
    if rows:
        db.execute(_STORE, rows)


def read(engine: sa.Engine) -> list[Held]:
    """Return the records that the newest full sync held back."""
    with engine.connect() as db:
        return [Held(*row) for row in db.execute(sa.text(f"{_READ} order by 1, 2, 3"))]


def alert_late(engine: sa.Engine, patience: timedelta, send: Callable[[list[Held], str], object]) -> None:
    """Alert once about each row held back for longer than `patience`. If `send` raises, the next call alerts again.

    Args:
        engine: The database, as the loading role.
        patience: How long records may be held back without an alert.
        send: Sends one alert about all these rows; not called if there are none. Its arguments are the rows and the alert's key, which
            contains their `since`. So a repeated alert has the same key, and an alert about rows that are held back again later has another.
    """
    with engine.begin() as db:
        late = [Held(*row) for row in db.execute(_ALERT, {"patience": patience})]
        if late:
            late.sort(key=lambda each: (each.entity, each.cause, each.subject))
            send(late, "\n".join(f"{each.entity} {each.cause} {each.subject} {each.since}" for each in late))
