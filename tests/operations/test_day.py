"""The page of a business date: what differs, who signed it off, and whether it has changed since."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from include.errors import InputRejected
from include.operations.day import ACCEPTED, SIGNED_OFF, decide_day, read_day
from include.operations.listing import read_list
from include.operations.lists import RECONCILIATION
from tests.conftest import Database
from tests.operations.records import DAY, LOADED, record_check, record_day, record_rejection

REASONS = {
    "The note is empty": {"note": "  "},
    "has changed since you opened the page": {"seen": "0" * 32},
    "nothing to accept": {"decision": ACCEPTED},
    "has not been reconciled yet": {"day": date(2026, 11, 2), "seen": ""},
}


def _decide(web: sa.Engine, **options: object) -> int:
    values = {"decision": SIGNED_OFF, "day": DAY, "note": "known dead letters", "seen": None} | options
    if values["seen"] is None:
        with web.connect() as db:
            values["seen"] = read_day(db, "orion", values["day"], 0, 50).fingerprint  # type: ignore[arg-type]
    return decide_day(web, "ann", values["decision"], "orion", values["day"], values["note"], values["seen"])  # type: ignore[arg-type]


def _read(web: sa.Engine):  # type: ignore[no-untyped-def]
    with web.connect() as db:
        return read_day(db, "orion", DAY, 0, 50)


def _read_sign_offs(web: sa.Engine) -> list[str | None]:
    with web.connect() as db:
        return [row["sign_off"] for row in read_list(db, RECONCILIATION, {}, 0, 50).rows]


@pytest.fixture
def web_with_day(database: Database, web: sa.Engine) -> sa.Engine:
    record_check(database, breaks=1, explained=1, actual=90)
    return web


def test_a_sign_off_is_recorded_with_its_user_and_note(web_with_day: sa.Engine, database: Database) -> None:
    _decide(web_with_day)
    day = _read(web_with_day)
    assert (day.sign_off["decided_by"], day.sign_off["note"], day.has_changed) == ("ann", "known dead letters", False)
    assert _read_sign_offs(web_with_day) == ["signed off"]
    [entry] = database.rows("select actor, subject, details from control.audit where action = 'day.signed_off'")
    assert (entry["actor"], entry["subject"], entry["details"]["note"]) == (
        "ann", "orion 2026-11-25", "known dead letters",
    )  # fmt: skip
    [shown] = database.rows("select who, action, subject, vendor from control.activity where kind = 'day'")
    assert tuple(shown.values()) == ("ann", "signed off the day", "orion 2026-11-25", "orion")


def test_a_signed_off_day_that_changes_says_so(web_with_day: sa.Engine, database: Database) -> None:
    _decide(web_with_day)
    record_check(database, run="run-2", breaks=1, explained=1, actual=90)
    database.do("update control.reconciliation set checked_at = now() where run_id = 'run-2'")
    assert not _read(web_with_day).has_changed  # the same figures again
    record_check(database, run="run-3", breaks=1, explained=1, actual=80)
    database.do("update control.reconciliation set checked_at = now() where run_id = 'run-3'")
    assert _read(web_with_day).has_changed
    assert _read_sign_offs(web_with_day) == ["changed since"]


def test_a_day_that_was_pushed_to_after_its_checks_is_not_signed_off(
    web_with_day: sa.Engine, database: Database
) -> None:
    _decide(web_with_day)
    record_day(database, at=LOADED + timedelta(hours=1), run="drain", table="assets", pulled="pushed", stages=["load"])
    assert _read(web_with_day).has_changed
    assert _read_sign_offs(web_with_day) == ["changed since"]
    with pytest.raises(InputRejected, match="Rows changed the day after its last check"):
        _decide(web_with_day)


@pytest.mark.parametrize("reason", REASONS)
def test_an_impossible_decision_is_refused_with_a_sentence(web_with_day: sa.Engine, reason: str) -> None:
    with pytest.raises(InputRejected, match=reason):
        _decide(web_with_day, **REASONS[reason])


def test_a_failed_day_is_accepted_and_not_signed_off(web: sa.Engine, database: Database) -> None:
    record_check(database, breaks=1, actual=90)
    with pytest.raises(InputRejected, match="A check of the day failed"):
        _decide(web)
    _decide(web, decision=ACCEPTED, note="the vendor confirms it")
    assert _read(web).can_accept
    action = database.value("select action from control.audit where actor = 'ann'")
    assert action == "day.acceptance_requested"


def test_a_rejected_day_can_be_accepted(web: sa.Engine, database: Database) -> None:
    record_rejection(database)
    _decide(web, decision=ACCEPTED)
    assert [row["decision"] for row in _read(web).decisions] == [ACCEPTED]


def test_the_pages_change_decisions_only_by_the_function(web_with_day: sa.Engine) -> None:
    statements = (
        "insert into control.day_decision (vendor, business_date, decision, note, fingerprint, decided_by)"
        " values ('orion', '2026-11-25', 'signed off', 'x', '', 'ann')",
        "update control.day_decision set note = 'y'",
        "delete from control.day_decision",
    )
    for statement in statements:
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), web_with_day.begin() as db:
            db.execute(sa.text(statement))


def test_a_day_shows_what_salesforce_has_accepted(web_with_day: sa.Engine, database: Database) -> None:
    database.do(
        "insert into control.crm_total (vendor, business_date, check_name, due, accepted, run_id)"
        " values ('orion', :day, 'control total', 90, 70, 'r')", day=DAY,
    )  # fmt: skip
    [check] = _read(web_with_day).checks
    assert (check["expected"], check["actual"], check["crm_accepted"], check["crm_difference"]) == (100, 90, 70, -20)
    assert check["checked_at"] == LOADED
