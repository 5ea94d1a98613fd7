"""A firm with a value for every metric, as runs record it."""

from __future__ import annotations

from datetime import date, timedelta

from tests.conftest import Database
from tests.operations.records import LOADED, NOW, record_calls, record_check, record_day, record_dead_letter

BEFORE = date(2026, 11, 24)
WAITING_SINCE = NOW - timedelta(minutes=20)
_STATEMENTS = (
    "insert into control.inbox (sender, received_at, body, content_hash, headers) values ('docusign', :since, '', 'h1', '{}')",
    "insert into control.inbox (sender, body, content_hash, headers, processed_at, error) values ('docusign', '', 'h2', '{}', now(), 'unreadable')",
    "insert into control.outbound_subscriber (subscriber, state, types, vendors, first_seen_at) values ('crm', 'active', '{}', '{}', :since),"
    " ('old', 'disabled', '{}', '{}', :since)",
    "delete from control.outbox",  # what the loads above put there
    "insert into control.outbox (type, vendor, subject, occurred_at, data) values ('t', 'orion', 's', :since, '{}')",
    "insert into control.outbound_delivery (subscriber, event_number, subject, due_at) select subscriber, event_number, 's', :since"
    " from control.outbox, control.outbound_subscriber",
    "insert into control.request (request_id, caller, what, vendor, params, requested_at)"
    " values (gen_random_uuid(), 'mule', 'run', 'orion', '{}', :since)",
    "insert into control.rate_budget values ('orion', 'all', :later), ('orion', 'batch', :since)",
    "insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at, recorded_at, sent,"
    " created) values (nextval('control.ledger_id'), 'run-3', 'salesforce', 'Account', '2026-11-25', 'crm', 'c1', 'current', :since, :since, 7, 7)",
    "insert into control.crm_held values ('household', 'vendor', 'orion', 3, 'late', :since, null, 'run-3')",
    "insert into control.crm_question (entity, question, records, difference, wording, run_id, requested_at)"
    " values ('household', 'change', 9, 'd', 'w', 'run-3', :since)",
    "insert into control.crm_topic (topic, trouble, trouble_since) values ('/data/ChangeEvents', 'no rights', :since)",
    "insert into control.audit_head (position, published_at) values (1, :since)",
    "insert into control.backup (known_at, kind) values (:since, 'full')",
    "insert into control.recovery_drill values ('run-4', :since, :since, :since, 30, 600, '{}', :since)",
)


def record_good_day(database: Database) -> None:
    """Record a vendor that has been loaded for some time, and whose newest day is in and reconciled."""
    record_day(database, BEFORE, LOADED - timedelta(days=1), run="run-0")
    record_day(database)
    record_check(database)


def record_firm(database: Database) -> None:
    """Record a good day of Orion with one dead letter and 100 calls, one item in each queue, and one row of each safeguard."""
    record_good_day(database)
    record_dead_letter(database)
    record_calls(database, 100, failed=4)
    for statement in _STATEMENTS:
        database.do(statement, since=WAITING_SINCE, later=NOW + timedelta(seconds=90))
