"""Settling a large job: the work is linear whatever the planner expects, and new values change no index."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa

from include.control import writer
from include.crm.sync import results
from include.crm.sync.bulk import JobInfo
from include.crm.sync.results import Job, Outcome
from include.warehouse import schema
from tests.conftest import Database
from tests.crm.conftest import HOLDINGS
from tests.warehouse.loading import follow_effort

ROWS = 3_000
JOB = Job("job", HOLDINGS, "position", "run", date(2026, 11, 20), ROWS)


@pytest.fixture
def sent(database: Database) -> Database:
    """A database with the rows of a sent job. The planner's statistics know only records of another object."""
    database.do(
        "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)"
        " select 'Account', n, '{\"Worth__c\": \"0.00\"}', n, 'earlier' from generate_series(1, 20000) n"
    )
    database.do(
        "insert into control.crm_job (job_id, sobject, entity, run_id, business_date, sent_by, file_sha256, rows, state)"
        " values ('job', :sobject, 'position', 'run', '2026-11-20', 'bulk', '', :rows, 'uploaded')",
        sobject=HOLDINGS,
        rows=ROWS,
    )
    database.do("analyze control.crm_state, control.crm_sent, control.crm_job")
    database.do("insert into control.crm_sent select 'job', n, n, '{}' from generate_series(1, :rows) n", rows=ROWS)
    return database


def test_each_result_of_a_first_job_is_looked_up(sent: Database) -> None:
    engine = schema.engine(sent.url())

    with engine.connect() as db:
        fence = writer.take(db, f"crm:{HOLDINGS}")
        results.take(db, [Outcome(str(n), "created", f"a0H{n}") for n in range(1, ROWS + 1)])
        read = follow_effort(engine, lambda statement: "outcome o" in statement and not statement.startswith("create"))
        settled = results.settle(db, JOB, JobInfo("JobComplete", ROWS, ""), fence, "run")
    engine.dispose()

    assert settled.counts.created == ROWS
    assert len(read) > 4
    assert max(read) < 20 * ROWS


def test_a_days_new_values_change_no_index(sent: Database) -> None:
    engine = schema.engine(sent.url())
    with engine.begin() as db:
        db.execute(sa.text('update control.crm_state set payload = \'{"Worth__c": "1.00"}\', accepted_at = now()'))
        query = "select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where relname = 'crm_state'"
        updated, in_place = db.execute(sa.text(query)).one()
    engine.dispose()
    assert updated == 20_000
    assert in_place > 0.95 * updated
