"""What a sync of everything held back from Salesforce, and why: kept, so that people are alerted once and can look it up.

One row an object, cause and subject. What is still held back keeps `since` and whether people were alerted.
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
_KEEP = sa.text("""
insert into control.crm_held (entity, cause, subject, records, reason, since, run_id)
values (:entity, :cause, :subject, :records, :reason, coalesce(cast(:since as timestamptz), clock_timestamp()), :run_id)
on conflict (entity, cause, subject) do update
set records = excluded.records, reason = excluded.reason, run_id = excluded.run_id,
    since = case when :since is null then crm_held.since else excluded.since end
""")
_READ = "select entity, cause, subject, records, reason, since from control.crm_held"
# A load that is under way holds its vendor's rows back for a while, and so may a question that waits for its decision.
_ALERT = sa.text("""
update control.crm_held set alerted_at = clock_timestamp()
where alerted_at is null and since < clock_timestamp() - :patience
returning entity, cause, subject, records, reason, since
""")

Cause = Literal["vendor", "approval", "failure", "parent"]


@dataclass(frozen=True, slots=True)
class Held:
    """Records of one object that were not sent.

    Attributes:
        entity: The object.
        cause: A vendor that is not settled, a change that a person has to approve, a failure, or a parent that is not there.
        subject: The vendor, the questions, or the class of the error; empty for a parent.
        records: How many.
        reason: In words, without values of records.
        since: Of a vendor: when its newest day began to be loaded; else when this was seen first. None while that is not known.
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


def keep(db: sa.Connection, held: Iterable[Held], run_id: str) -> None:
    """Replaces what is known to be held back.

    Args:
        db: In a transaction.
        held: All that the run held back.
        run_id: Names the run.
    """
    rows = [asdict(each) | {"run_id": run_id} for each in held]
    keys = {
        "entities": [row["entity"] for row in rows],
        "causes": [row["cause"] for row in rows],
        "subjects": [row["subject"] for row in rows],
    }
    db.execute(_FORGET, keys)
    if rows:
        db.execute(_KEEP, rows)


def read(engine: sa.Engine) -> list[Held]:
    """Returns what the newest sync of everything held back."""
    with engine.connect() as db:
        return [Held(*row) for row in db.execute(sa.text(f"{_READ} order by 1, 2, 3"))]


def alert_late(engine: sa.Engine, patience: timedelta, send: Callable[[list[Held], str], object]) -> None:
    """Alert once of each state that lasts; an alert that could not be sent is sent by the next call.

    Args:
        engine: As the loading role.
        patience: How long something may be held back without an alert.
        send: Called once if there is anything, with what is held back and a name of these states: the same whenever an alert
            of them is sent, another once one of them ended and came again.
    """
    with engine.begin() as db:
        late = [Held(*row) for row in db.execute(_ALERT, {"patience": patience})]
        if late:
            late.sort(key=lambda each: (each.entity, each.cause, each.subject))
            send(late, "\n".join(f"{each.entity} {each.cause} {each.subject} {each.since}" for each in late))
