"""How the outgoing records of a sync travel, parents before children.

A few changed rows travel by collections, several objects in one call; many travel by bulk jobs, an object at a time. Rows that
Salesforce had locked or did not process are sent again in small jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from include.control.ledger import Counts
from include.control.writer import Fence
from include.crm.objects.mapping import CrmObject
from include.crm.salesforce import SalesforceSession
from include.crm.sync import collections, file, rounds
from include.crm.sync.delta import Delta
from include.crm.sync.holdback import STOPPING, Holdback
from include.crm.sync.jobs import Jobs
from include.errors import ObjectUnavailable

MOST_ROWS = 1_000_000
SMALL_JOB_ROWS = 5_000
"""Of a job that sends again what was locked: one batch at Salesforce, so that no two batches meet at a parent."""

_TRIES_AGAIN = 2
_ADDED = ("sent", "created", "updated", "failed", "unprocessed", "dead")


class Sender:
    """Sends what a sync has compared, and counts it.

    Args:
        db: The sync's connection, which compared.
        session: The org.
        folder: Where files are until Salesforce has taken them.
        jobs: The jobs of each object, parents first.
        fences: The right to write the objects.
        most_collected: Rows of an object that travel by collections; more travel by bulk jobs.
        holdback: What is not sent.
        say: Receives progress, a line at a time.

    Attributes:
        total: What was sent, and what became of it, by entity.
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
        say: Callable[[str], None],
    ) -> None:
        self._db, self._session, self._folder, self._jobs = db, session, folder, jobs
        self._fences, self._most_collected, self._holdback, self._say = fences, most_collected, holdback, say
        self.total = {wanted.entity: Counts() for wanted in jobs}

    def adopt(self) -> None:
        """Finish what an earlier run left at Salesforce; a failure stops its object."""
        self._keep_waiting([])
        for wanted in self._jobs:
            with self._holdback.stopping(wanted):
                self._adopt(wanted)

    def send(self, deltas: Mapping[str, Delta]) -> int:
        """Send the outgoing records of these objects; return how many rows were sent. A failure stops its object."""
        before = self._count_sent()
        for group in self._groups(deltas):
            if deltas[group[0].entity].going_out > self._most_collected:
                with self._holdback.stopping(group[0]):
                    self._send_bulk(group[0])
            else:
                self._send_apart(group)
        return self._count_sent() - before

    def _count_sent(self) -> int:
        return sum(counts.sent for counts in self.total.values())

    def _adopt(self, wanted: CrmObject) -> None:
        for counts in self._jobs[wanted].adopt():
            self._add(wanted, replace(counts, dead=0))

    def _send_apart(self, group: list[CrmObject]) -> None:
        """Send a group; one that fails as a whole is sent object by object, so that one of them does not stop the others."""
        if len(group) > 1:
            try:
                self._send_few(group)
                return
            except STOPPING as error:
                self._say(f"Objects that were sent together failed, and are sent one by one: {error}")
        for wanted in group:
            with self._holdback.stopping(wanted):
                if len(group) > 1:
                    self._adopt(wanted)
                self._send_few([wanted])

    def _groups(self, deltas: Mapping[str, Delta]) -> Iterator[list[CrmObject]]:
        """Yield the objects that travel together: few rows, and none that a later one of them may need as its parent."""
        group: list[CrmObject] = []
        for wanted in (each for each in self._jobs if each.entity in deltas):
            found = deltas[wanted.entity]
            is_few = found.going_out <= self._most_collected
            if group and not is_few:
                yield group
                group = []
            if found.going_out:
                group.append(wanted)
            if group and (found.new or not is_few):
                yield group
                group = []
        if group:
            yield group

    def _send_few(self, group: list[CrmObject]) -> None:
        batches, sending = [], list[CrmObject]()
        for wanted in group:
            with self._db.begin():
                self._holdback.wait_for_parents(wanted)
                if rounds.cut(self._db, wanted, MOST_ROWS):
                    sending.append(wanted)
                else:
                    continue
            batches.append(self._jobs[wanted].collect())
        collections.send(self._session, batches, self._check_fences)
        waiting = {}
        for wanted, batch in zip(sending, batches, strict=True):
            self._keep_waiting([])
            self._add(wanted, self._jobs[wanted].settle(batch))
            waiting[wanted.entity] = self._read_waiting()
        for wanted in sending:
            if waiting[wanted.entity]:
                self._keep_waiting(waiting[wanted.entity])
                self._send_bulk(wanted, only_waiting=True)

    def _send_bulk(self, wanted: CrmObject, *, only_waiting: bool = False) -> None:
        for attempt in range(int(only_waiting), 1 + _TRIES_AGAIN):
            with self._db.begin():
                most = SMALL_JOB_ROWS if attempt else MOST_ROWS
                if not attempt:
                    self._holdback.wait_for_parents(wanted)
                parts = rounds.cut(self._db, wanted, most, only_waiting=attempt > 0)
            for part in parts:
                path = self._folder / f"{wanted.entity}-{attempt}-{part}.csv"
                with self._db.begin():
                    written = file.write(self._db, wanted, part, path)
                self._add(wanted, self._jobs[wanted].send(part, written))
                path.unlink()
            if not (left := self._read_waiting()):
                return
        raise ObjectUnavailable(
            "Rows are still locked or unprocessed at Salesforce; they go out again",
            sobject=wanted.sobject, rows=len(left), dead=self.total[wanted.entity].dead or None,
        )  # fmt: skip

    def _check_fences(self) -> None:
        with self._db.begin():
            for fence in self._fences:
                fence.check(self._db)

    def _read_waiting(self) -> list[str]:
        with self._db.begin():
            return rounds.read_waiting(self._db)

    def _keep_waiting(self, keys: Sequence[str]) -> None:
        with self._db.begin():
            rounds.keep_waiting(self._db, keys)

    def _add(self, wanted: CrmObject, more: Counts) -> None:
        total = self.total[wanted.entity]
        self.total[wanted.entity] = replace(
            total, **{name: getattr(total, name) + getattr(more, name) for name in _ADDED}
        )
