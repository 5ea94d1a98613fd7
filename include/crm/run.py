"""The org that a firm's records are sent to, and the facts of one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from include.connection import Connection
from include.crm.settings import Settings


@dataclass(frozen=True, slots=True)
class Org:
    """A firm's Salesforce org, and the database that is synced to it.

    Attributes:
        engine: The database, as the loading role.
        connection: The org; see `SalesforceSession`.
        settings: The firm's.
    """

    engine: sa.Engine
    connection: Connection
    settings: Settings


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One run that writes to Salesforce.

    Attributes:
        run_id: Airflow's run id.
        business_date: The run's day, for ledger and dead letters. The current state is sent, whatever the day.
    """

    run_id: str
    business_date: date
