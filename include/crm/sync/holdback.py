"""Decide which objects and records a running sync holds back.

A sync does not send:

- an object that failed, or whose changes need approval
- the records of a vendor whose newest day is not reconciled
- a new record that Salesforce may already have (`include.crm.adoption`)
- a record whose parent Salesforce has not accepted or no longer has, or whose parent has notable changes in an object that is not sent

Everything else is sent. `include.crm.sync.holding` stores what was held back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject
from include.crm.run import ReportLine
from include.crm.salesforce import VENDOR
from include.crm.settings import Settings
from include.crm.sync import delta, rounds
from include.crm.sync.delta import Delta
from include.crm.sync.guard import Concern, find_concerns, find_unapproved
from include.crm.sync.holding import Held
from include.errors import BalanceError, ConfigurationError, ObjectUnavailable, TributaryError

STOPPING = (ObjectUnavailable, ConfigurationError, BalanceError)
"""Errors that stop one object. Every other error stops the sync."""

_MAY_BE_THERE = "Salesforce may have these records already; approve or decide on the page Adoption"


class Holdback:
    """The objects and records that one sync does not send.

    Args:
        db: The sync's connection, outside a transaction.
        objects: The sync's objects, parents first.
        settings: The firm's settings.
        report_line: Receives a line for each object that fails.

    Attributes:
        failures: The errors that stopped an object.
    """

    def __init__(
        self, db: sa.Connection, objects: Sequence[CrmObject], settings: Settings, report_line: ReportLine
    ) -> None:
        self._db, self._objects, self._settings, self._report_line = db, objects, settings, report_line
        self.failures: list[TributaryError] = []
        self._stopped: dict[str, Held] = {}
        self._withheld: list[Held] = []
        self._waits: dict[str, int] = {}
        self._going_out: dict[str, int] = {}
        with db.begin():
            rounds.hold_none(db)

    def is_stopped(self, entity: str) -> bool:
        """Return whether the sync has stopped sending an object."""
        return entity in self._stopped

    @contextmanager
    def stop_on_error(self, mapping: CrmObject) -> Iterator[None]:
        """Run a block that sends one object. If it raises an error of `STOPPING`, stop the object and hold back its children.

        The error is added to `failures` and not raised, so the sync continues with the other objects.
        """
        try:
            yield
        except STOPPING as error:
            self._report_line(f"{mapping.sobject} ({mapping.entity}) is held back: {error}")
            self.failures.append(error)
            records = self._going_out.get(mapping.entity, 0)
            self._stopped[mapping.entity] = Held(mapping.entity, "failure", type(error).__name__, records, str(error))
            if mapping.entity in self._going_out:
                self._hold_children(mapping)

    def note_compared(self, deltas: Mapping[str, Delta]) -> None:
        """Record how many records of each compared object would be sent."""
        self._going_out |= {entity: found.going_out for entity, found in deltas.items()}

    def decide(self, deltas: Mapping[str, Delta], approved: list[Concern], unsettled: Mapping[str, datetime]) -> None:
        """Stop the objects whose changes are not approved; record the rows of unsettled vendors that are held back in each object.

        Args:
            deltas: The counts of all objects, by entity.
            approved: The approved concerns.
            unsettled: The vendors whose rows are held back, each with the time when that began.
        """
        self._stop_unapproved(deltas, approved)
        for mapping in self._objects:
            found = deltas[mapping.entity]
            if (stopped := self._stopped.get(mapping.entity)) is not None:
                self._stopped[mapping.entity] = replace(stopped, records=found.going_out)
                self._hold_children(mapping)
            if found.withheld:
                self._withhold(mapping, unsettled)

    def wait_for_parents(self, mapping: CrmObject) -> None:
        """Exclude from an object's next round the records that must wait for their parents. Call it in a transaction."""
        self._waits[mapping.entity] = rounds.wait_for_parents(self._db, mapping)

    @property
    def held(self) -> list[Held]:
        """Everything that this sync held back."""
        waiting = [
            Held(entity, "parent", "", records, "their parent records are not in Salesforce")
            for entity, records in self._waits.items()
            if records and entity not in self._stopped
        ]
        return [*self._stopped.values(), *self._withheld, *waiting]

    def _stop_unapproved(self, deltas: Mapping[str, Delta], approved: list[Concern]) -> None:
        unapproved = find_unapproved(find_concerns(deltas, self._settings), approved, self._settings)
        for entity in dict.fromkeys(each.entity for each in unapproved):
            if entity not in self._stopped:
                mine = [each for each in unapproved if each.entity == entity]
                questions, reasons = ",".join(each.question for each in mine), "; ".join(each.reason for each in mine)
                self._stopped[entity] = Held(entity, "approval", questions, 0, reasons)

    def _hold_children(self, mapping: CrmObject) -> None:
        with self._db.begin():
            rounds.hold_children(self._db, mapping)

    def _withhold(self, mapping: CrmObject, unsettled: Mapping[str, datetime]) -> None:
        with self._db.begin():
            counts = delta.count_withheld(self._db, mapping)
        if records := counts.pop(VENDOR, 0):
            self._withheld.append(Held(mapping.entity, "adoption", "", records, _MAY_BE_THERE))
        for vendor, records in sorted(counts.items()):
            reason = f"the newest day of {vendor} is not reconciled"
            self._withheld.append(Held(mapping.entity, "vendor", vendor, records, reason, unsettled.get(vendor)))
