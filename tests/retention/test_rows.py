"""Expired rows go in batches, each with its entry in the audit trail; what is younger, open, held or in use stays."""

from __future__ import annotations

from itertools import count

import psycopg
import pytest
import sqlalchemy as sa

from include.retention import rows
from include.retention.datasets import DATASETS
from include.retention.rows import Expired
from tests.conftest import Database

INBOX = """
insert into control.inbox (sender, body, content_hash, headers, processed_at)
select 'docusign', '', 'hash' || n, '{{}}', {processed_at} from generate_series(1, {rows}) n
"""
DOCUMENT = """
insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until, held_for)
values ('docusign', :key, 'signed', repeat('a', 64), 1, {until}, :held)
"""
ENVELOPE = """
insert into warehouse.envelope (vendor, envelope_key, status, is_final, completed_at, recorded_from, source_run_id)
values ('docusign', :key, 'completed', true, '2016-01-05', '2016-01-05', 1)
"""
PERSON = """
insert into warehouse.person (person_id, vendor, person_key, name, valid_from, recorded_from, recorded_to, source_run_id)
values (:id, 'orion', :key, 'A Person', '2015-01-01', '2015-01-01', cast(:replaced as timestamptz), 1)
"""
POSITION = """
insert into warehouse.position (business_date, vendor, position_key, account_id, security_id, recorded_from, source_run_id)
values (cast(:day as date), 'orion', :key, 1, 1, cast(:recorded as timestamptz), 1)
"""
RISK = """
insert into warehouse.client_risk (vendor, client_risk_key, person_id, risk_number, measured_on, recorded_from, source_run_id)
values ('nitrogen', :key, :id, 50, cast(:day as date), cast(:day as date), 1)
"""
OLD = "now() - interval '100 days'"


def dispose(engine: sa.Engine, dataset: str, period: str, batch: int = 1000) -> int:
    return rows.dispose(engine, "r1", dataset, period, batch).count


@pytest.mark.parametrize("dataset", [each for each in DATASETS if each.is_table and each.is_disposable], ids=lambda each: each.name)  # fmt: skip
def test_every_table_can_be_measured_and_disposed_of(engine: sa.Engine, dataset: object) -> None:
    name, period = dataset.name, dataset.period  # type: ignore[attr-defined]
    assert rows.measure(engine, name, period) == Expired()
    assert dispose(engine, name, period) == 0


def test_expired_rows_go_in_batches_with_an_entry_each_and_younger_ones_stay(engine: sa.Engine, database: Database) -> None:  # fmt: skip
    database.do(INBOX.format(rows=5, processed_at=OLD))
    database.do("insert into control.inbox (sender, body, content_hash, headers, processed_at) values ('docusign', '', 'young', '{}', now()), ('docusign', '', 'pending', '{}', null)")  # fmt: skip
    measured = rows.measure(engine, "control.inbox", "90 days")
    assert measured.count == 5
    assert measured.bytes > 0
    assert measured.oldest == measured.newest
    assert dispose(engine, "control.inbox", "90 days", batch=2) == 5
    left = database.rows("select content_hash as kept from control.inbox order by 1")
    assert [row["kept"] for row in left] == ["pending", "young"]
    entries = database.rows("select * from control.audit order by entry_id")
    assert [row["details"]["rows"] for row in entries] == [2, 2, 1]
    assert {(row["actor"], row["action"], row["subject"], row["database_user"]) for row in entries} == {
        ("run r1", "data.disposed", "control.inbox", "tributary_load")
    }
    assert not any(f"hash{n}" in str(entries) for n in range(1, 6))  # an entry names no row


def test_a_disposal_that_is_killed_continues_and_loses_nothing_else(
    engine: sa.Engine, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.do(INBOX.format(rows=5, processed_at=OLD))
    calls, plus = count(), Expired.plus

    def die(self: Expired, other: Expired) -> Expired:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return plus(self, other)

    with monkeypatch.context() as patched:
        patched.setattr(Expired, "plus", die)
        with pytest.raises(KeyboardInterrupt):
            dispose(engine, "control.inbox", "90 days", batch=2)
    assert database.value("select count(*) from control.inbox") == 1
    assert dispose(engine, "control.inbox", "90 days", batch=2) == 1
    assert database.value("select sum(cast(details ->> 'rows' as int)) from control.audit") == 5


@pytest.mark.parametrize(
    ("dataset", "period"), [("control.inbox", "29 days"), ("warehouse.position", "5 years"), ("control.ledger", "99 years"), ("control.audit", "99 years")]
)  # fmt: skip
def test_the_database_refuses_what_is_too_early_or_never_disposed_of(engine: sa.Engine, dataset: str, period: str) -> None:  # fmt: skip
    with pytest.raises(sa.exc.ProgrammingError, match=r"retained for at least|Nothing of"):
        dispose(engine, dataset, period)


@pytest.mark.parametrize("role", ["tributary_read", "tributary_api", "tributary_web", "tributary_gateway"])
def test_no_other_role_may_dispose(database: Database, role: str) -> None:
    with psycopg.connect(database.url(role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select control.dispose('r1', 'control.inbox', interval '90 days', 1)")


def test_the_loading_role_can_not_change_the_rules(database: Database) -> None:
    with (
        psycopg.connect(database.url("tributary_load")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("update control.retention set minimum = '0 days'")


def test_a_document_is_marked_after_its_date_unless_it_is_held(engine: sa.Engine, database: Database) -> None:
    for key, until, held in (("old", "current_date - 1", None), ("held", "current_date - 1", "a dispute"), ("due", "current_date", None)):  # fmt: skip
        database.do(DOCUMENT.format(until=until), key=key, held=held)
    assert dispose(engine, "control.document", "0 days") == 1
    assert dispose(engine, "control.document", "0 days") == 0
    marked = database.rows("select envelope_key, disposed_at is not null as gone from control.document order by 1")
    assert [tuple(row.values()) for row in marked] == [("due", False), ("held", False), ("old", True)]
    actions = database.rows("select action, subject from control.audit where action like 'document.%' order by entry_id desc limit 1")  # fmt: skip
    assert [tuple(row.values()) for row in actions] == [("document.disposed", "docusign old signed")]


def test_an_envelope_stays_while_one_of_its_documents_is_stored_or_held(engine: sa.Engine, database: Database) -> None:
    for key in ("free", "held"):
        database.do(ENVELOPE, key=key)
        database.do(DOCUMENT.format(until="current_date - 5"), key=key, held="a dispute" if key == "held" else None)
    dispose(engine, "control.document", "0 days")
    assert dispose(engine, "warehouse.envelope", "7 years") == 1
    assert database.value("select envelope_key from warehouse.envelope") == "held"


def test_a_description_goes_when_it_was_replaced_or_the_record_is_missing_for_long(engine: sa.Engine, database: Database) -> None:  # fmt: skip
    for number, (key, replaced) in enumerate([("client", None), ("client", "2017-01-01"), ("client", "2024-01-01"), ("former", None)]):  # fmt: skip
        database.do(PERSON, id=2 if key == "former" else 10 + number, key=key, replaced=replaced)
    database.do("insert into control.absence values ('orion', 'person', 'former', 'clients', '2017-05-01', 'r0')")
    assert dispose(engine, "warehouse.person", "7 years") == 2
    left = database.rows("select person_key, recorded_to is null as is_open from warehouse.person order by 1, 2")
    assert [tuple(row.values()) for row in left] == [("client", False), ("client", True)]


def test_positions_go_by_whole_months_unless_a_row_was_recorded_later(engine: sa.Engine, database: Database) -> None:
    for day in ("2016-03-01", "2016-04-01", "2026-01-05"):
        database.do("select warehouse.ensure_month(cast(:day as date))", day=day)
    database.do(POSITION, day="2016-03-31", key="a", recorded="2016-04-01")
    database.do(POSITION, day="2016-04-01", key="a", recorded="2016-04-02")
    database.do(POSITION, day="2016-04-04", key="backfilled", recorded="2025-04-02")
    database.do(POSITION, day="2026-01-05", key="a", recorded="2026-01-06")
    assert rows.measure(engine, "warehouse.position", "7 years").count == 1
    assert dispose(engine, "warehouse.position", "7 years") == 1
    assert database.value("select count(*) from warehouse.position") == 3
    assert database.value("select to_regclass('warehouse.position_2016_03')") is None
    assert database.value("select details ->> 'month' from control.audit") == "warehouse.position_2016_03"


def test_the_newest_result_of_a_client_stays_however_old(engine: sa.Engine, database: Database) -> None:
    database.do(PERSON, id=1, key="client", replaced=None)
    for key, person, day in (("a", 1, "2015-01-01"), ("b", 1, "2016-01-01"), ("c", 9, "2016-01-01")):
        database.do(RISK, key=key, id=person, day=day)
    assert dispose(engine, "warehouse.client_risk", "7 years") == 2
    assert database.value("select client_risk_key from warehouse.client_risk") == "b"


def test_an_open_dead_letter_stays(engine: sa.Engine, database: Database) -> None:
    for status in ("open", "discarded"):
        database.do(
            "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, reasons, partition, part, row_number, status,"
            " closed_at) values ('r', 'orion', 'clients', '2016-01-04', 'stage', '{x}', :status, 'p', 0, :status, '2016-01-05')",
            status=status,
        )
    assert dispose(engine, "control.dead_letter", "2 years") == 1
    assert database.value("select status from control.dead_letter") == "open"
