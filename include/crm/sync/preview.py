"""What a sync would send, for people to look at before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from include.crm.database import open_connection
from include.crm.objects.portfolio import objects
from include.crm.settings import Settings
from include.crm.sync import delta, readiness
from include.crm.sync.delta import Change, Delta
from include.crm.sync.guard import Concern, find_concerns


@dataclass(frozen=True, slots=True)
class Preview:
    """What a sync would send, changing nothing.

    Attributes:
        deltas: By entity.
        samples: By entity, the first changed records field by field.
        concerns: What a person would be asked about.
        unsettled: Vendors whose rows are held back, and since when.
    """

    deltas: Mapping[str, Delta]
    samples: Mapping[str, Sequence[Change]]
    concerns: list[Concern]
    unsettled: Mapping[str, datetime] = field(default_factory=dict)


def preview(engine: sa.Engine, settings: Settings, keys: int = 20, *, resends: bool = False) -> Preview:
    """Compare everything and return what a sync would send; change nothing, and send Salesforce no request.

    Args:
        engine: As the loading role.
        settings: The firm's.
        keys: How many records of each object are shown field by field.
        resends: Whether what was refused is sent again although nothing changed.
    """
    with open_connection(engine) as db:
        shown = preview_within(db, settings, keys, resends=resends)
        db.rollback()
    return shown


def preview_within(db: sa.Connection, settings: Settings, keys: int = 20, *, resends: bool = False) -> Preview:
    """Preview within the transaction of a connection, which may hold what is not committed; the caller ends both."""
    deltas, samples = dict[str, Delta](), dict[str, list[Change]]()
    unsettled = readiness.find_present_days(db)
    for wanted in objects(settings):
        deltas[wanted.entity] = delta.compare(db, wanted, settings, resends=resends)
        samples[wanted.entity] = delta.sample(db, wanted, keys)
    return Preview(deltas, samples, find_concerns(deltas, settings), unsettled)
