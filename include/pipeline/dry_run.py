"""What a sync to Salesforce would do, who is who and findings included, in one transaction that is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date

import sqlalchemy as sa

from include.contract import Vendor
from include.crm.settings import Settings
from include.crm.sync.preview import Preview, preview_within
from include.database import statistics
from include.errors import FatalError
from include.identity import policy as identity
from include.identity.resolve import resolve_within
from include.rules import policy as rules
from include.rules.evaluation import evaluate_within


def rehearse(
    engine: sa.Engine,
    vendors: Sequence[Vendor],
    identity_policy: identity.Policy,
    rule_policy: rules.Policy,
    settings: Settings,
    run_id: str,
    on: date,
    keys: int,
    *,
    resends: bool = False,
) -> Preview:
    """Resolves identities, evaluates the rules and compares everything, and leaves no row changed.

    Args:
        engine: As the loading role.
        vendors: Say whose value counts first.
        identity_policy: Thresholds of who is who.
        rule_policy: Thresholds of the business rules.
        settings: The firm's Salesforce.
        run_id: Names the run.
        on: Day for which age is reckoned.
        keys: How many records of each object are shown field by field.
        resends: As for `sync`.
    """
    statistics.refresh(engine)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as db:
        transaction = db.begin()
        try:
            resolve_within(db, vendors, run_id, on, identity_policy)
            with suppress(FatalError):  # rules that fail keep nothing back but their own findings
                evaluate_within(db, rule_policy, run_id)
            return preview_within(db, settings, keys, resends=resends)
        finally:
            transaction.rollback()
            db.invalidate()  # its temporary tables end with it
