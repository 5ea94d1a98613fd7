"""The parameters of a sync: the Salesforce org, and the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import sqlalchemy as sa

from include.connection import Connection
from include.crm.settings import Settings
from include.identity.policy import Policy
from include.sensitive import Redactor

ReportLine = Callable[[str], None]
"""Reports one line of progress."""


@dataclass(frozen=True, slots=True)
class Org:
    """A firm's Salesforce org, and the database that is synced to it.

    Attributes:
        engine: The database, as the loading role.
        connection: The connection to the org; see `SalesforceSession`.
        settings: The firm's settings for the org.
        redactor: Hashes account numbers of the org, to compare them with those of vendors; None compares only their last four digits.
        identity: Thresholds for matching the org's persons with those of vendors.
    """

    engine: sa.Engine
    connection: Connection
    settings: Settings
    redactor: Redactor | None = None
    identity: Policy = field(default_factory=Policy)


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
