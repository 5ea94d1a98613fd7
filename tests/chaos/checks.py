"""Invariants of a disturbed demo by itself, without its twin."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import psutil

from include.vendors import VENDORS
from local import warehouse_rows
from local.airflow_api import AirflowApi
from local.demo import DATABASE, Demo
from tests.chaos.strike import find_victims

LEAVE_S = 90.0
"""Seconds for a task's process or session to end after its run; Airflow's idle sessions are closed by then."""

_BREACHES = {
    "inbox rows with an error": "select count(*) as n from control.inbox where error is not null",
    "Salesforce jobs that are not accounted for": "select count(*) as n from control.crm_job where state not in ('closed', 'abandoned')",
    "records held back from Salesforce": "select count(*) as n from control.crm_held",
    "checks that failed": "select count(*) as n from control.reconciliation where not is_passed",
    "loads with two events": """
        select count(*) as n from (select data ->> 'ledger_id' from control.outbox where type = 'tributary.load.committed'
        group by 1 having count(*) > 1) twice
    """,
    "loads without an event": """
        select count(*) as n from control.ledger l where stage = 'load' and not exists (select from control.outbox o
        where o.type = 'tributary.load.committed' and (o.data ->> 'ledger_id')::bigint = l.ledger_id)
    """,
}
# Airflow's run ids are unique only within a DAG: a scheduled run of `drain_inbox`, whose loads are `pushed`, may have the id of a day's run.
_LOADS = """
select vendor, table_name, entity, run_id from control.ledger
where stage = 'load' and run_id = any(%s) and pulled <> 'pushed'
"""
_IDLE = """
select datname, usename, pid, state from pg_stat_activity
where state like 'idle in transaction%' and state_change < clock_timestamp() - interval '20 seconds'
"""


def find_unsettled(demo: Demo, api: AirflowApi) -> str:
    """Describe pending work in words that change as it progresses; empty if there is none.

    Raises:
        TargetUnavailable: Airflow does not respond.
    """
    active = api.find_active(list(api.dags()))
    tasks = [f"{dag}: {sorted(api.task_states(dag, run).items())}" for dag, run in active]
    with warehouse_rows.connect(demo.postgres.url(DATABASE)) as db:
        waiting = warehouse_rows.read_rows(db, "select count(*) as n from control.inbox where processed_at is null")[0][
            "n"
        ]
    return "; ".join(tasks + ([f"{waiting} deliveries in the inbox"] if waiting else []))


def find_breaches(demo: Demo, runs: Sequence[tuple[str, str]]) -> list[str]:
    """List broken invariants after a round has settled, leaving processes and sessions time to end."""
    end = time.monotonic() + LEAVE_S
    while (left := _find_left(demo)) and time.monotonic() < end:
        time.sleep(1)
    with warehouse_rows.connect(demo.postgres.url(DATABASE)) as db:
        counts = {name: warehouse_rows.read_rows(db, query)[0]["n"] for name, query in _BREACHES.items()}
        vendors = [run for dag, run in runs if dag in {vendor.name for vendor in VENDORS}]
        loads = Counter(tuple(row.values()) for row in db.execute(_LOADS, [vendors]).fetchall())
    twice = [f"loaded {number} times: {load}" for load, number in loads.items() if number > 1]
    return [*(f"{number} {name}" for name, number in counts.items() if number), *twice, *left]


def _find_left(demo: Demo) -> list[str]:
    """List leftovers: orphaned processes, tasks without a run, and sessions with an open transaction."""
    orphans = [f"orphan {each.pid} {' '.join(each.cmdline())[:80]}" for each in find_orphans(demo)]
    tasks = [f"task's process {each.pid} without a run" for each in find_victims(demo, "task")]
    with warehouse_rows.connect(demo.postgres.url(DATABASE)) as db:
        idle = [f"session left in a transaction: {row}" for row in warehouse_rows.read_rows(db, _IDLE)]
    return [*orphans, *tasks, *idle]


def find_orphans(demo: Demo) -> list[psutil.Process]:
    """List processes of this demo that belong to the session of no recorded component."""
    sessions, orphans = set(demo.pids().values()), []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            home = process.environ().get("AIRFLOW_HOME", "")
            is_ours = home == str(demo.folder / "airflow") or str(demo.folder / "sandbox") in process.cmdline()
            if is_ours and os.getsid(process.pid) not in sessions and process.status() != psutil.STATUS_ZOMBIE:
                orphans.append(process)
    return orphans
