"""The database records each event of the audit trail itself, whichever code causes it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.conftest import Database

LEDGER = """
insert into control.ledger (ledger_id, run_id, vendor, table_name, business_date, stage, pull_id, pulled, extracted_at, {counts})
values (1, 'r1', 'orion', 'clients', '2026-11-27', '{stage}', 'p1', 'current', now(), {values})
"""
DEAD = """
insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number)
values ('r1', 'orion', 'clients', '2026-11-27', 'stage', '7', '{x}', 'p', 'p', 0)
"""
QUESTION = """
insert into control.crm_question (entity, question, records, difference, wording, run_id)
values ('holding', 'change', 9, 'abc', 'Change 9 holdings?', 'r1')
"""
INFECTED = "insert into control.document_try (vendor, envelope_key, kind, error, malware) values ('docusign', 'e1', 'signed', 'x', 'Eicar')"
STATE = "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id) values ('Account', 'k1', '{}', '001', 'j1')"
DOCUMENT = "insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until) values ('docusign', 'e1', 'signed', repeat('a', 64), 5, '2033-01-01')"
DECISION = """
insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by)
values ('person', 3, 5, true, 'same birth date', 'Pat')
"""
KEY = "insert into control.api_key (key_id, caller, secret_hash, scopes, expires_at) values ('k1', 'portal', sha256('x'), '{status:read}', '2027-01-01')"
SUBSCRIBER = "insert into control.outbound_subscriber (subscriber, state, types, vendors, first_seen_at) values ('portal', 'active', '{a}', '{}', now())"
REQUEST = "select control.submit_request('portal', 'i1', sha256('x'), 'run', 'orion', '{\"day\": null}')"
CHECK = """
insert into control.reconciliation (run_id, vendor, business_date, check_name, expected, actual, tolerance, breaks, accepted_by, is_passed)
values ('r1', 'orion', '2026-11-27', 'control total', 10, 9, 0, 1, {by}, true)
"""

EVENTS: list[tuple[list[str], tuple[str, str, str], dict[str, Any]]] = [
    ([LEDGER.format(stage="load", counts="produced, inserted, unchanged", values="5, 2, 3")],
     ("run r1", "data.loaded", "orion clients 2026-11-27"), {"ledger_id": 1, "pull_id": "p1", "inserted": 2, "unchanged": 3}),
    ([LEDGER.format(stage="crm", counts="sent, created", values="5, 5")],
     ("run r1", "salesforce.sent", "clients 2026-11-27"), {"sent": 5, "created": 5}),
    ([CHECK.format(by="null"), "update control.reconciliation set accepted_by = 'Pat'"],
     ("Pat", "day.check_changed", "orion 2026-11-27 control total"), {"accepted_by": "Pat", "before": {"accepted_by": None}}),
    ([DEAD, "update control.dead_letter set status = 'superseded'", "update control.dead_letter set status = 'open'"],
     ("run r1", "dead_letter.reopened", "1"), {"status": "open", "before": {"status": "superseded"}}),
    ([DEAD.replace("row_number)", "row_number, status)").replace("0)", "0, 'superseded')")],
     ("run r1", "dead_letter.inserted_closed", "1"), {"status": "superseded"}),
    (["select control.push('portal', 'i1', sha256('x'), 'an id', 'orion', 'clients', '')"],
     ("tributary_load", "api.pushed", "push.orion.clients"), {"headers": {"caller": "portal"}}),
    ([CHECK.format(by="'Pat'")], ("Pat", "day.accepted", "orion 2026-11-27 control total"), {"expected": 10, "actual": 9}),
    ([DEAD, "update control.dead_letter set status = 'discarded', discard_reason = 'test row', discarded_by = 'Pat'"],
     ("Pat", "dead_letter.discarded", "1"), {"discard_reason": "test row", "row_key": "7", "before": {"status": "open", "discard_reason": None}}),
    ([DEAD, "update control.dead_letter set status = 'replayed', replayed_by = 'r2'"],
     ("r2", "dead_letter.replayed", "1"), {"status": "replayed", "row_key": "7"}),
    ([DEAD, "update control.dead_letter set status = 'superseded', replayed_by = 'r2'"],
     ("r2", "dead_letter.superseded", "1"), {"status": "superseded", "row_key": "7", "before": {"status": "open"}}),
    ([DECISION], ("Pat", "identity.decided", "person 3 5"), {"is_same": True, "reason": "same birth date"}),
    ([QUESTION], ("run r1", "salesforce.approval_requested", "holding change"), {"records": 9, "difference": "abc"}),
    ([QUESTION, "update control.crm_question set is_approved = true, decided_by = 'Pat', decided_at = now()"],
     ("Pat", "salesforce.decided", "holding change"), {"difference": "abc", "is_approved": True}),
    ([QUESTION, "update control.crm_question set is_approved = true, decided_by = 'Pat', decided_at = now()",
      "update control.crm_question set used_by = 'r3'"], ("r3", "salesforce.approval_used", "holding change"), {"difference": "abc"}),
    ([STATE, "update control.crm_state set left_fields = '{Phone}', left_by = 'Pat'"],
     ("Pat", "salesforce.left_to_users", "Account k1"), {"left_fields": ["Phone"], "before": {"left_fields": []}}),
    ([DOCUMENT], ("tributary_load", "document.stored", "docusign e1 signed"), {"content_hash": "a" * 64}),
    ([INFECTED], ("tributary_load", "document.infected", "docusign e1 signed"), {"malware": "Eicar", "tries": 1}),
    ([INFECTED, "update control.document_try set tries = 2"], ("tributary_load", "document.infected", "docusign e1 signed"),
     {"tries": 2, "before": {"tries": 1}}),
    ([DOCUMENT, "update control.document set held_for = 'dispute', held_by = 'Pat', held_at = '2026-11-27'",
      "update control.document set held_for = null, held_by = 'Sam', held_at = '2026-11-28'"],
     ("Sam", "document.hold_changed", "docusign e1 signed"), {"held_by": "Sam"}),
    (["insert into control.survivorship values ('orion', 'name', 1)", "update control.survivorship set rank = 2"],
     ("tributary_load", "survivorship.changed", "orion name"), {"rank": 2, "before": {"rank": 1}}),
    (["insert into control.survivorship values ('orion', 'name', 1)", "delete from control.survivorship"],
     ("tributary_load", "survivorship.changed", "orion name"), {"rank": 1}),
    ([REQUEST], ("portal", "api.requested", "run orion"), {"params": {"day": None}}),
    ([SUBSCRIBER], ("tributary_load", "subscriber.added", "portal"), {"types": ["a"]}),
    ([SUBSCRIBER, "update control.outbound_subscriber set state = 'disabled', reason = 'gone'"],
     ("tributary_load", "subscriber.changed", "portal"), {"state": "disabled"}),
]  # fmt: skip
BY_THE_OWNER: list[tuple[list[str], tuple[str, str, str], dict[str, Any]]] = [
    (["insert into control.key (purpose, key_id, fingerprint, place) values ('seal', 'b', 'f', 1)"],
     ("tributary_migrate", "key.added", "seal b"), {"fingerprint": "f"}),
    ([KEY], ("tributary_migrate", "api_key.created", "k1"), {"caller": "portal", "scopes": ["status:read"]}),
    ([KEY, "update control.api_key set revoked_at = '2026-11-27'"], ("tributary_migrate", "api_key.changed", "k1"), {"caller": "portal"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "statements", "entry", "details"),
    [(role, *event) for role, events in (("tributary_load", EVENTS), ("tributary_migrate", BY_THE_OWNER)) for event in events],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_an_event_is_recorded_in_its_transaction(
    database: Database, role: str, statements: list[str], entry: tuple[str, str, str], details: dict[str, Any]
) -> None:
    with psycopg.connect(database.url(role)) as connection:
        for statement in statements:
            connection.execute(statement.encode())
    last = database.rows("select * from control.audit order by entry_id desc limit 1")[0]
    assert (last["actor"], last["action"], last["subject"]) == entry
    assert last["database_user"] == role
    assert details.items() <= last["details"].items()


def test_an_event_that_is_rolled_back_leaves_no_entry(engine: sa.Engine, database: Database) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql(DECISION)
        connection.rollback()
    assert database.value("select count(*) from control.audit") == 0


def test_the_end_of_a_hold_shows_who_held_it_and_why(database: Database) -> None:
    database.do(DOCUMENT)
    database.do("update control.document set held_for = 'dispute', held_by = 'Pat', held_at = '2026-11-27'")
    database.do("update control.document set held_for = null, held_by = 'Sam', held_at = '2026-11-28'")
    details = database.value("select details from control.audit order by entry_id desc limit 1")
    assert details["before"]["held_for"] == "dispute"
    assert details["before"]["held_by"] == "Pat"


def test_no_entry_holds_the_hash_of_an_api_key(database: Database) -> None:
    with psycopg.connect(database.url("tributary_migrate")) as connection:
        connection.execute(KEY.encode())
    assert "secret_hash" not in str(database.rows("select * from control.audit"))


def test_using_an_api_key_is_no_change_of_it(database: Database) -> None:
    with psycopg.connect(database.url("tributary_migrate")) as connection:
        connection.execute(KEY.encode())
        connection.execute("update control.api_key set last_used_on = current_date")
    assert [row["action"] for row in database.rows("select action from control.audit")] == ["api_key.created"]


@pytest.mark.parametrize(
    "statement",
    [
        "delete from control.ledger",
        "update control.ledger set inserted = inserted",
        "delete from control.dead_letter",
        "delete from control.reconciliation",
        "delete from control.crm_question",
        QUESTION.replace("run_id)", "run_id, is_approved, decided_by, decided_at)").replace(
            "'r1')", "'r1', true, 'Pat', now())"
        ),
        "update control.crm_question set records = records",
        "update control.crm_question set difference = difference",
        "delete from control.finding",
        "delete from control.api_call",
        "update control.document set content_hash = content_hash",
        "update control.document set retain_until = current_date",
        DECISION.replace("decided_by)", "decided_by, decided_at)").replace("'Pat')", "'Pat', '2020-01-01')"),
        "select control.decide_day('Pat', 'signed off', 'orion', '2026-11-20', 'Fine', 'x')",
        "select control.change_thresholds('Pat', '{}', '{}', 0)",
    ],
)
def test_the_loading_role_can_not_rewrite_history(database: Database, statement: str) -> None:
    with (
        psycopg.connect(database.url("tributary_load")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())
