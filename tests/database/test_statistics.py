"""Planner statistics of tables that a transaction has filled."""

from __future__ import annotations

import psycopg
import sqlalchemy as sa

from include.database import statistics
from tests.conftest import Database

_FILL = sa.text("""
insert into control.org_record (sobject, salesforce_id, entity, name, links, payload, changed_at)
select 'Account', n::text, 'person', 'Sample', '{}', '{}', now() from generate_series(1, 1000) n
""")
_ROWS = sa.text("select reltuples from pg_class where oid = 'control.org_record'::regclass")


def test_the_planner_knows_rows_that_are_not_committed_yet(engine: sa.Engine) -> None:
    with engine.connect() as db, db.begin():
        db.execute(_FILL)
        assert db.scalar(_ROWS) <= 0
        statistics.analyze(db, "control.org_record")
        assert db.scalar(_ROWS) == 1000


def test_a_table_of_another_schema_is_left_out(engine: sa.Engine, database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("create table public.other as select generate_series(1, 1000) as number")
        with engine.begin() as db:
            statistics.analyze(db, "public.other")
        assert admin.execute("select reltuples from pg_class where relname = 'other'").fetchone() == (-1,)
