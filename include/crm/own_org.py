"""Work only with the org whose accepted state is in the database.

A sync sends what differs from the state that the org accepted last. Another org, such as production after a sandbox, would get only what
changes from now on, and its advisors would see old numbers, or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from include.control.calls import CallLog
from include.crm.run import Org
from include.crm.salesforce import SalesforceSession
from include.errors import ConfigurationError

_RECORD = sa.text("insert into control.crm_org (org_id) values (:org_id) on conflict do nothing")
_READ = sa.text("select org_id from control.crm_org")
_ID_LENGTH = 15
"""Salesforce states an id of 15 characters, or the same with a checksum of three more."""


@contextmanager
def open_own_org(
    org: Org, calls: CallLog, *, patience_s: float = 120.0, is_writing: bool = True
) -> Iterator[SalesforceSession]:
    """Open a session with the org, and record its id at the first one that writes.

    Args:
        org: The org, and the database.
        calls: Records every call except logins.
        patience_s: How long a call is retried before its error is raised, in seconds.
        is_writing: Whether the session writes to the org. A look at an org does not tie the database to it.

    Raises:
        ConfigurationError: The database has the state of another org.
        AuthenticationError: Salesforce rejected the login.
        TargetUnavailable: Salesforce's token endpoint is unavailable.
    """
    with SalesforceSession(org.connection, calls, patience_s=patience_s) as session:
        if org_id := session.find_ticket().org_id:
            if is_writing:
                with org.engine.begin() as db:
                    db.execute(_RECORD, {"org_id": org_id})
            require_own_org(org.engine, org_id)
        yield session


def require_own_org(engine: sa.Engine, org_id: str) -> None:
    """Raise an error if the database has the state of another org.

    Raises:
        ConfigurationError: It has.
    """
    with engine.connect() as db:
        known = db.scalar(_READ)
    if known and known[:_ID_LENGTH] != org_id[:_ID_LENGTH]:
        raise ConfigurationError(
            "The connection salesforce leads to another org than the one whose records this database knows. Correct the connection, or"
            " install Tributary with a new database for this org. A sandbox that was refreshed is another org",
            org_id=org_id, known=known,
        )  # fmt: skip
