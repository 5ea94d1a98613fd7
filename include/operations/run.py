"""The data of one Airflow run: its business dates, tables, dead letters and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

_STEPS = sa.text("""
select vendor, business_date, table_name,
       max(fetched) filter (where stage = 'stage') as fetched, max(staged) filter (where stage = 'stage') as staged,
       max(duplicate) filter (where stage = 'stage') as duplicate,
       sum(dead) filter (where stage in ('stage', 'validate'))::bigint as dead,
       sum(inserted) filter (where stage = 'load')::bigint as inserted, sum(updated) filter (where stage = 'load')::bigint as updated,
       sum(unchanged) filter (where stage = 'load')::bigint as unchanged, sum(withdrawn) filter (where stage = 'load')::bigint as withdrawn,
       sum(sent) filter (where stage = 'crm')::bigint as sent, sum(failed + unprocessed) filter (where stage = 'crm')::bigint as failed,
       sum(seconds) as seconds, max(recorded_at) as recorded_at
from control.ledger where run_id = :run_id and (:vendor = '' or vendor = :vendor)
group by vendor, business_date, table_name order by vendor, business_date, table_name
""")
_DEAD_LETTERS = sa.text("""
select vendor, table_name, business_date, stage, public_reasons as reasons, count(*) as dead_letters, sum(abs(money_usd)) as money_usd,
       count(*) filter (where status = 'open') as open
from control.dead_letter where run_id = :run_id and (:vendor = '' or vendor = :vendor)
group by vendor, table_name, business_date, stage, public_reasons
order by dead_letters desc, 1, 2, 3 limit 100
""")
_CHECKS = sa.text("""
select vendor, business_date, check_name, expected, actual, actual - expected as difference, breaks, explained, accepted_by, is_passed, note
from control.reconciliation where run_id = :run_id and (:vendor = '' or vendor = :vendor)
order by vendor, business_date, check_name
""")
_REJECTIONS = sa.text("""
select vendor, business_date, step, reason, recorded_at from control.rejection where run_id = :run_id and (:vendor = '' or vendor = :vendor)
order by recorded_at
""")

_Rows = Sequence[sa.RowMapping]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The records of one run.

    Attributes:
        tables: The counts of each vendor, business date and table; for Salesforce, of each object.
        dead_letters: Its dead letters, grouped by table, day, stage and reasons.
        checks: Its reconciliation checks.
        rejections: The steps that rejected its day.
    """

    tables: _Rows
    dead_letters: _Rows
    checks: _Rows
    rejections: _Rows


def read_run(connection: sa.Connection, run_id: str, vendor: str = "") -> RunRecord:
    """Return the records of a run; all are empty if it touched no data.

    Args:
        connection: The database, as the role of the pages.
        run_id: The run.
        vendor: The vendor of the run's DAG, because the DAGs of several vendors have runs of the same id; empty for all vendors.
    """
    values = {"run_id": run_id, "vendor": vendor}
    queries = (_STEPS, _DEAD_LETTERS, _CHECKS, _REJECTIONS)
    return RunRecord(*(connection.execute(query, values).mappings().all() for query in queries))
