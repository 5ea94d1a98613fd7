"""What a pair did, read from Airflow's database, the project's database and the receiver; and the doubles and gaps in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from include.vendors import VENDORS
from local import warehouse_rows
from local.demo import DATABASE, SIGNING
from tests.chaos.checks import find_breaches
from tests.chaos.twice.pair import Pair
from tests.chaos.twice.receiver import Receiver
from tests.chaos.twice.work import Work

FAILING = "twice_failed"
"""The DAG whose runs fail on purpose."""
TASKS = {"twice_minute": 3, "twice_triggered": 2}
"""Mapped task instances of each run of these DAGs."""

Run = tuple[str, str]
"""DAG id, run id."""

# Airflow logs each start of a try. A task that is rescheduled, or waits for a person, starts again in the same try.
_STARTED = """
select dag_id, run_id, task_id, map_index, try_number, count(*) as n from log l
where event = 'running' and not exists (
    select from task_instance t where (t.dag_id, t.run_id, t.task_id, t.map_index) = (l.dag_id, l.run_id, l.task_id, l.map_index)
    and (exists (select from task_reschedule r where r.ti_id = t.id) or exists (select from hitl_detail h where h.ti_id = t.id)))
group by 1, 2, 3, 4, 5
"""
_EXECUTED = "select dag_id, run_id, task_id, map_index, try_number, count(*) as n from execution group by 1, 2, 3, 4, 5"
_RUNS = "select dag_id, run_id, run_type, state, logical_date from dag_run"
_MISSED = """
select r.dag_id, r.run_id from deadline d join dag_run r on r.id = d.dagrun_id where d.missed and r.run_type <> 'backfill'
"""
_EVENTS = """
select r.dag_id, e.event_id, count(*) as n from dagrun_asset_event e join dag_run r on r.id = e.dag_run_id group by 1, 2
"""
_QUEUED = (
    "select queued_by_job_id as job, count(*) as n from task_instance where queued_by_job_id is not null group by 1"
)
_CREATED = "select creating_job_id as job, count(*) as n from dag_run where creating_job_id is not null group by 1"
_SILENT = "select dag_id, run_id from control.alert where kind = 'silent'"
# Without a position, a subscription also reads the records, which repeats the last change.
_CHANGES = """
select fields ->> 'Title' as title, count(*) as n from warehouse.crm_change
where fields ? 'Title' and change_type <> 'REREAD' group by 1
"""
_INBOX = """
select count(*) as n, coalesce(sum(copies), 0) as copies, count(*) filter (where processed_at is null or error is not null) as open
from control.inbox where sender = %s
"""
_COMPLETED = """
select subject, count(*) as n from control.outbox where type = 'tributary.envelope.completed' group by 1
"""
_ROUTED = """
select e.event_id::text as id, d.status from control.outbound_delivery d join control.outbox e using (event_number)
"""
_FIRED = re.compile(r"Trigger fired event .* name='ID (\d+)' .*SUCCESS")


@dataclass
class Evidence:
    """Counts by what must be unique, and what is expected of them.

    Attributes:
        alerts: How often each alert arrived; see `identify`.
        missed: Runs that missed their deadline.
        failed: Runs that failed.
        silent: Runs whose alerts may be suppressed: while every change of Salesforce waits for an approval, its sync fails without an alert.
        runs: Number of runs by DAG and logical date, for runs that have one.
        minutes: Logical dates of `twice_minute`.
        executions: How often each try of a task of the harness ran, by its own record.
        starts: How often each try of any task started, by Airflow's log.
        consumed: By how many runs of a DAG each asset event was consumed.
        changes: How often each title of the contact was stored.
        titles: The titles that were given.
        delivered: How often each outbound event arrived.
        routed: Outbound events, each with the state of its delivery.
        completed: Number of events by completed envelope.
        others: Everything else that is wrong, in words.
    """

    alerts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    missed: set[Run] = field(default_factory=set)
    failed: set[Run] = field(default_factory=set)
    silent: set[Run] = field(default_factory=set)
    runs: Counter[tuple[str, datetime]] = field(default_factory=Counter)
    minutes: set[datetime] = field(default_factory=set)
    executions: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    starts: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    consumed: Counter[tuple[str, int]] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    titles: Sequence[str] = ()
    delivered: Counter[str] = field(default_factory=Counter)
    routed: Mapping[str, str] = field(default_factory=dict)
    completed: Counter[str] = field(default_factory=Counter)
    others: Sequence[str] = ()


def identify(title: str, body: str) -> tuple[str, ...]:
    """Return what must be unique of an alert: its title, and its run, task and deadline."""
    return (title, *(line for line in body.splitlines() if line.startswith(("Run: ", "Task: ", "Deadline: "))))


def find_wrong(evidence: Evidence) -> list[str]:
    """List doubles, gaps and unexpected failures."""
    return [
        *_find_doubles("alert", evidence.alerts),
        *_compare_alerts("deadline", evidence.missed, "Deadline missed: ", evidence),
        *_compare_alerts("failure", evidence.failed, "Failed: ", evidence),
        *(f"failed: {run}" for run in sorted(evidence.failed - evidence.silent) if run[0] != FAILING),
        *_find_doubles("run of a logical date", evidence.runs),
        *(f"no run of twice_minute at {minute:%H:%M}" for minute in sorted(_find_gaps(evidence.minutes))),
        *_find_doubles("execution", evidence.executions),
        *_find_doubles("start of a try", evidence.starts),
        *_find_doubles("run of an asset event", evidence.consumed),
        *_find_doubles("change of Salesforce", evidence.changes),
        *_compare("change of Salesforce", evidence.titles, evidence.changes),
        *_find_doubles("event", evidence.delivered),
        *_compare("event", evidence.routed, evidence.delivered),
        *(f"event {event}: {state}" for event, state in evidence.routed.items() if state != "delivered"),
        *_find_doubles("event of an envelope", evidence.completed),
        *evidence.others,
    ]


def _find_doubles(what: str, counts: Mapping[Any, int]) -> list[str]:
    return [f"{what} {number} times: {each}" for each, number in counts.items() if number > 1]


def _compare(what: str, expected: Iterable[Hashable], present: Iterable[Hashable]) -> list[str]:
    missing, extra = set(expected) - set(present), set(present) - set(expected)
    return [*(f"{what} is missing: {each}" for each in missing), *(f"{what} is not expected: {each}" for each in extra)]


def _compare_alerts(what: str, expected: set[Run], start: str, evidence: Evidence) -> list[str]:
    return _compare(what, expected - evidence.silent, _runs_of(evidence.alerts, start) - evidence.silent)


def _runs_of(alerts: Iterable[tuple[str, ...]], start: str) -> set[Run]:
    """Return the runs of the alerts whose title has this start; the title ends with the DAG's id."""
    found = set()
    for title, *lines in alerts:
        if title.startswith(start):
            [run] = [line.removeprefix("Run: ") for line in lines if line.startswith("Run: ")]
            found.add((title.rpartition(": ")[2], run))
    return found


def _find_gaps(minutes: set[datetime]) -> set[datetime]:
    if not minutes:
        return set()
    first, last = (int(each.timestamp()) // 60 for each in (min(minutes), max(minutes)))
    return {datetime.fromtimestamp(60 * each, UTC) for each in range(first, last + 1)} - minutes


def read(pair: Pair, receiver: Receiver, work: Work) -> Evidence:
    """Read the evidence of a pair that has settled."""
    with (
        warehouse_rows.connect(pair.postgres.url("airflow")) as airflow,
        warehouse_rows.connect(pair.postgres.url(DATABASE)) as firm,
        warehouse_rows.connect(pair.postgres.url("twice")) as own,
    ):
        runs = warehouse_rows.read_rows(airflow, _RUNS)
        silent = {(row["dag_id"], row["run_id"]) for row in warehouse_rows.read_rows(firm, _SILENT)}
        executions = _count(own, _EXECUTED)
        return Evidence(
            alerts=Counter(identify(*alert) for alert in receiver.alerts),
            missed={(row["dag_id"], row["run_id"]) for row in warehouse_rows.read_rows(airflow, _MISSED)},
            failed={(row["dag_id"], row["run_id"]) for row in runs if row["state"] != "success"},
            silent=silent,
            runs=Counter((row["dag_id"], row["logical_date"]) for row in runs if row["logical_date"]),
            minutes={row["logical_date"] for row in runs if row["dag_id"] == "twice_minute"},
            executions=executions,
            starts=_count(airflow, _STARTED),
            consumed=_count(airflow, _EVENTS),
            changes=Counter({title: n for (title,), n in _count(firm, _CHANGES).items()}),
            titles=work.titles,
            delivered=Counter(receiver.events),
            routed={row["id"]: row["status"] for row in warehouse_rows.read_rows(firm, _ROUTED)},
            completed=Counter({subject: n for (subject,), n in _count(firm, _COMPLETED).items()}),
            others=[
                *_find_unexecuted(runs, executions),
                *(f"triggered run is missing: {each}" for each in set(work.triggered) - {r["run_id"] for r in runs}),
                *(row["filename"] for row in warehouse_rows.read_rows(airflow, "select filename from import_error")),
                *_compare_inbox(firm, work),
                *find_breaches(pair, [(r["dag_id"], r["run_id"]) for r in runs if r["dag_id"] in _VENDORS]),
            ],
        )


_VENDORS = {vendor.name for vendor in VENDORS}


def _count(database: warehouse_rows.Database, query: str) -> Counter[Any]:
    rows = [list(row.values()) for row in warehouse_rows.read_rows(database, query)]
    return Counter({tuple(key): number for *key, number in rows})


def _find_unexecuted(runs: Sequence[Mapping[str, Any]], executions: Iterable[tuple[Any, ...]]) -> list[str]:
    """List the runs of the harness that do not have all task instances in its record."""
    counts = Counter((dag_id, run_id) for dag_id, run_id, *_ in executions)
    expected = {(row["dag_id"], row["run_id"]): TASKS[row["dag_id"]] for row in runs if row["dag_id"] in TASKS}
    return [f"{counts[run]} of {number} executed: {run}" for run, number in expected.items() if counts[run] != number]


def _compare_inbox(firm: warehouse_rows.Database, work: Work) -> list[str]:
    """Compare the deliveries with what the vendor sent, and the completed envelopes with those that were signed."""
    quiet = requests.post(f"{work.place.sandbox_url}/_sandbox/{SIGNING}/quiet", json={}, timeout=60).json()
    [row] = firm.execute(_INBOX, [SIGNING]).fetchall()
    wrong = [] if quiet["sent"] == row["copies"] else [f"webhooks: {quiet} sent, {row} received"]
    completed = {subject.rpartition("/")[2] for (subject,) in _count(firm, _COMPLETED)}
    missing = [f"envelope without an event: {each}" for each in work.signed if each not in completed]
    return wrong + missing + ([f"inbox: {row['open']} not processed"] if row["open"] else [])


def describe(pair: Pair, receiver: Receiver, evidence: Evidence) -> list[str]:
    """Return the figures of a run, one a line."""
    with (
        warehouse_rows.connect(pair.postgres.url("airflow")) as airflow,
        warehouse_rows.connect(pair.postgres.url(DATABASE)) as firm,
    ):
        runs = Counter(row["dag_id"] for row in warehouse_rows.read_rows(airflow, _RUNS))
        types = Counter(row["run_type"] for row in warehouse_rows.read_rows(airflow, _RUNS))
        shares = {"runs created": _count(airflow, _CREATED), "task instances queued": _count(airflow, _QUEUED)}
        [inbox] = firm.execute(_INBOX, [SIGNING]).fetchall()
    kinds = Counter(title.partition(": ")[0] for title, *_ in evidence.alerts)
    fired = [find_fired(pair.processes.log(name).read_text(errors="replace")) for name in ("triggerer", "triggerer-2")]
    return [
        f"runs: {sum(runs.values())} ({dict(types)}), {len(evidence.runs)} with a logical date; by DAG {dict(runs)}",
        *(f"{what} by scheduler: {sorted(counts.values())}" for what, counts in shares.items()),
        f"starts of tries: {sum(evidence.starts.values())}; executions in the harness's record: {sum(evidence.executions.values())}",
        f"alerts: {len(receiver.alerts)} arrived, {len(evidence.alerts)} different: {dict(kinds)}",
        f"missed deadlines: {len(evidence.missed)}",
        f"deadline callbacks completed by triggerer: {[len(each) for each in fired]}, {len(fired[0] & fired[1])} of them by both",
        f"asset events consumed: {len(evidence.consumed)}",
        f"Salesforce changes: {len(evidence.titles)} made, {sum(evidence.changes.values())} stored",
        f"webhooks: {inbox['copies']} received, {inbox['n']} different; envelopes completed: {len(evidence.completed)}",
        f"outbound events: {len(evidence.routed)} routed, {sum(evidence.delivered.values())} arrived",
    ]


def find_fired(log: str) -> set[str]:
    """Return the ids of the triggers that completed the callback of a deadline, by the log of a triggerer."""
    return set(_FIRED.findall(log))
