"""Least privilege: the role that serves webhooks can't write pushes, and the role of the API can't write webhooks. Every statement is tried."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from tests.conftest import Database

GATEWAY, API, LISTENER, WEB = "tributary_gateway", "tributary_api", "tributary_listener", "tributary_web"
_EVENT = "insert into control.inbox (sender, body, content_hash, event_id, headers, processed_at) values ('{}', '', 'h', 'e', '{{}}', now())"
WRITES = {
    "webhook": "select control.receive('docusign', '', 'h', null, '{}')",
    "push by the webhook's function": "select control.receive('push.orion.clients', '', 'h', 'e', '{}')",
    "withdrawal by the webhook's function": "select control.receive('withdraw.orion.clients', '', 'h', 'e', '{}')",
    "any delivery": "select control.insert_delivery('docusign', '', 'h', null, '{}')",
    "push": "select control.push('token:a', 'attempt-1', '', 'an id', 'orion', 'clients', '')",
    "withdrawal": "select control.withdraw_push('token:a', 'attempt-1', '', 'e')",
    "request": "select control.submit_request('token:a', 'attempt-1', '', 'run', 'orion', '{}')",
    "idempotency key": "select control.record_answer('token:a', 'attempt-1', '', '{}')",
    "event of Salesforce": _EVENT.format("/event/Tributary_Refresh__e"),
    "webhook as an event": _EVENT.format("docusign"),
    "push as an event": _EVENT.format("push.orion.clients"),
    "withdrawal as an event": _EVENT.format("withdraw.orion.clients"),
    "new sender": "update control.inbox set sender = 'push.orion.clients'",
    "new body": "update control.inbox set body = '[]'",
    "end of a delivery": "update control.inbox set processed_at = now()",
    "removal": "delete from control.inbox",
    "row of a request": "insert into control.request (request_id) values (gen_random_uuid())",
    "API key": "insert into control.api_key (key_id, caller, secret_hash, scopes, expires_at) values ('k', 'a', '', '{runs:write}', now())",
    "API key of the pages": "select control.create_api_key('admin', 'k', 'a', sha256(''), '{runs:write}', 1)",
    "wider scopes": "update control.api_key set scopes = '{runs:write}'",
    "use of a key": "update control.api_key set last_used_on = current_date",
    "audit entry": "insert into control.audit (actor, action) values ('a', 'api.read')",
    "ledger": "insert into control.ledger (ledger_id) values (1)",
    "position": "update warehouse.position set quantity = 0",
    "household": "insert into warehouse.household (household_key) values ('h')",
}
ALLOWED = {
    GATEWAY: {"webhook"},
    API: {"push", "withdrawal", "request", "use of a key"},
    LISTENER: {"event of Salesforce", "request"},
    WEB: {"API key of the pages"},
}


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("name", WRITES)
def test_role_writes_only_what_it_serves(shared_database: Database, role: str, name: str) -> None:
    with psycopg.connect(shared_database.url(role)) as connection:
        if name in ALLOWED[role]:
            connection.execute(WRITES[name])  # type: ignore[call-overload]
        else:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(WRITES[name])  # type: ignore[call-overload]
        connection.rollback()


@pytest.mark.parametrize(
    "call", ["create_api_key('a', 'k', 'a', sha256(''), '{runs:write}', 1)", "revoke_api_key('a', 'k')"]
)
def test_a_task_gives_itself_no_key(shared_database: Database, call: str) -> None:
    with psycopg.connect(shared_database.url()) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(f"select control.{call}")  # type: ignore[call-overload]


CALLS = {
    GATEWAY: {"receive"},
    API: {"push", "record_audit", "submit_request", "withdraw_push"},
}


@pytest.mark.parametrize("role", CALLS)
def test_role_calls_no_other_function_that_writes(shared_database: Database, role: str) -> None:
    """Functions in plain SQL only read."""
    rows = shared_database.rows(
        "select distinct p.proname from pg_proc p join pg_language l on l.oid = p.prolang"
        " where p.pronamespace in ('control'::regnamespace, 'warehouse'::regnamespace) and l.lanname = 'plpgsql'"
        " and has_function_privilege(:role, p.oid, 'execute')".replace("::", "\\:\\:"),
        role=role,
    )
    assert {row["proname"] for row in rows} == CALLS[role]


@pytest.mark.parametrize(
    ("role", "expected"), [(GATEWAY, set[str]()), (API, {"control.api_key last_used_on UPDATE"})], ids=[GATEWAY, API]
)
def test_role_changes_no_table_itself(shared_database: Database, role: str, expected: set[str]) -> None:
    rows = shared_database.rows(
        "select distinct format('%s.%s %s %s', table_schema, table_name, column_name, privilege_type) as name"
        " from information_schema.column_privileges where grantee = :role and privilege_type <> 'SELECT'"
        " union select format('%s.%s * %s', table_schema, table_name, privilege_type)"
        " from information_schema.table_privileges where grantee = :role and privilege_type <> 'SELECT'",
        role=role,
    )
    assert {row["name"] for row in rows} == expected
