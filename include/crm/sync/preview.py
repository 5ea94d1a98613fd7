"""Preview of a sync: what it would send, for review before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from include.crm import readiness
from include.crm.database import open_connection
from include.crm.objects.portfolio import list_mappings
from include.crm.settings import Settings
from include.crm.sync import delta, separation
from include.crm.sync.delta import Change, Delta
from include.crm.sync.guard import Concern, find_concerns


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes that a sync would send.

    Attributes:
        deltas: Counts by entity.
        samples: By entity: the separated records, each with the Salesforce record that has represented it so far, and the first changed
            records, field by field.
        concerns: Changes that need approval.
        unsettled: The vendors whose rows are held back, each with the time when that began.
    """

    deltas: Mapping[str, Delta]
    samples: Mapping[str, Sequence[Change]]
    concerns: list[Concern]
    unsettled: Mapping[str, datetime] = field(default_factory=dict)


def preview(engine: sa.Engine, settings: Settings, keys: int = 20, *, resends: str = "") -> Preview:
    """Compare all objects and return the changes that a sync would send, without a write or a request to Salesforce.

    Args:
        engine: The database, as the loading role.
        settings: The firm's settings.
        keys: Maximum number of sample records per object.
        resends: The error whose rejected records are sent again although they have not changed; see `delta.EVERY_ERROR`.
    """
    with open_connection(engine) as db:
        shown = preview_within(db, settings, keys, resends=resends)
        db.rollback()
    return shown


def preview_within(db: sa.Connection, settings: Settings, keys: int = 20, *, resends: str = "") -> Preview:
    """Preview on an open connection, so that uncommitted data in its transaction is included; see `preview`.

    The caller ends the transaction and closes the connection.
    """
    deltas, samples = dict[str, Delta](), dict[str, list[Change]]()
    ready = readiness.find_present_days(db)
    for mapping in list_mappings(settings):
        deltas[mapping.entity] = delta.compare(db, mapping, settings, ready, resends=resends)
        separated = [
            Change(each.external_key, mapping.key_field, each.old_key, each.external_key, each.name, each.salesforce_id)
            for each in separation.list_separated(db, mapping, settings)
        ]
        samples[mapping.entity] = [*separated, *delta.sample(db, mapping, keys)]
    return Preview(deltas, samples, find_concerns(deltas, settings), ready.since)
