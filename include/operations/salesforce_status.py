"""The state of Salesforce today: a light, and a sentence for each reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from include.operations.vendor_status import Concern, count

MAX_SILENCE = timedelta(days=4)
"""Maximum time without a sent record: a weekend with a holiday. A longer time is a concern."""

_READ = sa.text("""
select (select max(recorded_at) from control.ledger where vendor = 'salesforce' and stage = 'crm') as synced_at,
       coalesce(sum(l.sent), 0)::bigint as sent, coalesce(sum(l.failed + l.unprocessed), 0)::bigint as failed,
       (select count(*) from control.dead_letter where vendor = 'salesforce' and status = 'open') as rejected,
       (select coalesce(sum(records), 0)::bigint from control.crm_held) as held,
       (select min(since) from control.crm_held) as held_since,
       (select count(*) from control.crm_question where is_approved is null and requested_at > :now - interval '1 day') as questions,
       (select min(trouble_since) from control.crm_topic where trouble is not null) as trouble_since
from control.ledger l where l.vendor = 'salesforce' and l.stage = 'crm' and l.recorded_at > :since
""")


@dataclass(frozen=True, slots=True)
class SalesforceStatus:
    """The state of Salesforce at one time.

    Attributes:
        read_at: The time.
        synced_at: When the last object was sent; None if nothing was ever sent.
        sent: Records sent in the last day.
        failed: Records among them that Salesforce rejected or did not process.
        rejected: Records that are open dead letters, because Salesforce rejected them.
        held: Records that the newest sync held back.
        held_since: Since when the first of these records is held back; None if none is.
        questions: Number of changes that wait for an approval.
        trouble_since: Since when a subscription to changes in Salesforce fails; None if none fails.
    """

    read_at: datetime
    synced_at: datetime | None
    sent: int
    failed: int
    rejected: int
    held: int
    held_since: datetime | None
    questions: int
    trouble_since: datetime | None

    @property
    def is_silent(self) -> bool:
        """Whether the last record was sent too long ago."""
        return self.synced_at is not None and self.read_at - self.synced_at > MAX_SILENCE

    def find_concerns(self, pause: str) -> list[Concern]:
        """Return everything that needs attention, the worst first; empty if nothing does.

        Args:
            pause: Why nothing is written to Salesforce; empty if writes are not paused.
        """
        found = [
            (pause, "red", f"All writes are paused. {pause}."),
            (self.held, "amber", f"{count(self.held, 'record')} held back{_since(self.held_since)}."),
            (self.questions, "amber", f"{count(self.questions, 'change')} waiting for an approval."),
            (self.rejected, "amber", f"{count(self.rejected, 'record')} rejected by Salesforce."),
            (self.is_silent, "amber", f"No record has been sent{_since(self.synced_at)}."),
            (self.trouble_since, "amber", f"Changes made in Salesforce can't be received{_since(self.trouble_since)}."),
        ]
        return [Concern(light, text) for condition, light, text in found if condition]  # type: ignore[arg-type]

    def summarize(self, pause: str) -> Concern:
        """Return the worst concern; if there is none, the number of sent records (green), or that nothing was sent (grey)."""
        if concerns := self.find_concerns(pause):
            return concerns[0]
        if self.synced_at is None:
            return Concern("grey", "Nothing has been sent yet.")
        return Concern("green", f"Up to date. {count(self.sent, 'record')} sent in the last day.")


def read_salesforce_status(connection: sa.Connection, now: datetime) -> SalesforceStatus:
    """Return the status of Salesforce."""
    return SalesforceStatus(now, *connection.execute(_READ, {"now": now, "since": now - timedelta(days=1)}).one())


def _since(moment: datetime | None) -> str:
    return f" since {moment:%Y-%m-%d %H:%M} UTC" if moment else ""
