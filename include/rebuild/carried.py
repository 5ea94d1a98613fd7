"""Carry over from the original the small tables that staging does not have: ids, decisions of people, the state of Salesforce."""

from __future__ import annotations

import psycopg
from psycopg import sql

from include.canonical import ENTITIES
from include.database.tls import require_verified
from include.retention.forget import FORGOTTEN

CARRIED = (
    "warehouse.source_key",
    "warehouse.identity",
    "control.survivorship",
    "control.identity_run",
    "control.identity_link",
    "control.identity_review",
    "control.identity_decision",
    "control.identity_lesson",
    "control.security_conflict",
    "control.known_difference",
    "control.finding",
    "control.evaluated_day",
    "control.crm_state",
    "control.crm_difference",
    "control.crm_job",
    "control.crm_sent",
    "control.crm_question",
    "control.crm_held",
    "control.crm_mark",
    "control.crm_org",
    "control.adoption_decision",
    "control.adoption_approval",
    "control.adopted",
    "control.crm_total",
    "control.day_decision",
    "control.threshold_change",
    "control.first_hash",
    "warehouse.crm_change",
    "control.crm_topic",
    "control.document",
    "control.document_try",
    "control.inbox",
    "control.api_key",
    "control.lateness",
    "control.unused_vendor",
    "control.past_unused_vendor",
    "control.alert",
)
"""The tables to copy, each after the tables that it refers to. The ids in them stay valid, because `warehouse.source_key` is copied."""

REBUILT = (
    *(f"warehouse.{entity.name}" for entity in ENTITIES),
    "warehouse.sealed_value",
    "control.ledger",
    "control.absence",
    "control.past_absence",
    "control.drift",
    "control.dead_letter",
    "control.reconciliation",
    "control.control_total_break",
    "control.roll_forward_break",
    "control.rejection",
    "control.validation",
)
"""The tables that the steps of the rebuild write again."""

LEFT = (
    ("control.schema_version", "written by `migrate`"),
    ("control.retention", "written by `migrate`"),
    ("mart.source", "written by `migrate`"),
    ("control.key", "written by `add-keys`"),
    ("control.restore", "the rebuild adds a row: nothing is written to Salesforce until the org was read back"),
    ("control.dead_letter_content", "operators show it again"),
    ("control.writer", "locks of running loads"),
    ("control.rate_budget", "the calls of the last minutes"),
    ("control.outage", "the next run measures it again"),
    ("control.backup", "a rebuilt database has no backup yet"),
    ("control.recovery_drill", "drills of the original"),
    ("control.audit", "a new trail begins; only the hashes of forgotten persons are carried over, in one entry"),
    ("control.audit_seal", "a new trail begins"),
    ("control.audit_head", "a new trail begins"),
    ("control.refresh_token", "a token works once; authorize each grant again"),
    ("control.cache", "the next calls to vendors log in again"),
    ("control.answer", "responses of unfinished pulls"),
    ("control.known_answer", "the next pull requests them again"),
    ("control.api_call", "calls to vendors"),
    ("control.outbox", "subscribers receive nothing about the repeated loads"),
    ("control.outbound_delivery", "subscribers receive nothing about the repeated loads"),
    ("control.outbound_subscriber", "the next delivery creates it"),
    ("control.check_report", "checks of the original's connections; check again"),
    ("control.org_record", "the next comparison reads the org again"),
    ("control.org_read", "the next comparison reads the org again"),
    ("control.adoption_finding", "the next comparison finds it again"),
    ("control.identity_state", "the next identity run matches all records"),
    ("control.request", "callers send their requests again"),
    ("control.idempotency", "callers send their requests again"),
)
"""The tables that a rebuilt database has without the original's rows, each with the reason."""

NOT_CARRIED = (
    "recorded_from, recorded_to: the times of the rebuild; what was known at an earlier time can no longer be queried",
    "audit trail: a new one begins, with one entry of the hashes of forgotten persons; keep the original trail and its published heads",
    "absences and schema drift: they have the dates of the rebuild",
    "ledger: rows of Salesforce syncs; ids of the ledger and of dead letters are new",
    "refresh tokens: authorize each grant again",
    "calls to vendors, responses of unfinished pulls, events and deliveries to subscribers, requests of API callers",
)
"""Data that a rebuilt database lacks, one line each."""


# Without the hashes, a person who was forgotten would not be recognized when a vendor sends the person again.
_FORGOTTEN = f"select array_agg(distinct key order by key) from ({FORGOTTEN}) f(key)"  # noqa: S608
_RECORD_FORGOTTEN = """
insert into control.audit (happened_at, database_user, actor, action, subject, details)
select clock_timestamp(), session_user, 'rebuild', 'forgotten.carried', 'warehouse', jsonb_build_object('keys', cast(%(keys)s as text[]))
where not exists (select from control.audit where action = 'forgotten.carried')
"""


def carry(original_url: str, url: str) -> dict[str, int]:
    """Copy the tables of `CARRIED` in one transaction; return table -> number of copied rows.

    The hashes of forgotten persons become one entry of the new audit trail, `forgotten.carried`.

    A table that the original does not have, or that is not empty in the target, is skipped. Triggers do not run, because they would report
    and audit the original's events as new.

    Args:
        original_url: The original, as its owner, because no other role may read all these tables. It is only read.
        url: The database that is rebuilt, as its owner (`tributary_migrate`).
    """
    copied: dict[str, int] = {}
    require_verified(original_url)
    with psycopg.connect(original_url) as source, psycopg.connect(url) as target:
        source.execute("set transaction isolation level repeatable read, read only")
        for name in CARRIED:
            if _list_columns(source, name) and _is_empty(target, name):
                copied[name] = _copy(source, target, name)
        if keys := _find_forgotten(source):
            target.execute(_RECORD_FORGOTTEN, {"keys": keys})
    return copied


def _find_forgotten(source: psycopg.Connection) -> list[str]:
    """Return the hashes of the keys of forgotten persons; empty if the original has no audit trail, such as a dump of small tables."""
    row = source.execute(_FORGOTTEN).fetchone() if _list_columns(source, "control.audit") else None
    return row[0] or [] if row else []


def _copy(source: psycopg.Connection, target: psycopg.Connection, name: str) -> int:
    table, known = sql.Identifier(*name.split(".")), _list_columns(source, name)
    columns = [column for column in _list_columns(target, name) if column in known]
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    target.execute(sql.SQL("alter table {} disable trigger user").format(table))
    with source.cursor() as reading, target.cursor() as writing:
        with (
            reading.copy(sql.SQL("copy (select {} from {}) to stdout").format(listed, table)) as rows,
            writing.copy(sql.SQL("copy {} ({}) from stdin").format(table, listed)) as copy,
        ):
            for data in rows:
                copy.write(data)
        copied = writing.rowcount
    target.execute(sql.SQL("alter table {} enable trigger user").format(table))
    _advance_ids(target, name, columns)
    return copied


def _advance_ids(target: psycopg.Connection, name: str, columns: list[str]) -> None:
    """Set the sequence of a table's ids to continue after the copied ids."""
    for column in columns:
        sequence = target.execute("select pg_get_serial_sequence(%s, %s)", [name, column]).fetchone()
        if sequence and sequence[0]:
            highest = sql.SQL("select setval({}, greatest(max({}), 1)) from {}")
            target.execute(highest.format(sequence[0], sql.Identifier(column), sql.Identifier(*name.split("."))))


def _is_empty(connection: psycopg.Connection, name: str) -> bool:
    table = sql.Identifier(*name.split("."))
    return connection.execute(sql.SQL("select from {} limit 1").format(table)).fetchone() is None


def _list_columns(connection: psycopg.Connection, name: str) -> list[str]:
    """Return the columns of a table except generated ones; empty if the database does not have the table."""
    query = """
    select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped and attgenerated = ''
    order by attnum
    """
    return [column for (column,) in connection.execute(query, [name])]
