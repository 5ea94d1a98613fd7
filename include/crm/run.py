"""The parameters of a sync: the Salesforce org, and the run."""

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
        connection: The connection to the org; see `SalesforceSession`.
        settings: The firm's settings for the org.
    """

    engine: sa.Engine
    connection: Connection
    settings: Settings


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One run that writes to Salesforce.

    Attributes:
        run_id: Airflow's run id.
        business_date: The day under which the ledger and dead letters record the run. It selects no data: a sync always sends the
            warehouse's current state.
    """

    run_id: str
    business_date: date
