"""Dry run of a Salesforce sync, including identity resolution and business rules, in a transaction that is rolled back."""

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
from include.rules import HOUSEHOLD_RULES, RULES
from include.rules.evaluation import evaluate_within
from include.rules.household_view import HouseholdView
from include.rules.policy import Policy as RulePolicy
from include.rules.rule import Rule
from include.rules.snapshot import Snapshot


def rehearse(
    engine: sa.Engine,
    vendors: Sequence[Vendor],
    identity_policy: identity.Policy,
    rule_policy: RulePolicy,
    settings: Settings,
    run_id: str,
    on: date,
    keys: int,
    *,
    resends: str = "",
    rules: tuple[Sequence[Rule[Snapshot]], Sequence[Rule[HouseholdView]]] = (RULES, HOUSEHOLD_RULES),
) -> Preview:
    """Resolve identities, evaluate the rules and preview the sync, without changing a row.

    Args:
        engine: The database, as the loading role.
        vendors: The vendors' declarations. They rank the vendors for each attribute of a person or household.
        identity_policy: Thresholds of identity resolution.
        rule_policy: Thresholds of the business rules.
        settings: The firm's Salesforce settings.
        run_id: Id of the run.
        on: Date at which ages are computed.
        keys: Number of records per object to show field by field.
        resends: The error whose rejected records would be sent again although they have not changed; see `delta.EVERY_ERROR`.
        rules: The rules on a vendor's day, and those on the household view.
    """
    statistics.refresh(engine)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as db:
        transaction = db.begin()
        try:
            resolve_within(db, vendors, run_id, on, identity_policy)
            with suppress(FatalError):  # a rule failed; the findings of all other rules are there
                evaluate_within(db, rule_policy, run_id, *rules)
            return preview_within(db, settings, keys, resends=resends)
        finally:
            transaction.rollback()
            db.invalidate()  # closing the connection drops its temporary tables
