"""Send the outgoing records of a sync, parents before children.

An object with few changed rows is sent by collections; one call may contain several such objects. An object with many changed rows is
sent by bulk jobs. Rows that were locked or not processed in Salesforce are sent again in small jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from include.control.ledger import Counts
from include.control.writer import Fence
from include.crm.objects.mapping import CrmObject
from include.crm.run import ReportLine
from include.crm.salesforce import SalesforceSession
from include.crm.sync import collections, file, rounds
from include.crm.sync.delta import Delta
from include.crm.sync.holdback import STOPPING, Holdback
from include.crm.sync.jobs import Jobs
from include.errors import ObjectUnavailable

MOST_ROWS = 1_000_000
SMALL_JOB_ROWS = 5_000
"""Target number of rows of a job that sends locked rows again. Salesforce processes so few as one batch, so that no two batches lock the
same parent."""

_TRIES_AGAIN = 2
_ADDED = ("sent", "created", "updated", "failed", "unprocessed", "dead")


class Sender:
    """Sends the records that a sync has compared, and counts their outcomes.

    Args:
        db: The sync's connection, on which `delta.compare` has created the tables of outgoing records.
        session: The session with the org.
        folder: Folder for the CSV files, which are deleted once Salesforce has processed them.
        jobs: The jobs by object, parents first.
        fences: The writer's fences for the objects.
        most_collected: Maximum rows of an object sent by collections; more are sent by bulk jobs.
        holdback: The objects and records that are not sent.
        report_line: Receives progress, a line at a time.

    Attributes:
        total: For each entity, the counts of rows sent, by outcome.
    """

    def __init__(
        self,
        db: sa.Connection,
        session: SalesforceSession,
        folder: Path,
        jobs: Mapping[CrmObject, Jobs],
        fences: Sequence[Fence],
        most_collected: int,
        holdback: Holdback,
        report_line: ReportLine,
    ) -> None:
        self._db, self._session, self._folder, self._jobs = db, session, folder, jobs
        self._fences, self._most_collected, self._holdback, self._report_line = (
            fences,
            most_collected,
            holdback,
            report_line,
        )
        self.total = {mapping.entity: Counts() for mapping in jobs}

    def adopt(self) -> None:
        """Finish the jobs that earlier runs left in Salesforce. A failure stops only its object."""
        for mapping in self._jobs:
            with self._holdback.stop_on_error(mapping):
                self._adopt(mapping)

    def send(self, deltas: Mapping[str, Delta]) -> int:
        """Send the outgoing records of the objects in `deltas`; return the number of rows sent. A failure stops only its object."""
        before = self._count_sent()
        for group in self._groups(deltas):
            if deltas[group[0].entity].going_out > self._most_collected:
                with self._holdback.stop_on_error(group[0]):
                    self._send_bulk(group[0])
            else:
                self._send_apart(group)
        return self._count_sent() - before

    def _count_sent(self) -> int:
        return sum(counts.sent for counts in self.total.values())

    def _adopt(self, mapping: CrmObject) -> None:
        for counts in self._jobs[mapping].adopt():
            self._add(mapping, replace(counts, dead=0))

    def _send_apart(self, group: list[CrmObject]) -> None:
        """Send a group of objects together. If that fails, send them one by one, so that a faulty object does not stop the others."""
        if len(group) > 1:
            try:
                self._send_few(group)
                return
            except STOPPING as error:
                self._report_line(f"Sending several objects together failed; they are sent one by one: {error}")
        for mapping in group:
            with self._holdback.stop_on_error(mapping):
                if len(group) > 1:
                    self._adopt(mapping)
                self._send_few([mapping])

    def _groups(self, deltas: Mapping[str, Delta]) -> Iterator[list[CrmObject]]:
        """Yield groups of objects to send together.

        A group contains objects with few rows. It ends after an object with new records, because a later object may need them as
        parents. An object with many rows is a group of its own.
        """
        group: list[CrmObject] = []
        for mapping in (each for each in self._jobs if each.entity in deltas):
            counts = deltas[mapping.entity]
            is_few = counts.going_out <= self._most_collected
            if group and not is_few:
                yield group
                group = []
            if counts.going_out:
                group.append(mapping)
            if group and (counts.new or not is_few):
                yield group
                group = []
        if group:
            yield group

    def _send_few(self, group: list[CrmObject]) -> None:
        batches = list[collections.Batch]()
        for mapping in group:
            with self._db.begin():
                self._holdback.wait_for_parents(mapping)
                sending, parts = rounds.cut(self._db, mapping, MOST_ROWS)
            if parts:
                batches.append(self._jobs[mapping].collect(sending))
        collections.send(self._session, batches, self.check_fences)
        again = {}
        for batch in batches:
            settled = self._jobs[batch.mapping].settle(batch)
            self._add(batch.mapping, settled.counts)
            again[batch.mapping] = settled.again
        for mapping, keys in again.items():
            if keys:
                self._send_bulk(mapping, keys)

    def _send_bulk(self, mapping: CrmObject, again: Sequence[str] = ()) -> None:
        """Send an object's outgoing records by bulk jobs; then send the rows that were locked or not processed up to two more times.

        Args:
            mapping: The object.
            again: Keys that a first attempt by collections left over; only these are sent. Empty to send all outgoing records.

        Raises:
            ObjectUnavailable: Rows are still locked or not processed after the last attempt.
        """
        for attempt in range(int(bool(again)), 1 + _TRIES_AGAIN):
            with self._db.begin():
                most = SMALL_JOB_ROWS if attempt else MOST_ROWS
                if not attempt:
                    self._holdback.wait_for_parents(mapping)
                sending, parts = rounds.cut(self._db, mapping, most, again)
            again = list[str]()
            for part in parts:
                path = self._folder / f"{mapping.entity}-{attempt}-{part}.csv"
                with self._db.begin():
                    written = file.write(self._db, sending, mapping, part, path)
                settled = self._jobs[mapping].send(sending, part, written)
                self._add(mapping, settled.counts)
                again += settled.again
                path.unlink()
            if not again:
                return
        raise ObjectUnavailable(
            "Rows are still locked or unprocessed in Salesforce; the retry sends them again",
            sobject=mapping.sobject, rows=len(again), dead=self.total[mapping.entity].dead or None,
        )  # fmt: skip

    def check_fences(self) -> None:
        """Raise `WriterSuperseded` if another writer has taken over one of the objects."""
        with self._db.begin():
            for fence in self._fences:
                fence.check(self._db)

    def _add(self, mapping: CrmObject, more: Counts) -> None:
        total = self.total[mapping.entity]
        self.total[mapping.entity] = replace(
            total, **{name: getattr(total, name) + getattr(more, name) for name in _ADDED}
        )
