"""The views of our schemas and the functions of `mart` and `masked_mart`.

Each is defined in the SQL file of its name. Edit the file in place: `include.warehouse.schema.migrate` recreates all views and functions
when any file changes. To add a file, add its name to `MARTS`. For a new mart, also insert its sources into `mart.source` in a numbered
SQL file, so that `mart.completeness` includes it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from psycopg import errors

from include.errors import ConfigurationError

FOLDER = Path(__file__).parent
MARTS = (
    "is_valid_on", "absence_known", "unused_vendor_known",
    # identity
    "identity_decision_in_force", "identity_record", "identity_queue", "known_household", "known_person", "known_legal_entity", "known_security", "account_known", "account_owner_known", "account_share_known", "account_copy_known", "household_known",
    "representative_known", "security_known", "household_as_one", "person_as_one", "legal_entity_as_one",
    # portfolios
    "legal_entity", "holding", "aum_by_household", "aum_by_representative", "aum_by_asset_class", "net_flows", "net_worth_part", "net_worth", "openings_and_closings",
    # planning, risk and rules
    "plan_freshness", "plan_assets", "goal_health", "risk_alignment", "questionnaire", "questionnaire_age", "out_of_line",
    # envelopes and Salesforce
    "acting_roles", "envelope", "crm_superseded", "crm_record", "crm_change", "deal_stage", "deal",
    # freshness and completeness
    "freshness", "reconciliation_in_force", "uncompared_change", "unsettled_vendor", "completeness", "day_in_force",
    # what was known when, and who saw it
    "record_version", "value_version", "load_source", "record", "firm", "access", "exposure", "exposure_gap",
    # operations
    "vendor_day", "table_day", "open_dead_letters", "dead_letter_row", "dead_letter_detail", "reconciliation_day",
    "reconciliation_break", "salesforce_sync",
    "salesforce_rejection", "open_finding", "pending_delivery", "subscriber_state", "caller_request", "caller_key", "activity",
    "salesforce_approval", "salesforce_held_back", "salesforce_job", "salesforce_difference",
    "salesforce_adoption", "salesforce_adoption_state",
    "salesforce_record", "rejected_delivery", "missing_document", "stored_document", "given_up_event",
    "queue_state", "safeguard_state",
    # data quality
    "quality_day", "dead_letter_reason",
    # lineage
    "lineage_search", "lineage_find", "lineage_version", "lineage_load", "lineage_cluster", "lineage_salesforce", "lineage_finding", "lineage_balance",
    "lineage_net_worth",
    # for analysts: after all others, because it masks them
    "masked",
)  # fmt: skip
"""Names of the SQL files in the order of creation: a file comes after the files whose views it uses."""

_DROP = """
do $$
declare
    views     text := (select string_agg(oid::regclass::text, ', ') from pg_class
                       where relkind = 'v' and relnamespace::regnamespace::text
                           in ('control', 'warehouse', 'mart', 'masked_mart', 'masked_warehouse'));
    functions text := (select string_agg(oid::regprocedure::text, ', ') from pg_proc
                       where pronamespace::regnamespace::text in ('mart', 'masked_mart'));
begin
    if views is not null then execute 'drop view ' || views; end if;
    if functions is not null then execute 'drop function ' || functions; end if;
end $$
"""


def read_statements() -> str:
    """Return the statements that create all views and mart functions."""
    return "\n".join((FOLDER / f"{name}.sql").read_text() for name in MARTS)


def drop(connection: sa.Connection) -> None:
    """Drop all views of our schemas, and all functions of `mart` and `masked_mart`.

    Raises:
        ConfigurationError: A view or function in another schema depends on one of them.
    """
    try:
        connection.exec_driver_sql(_DROP, execution_options={"no_parameters": True})
    except sa.exc.InternalError as error:
        if not isinstance(error.orig, errors.DependentObjectsStillExist):
            raise
        message = "Objects of your own depend on views that change: drop them, migrate, and create them again; nothing was changed"
        raise ConfigurationError(message, objects=error.orig.diag.message_detail) from error


def create(connection: sa.Connection, statements: str) -> None:
    """Create all views and mart functions; none of them may exist. Default privileges grant the roles' rights on them.

    Args:
        connection: As the migrating role.
        statements: From `read_statements`.
    """
    connection.exec_driver_sql(statements, execution_options={"no_parameters": True})
