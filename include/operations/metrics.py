"""Metrics of the firm's data, for Prometheus and for the health signals. They are read from the integration database at each request.

The values are counts, sums, times and states. Labels have few values: vendors and tables are declared, the other labels are listed here. A
vendor has metrics once it has data or a dead letter. A metric without a value, such as the time of a backup that was never made, is left
out: it is never zero instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import NamedTuple

import sqlalchemy as sa
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from include.contract import Vendor
from include.operations.salesforce_status import read_salesforce_status
from include.operations.vendor_status import FEW_CALLS, VendorStatus, read_vendor_status
from include.version import VERSION

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Content type of `render`."""
RECONCILIATIONS = ("reconciled", "explained", "accepted", "failed", "changed since", "not compared")
"""The values of `reconciliation` in the view `control.vendor_day`."""


class Metric(NamedTuple):
    """A metric: its name, by the conventions of Prometheus, its description, and its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """A value of a metric. `labels` are the values of the metric's labels, in their order; times are seconds since 1970."""

    metric: str
    labels: tuple[str, ...]
    value: float


_VENDOR, _TABLE, _QUEUE = ("vendor",), ("vendor", "table"), ("queue",)
METRICS = (
    Metric("tributary_build_info", "Always 1; the label has the version", ("version",)),
    Metric("tributary_vendor_late_seconds", "Lateness of the day that is due; 0 if it is loaded", _VENDOR),
    Metric("tributary_vendor_rejected", "1 if the newest day was rejected, else 0", _VENDOR),
    Metric("tributary_vendor_missing_tables", "Tables that the newest loaded day lacks", _VENDOR),
    Metric("tributary_vendor_reconciliation", "1 for the newest day's result of the reconciliation, 0 for the other results", ("vendor", "state")),
    Metric("tributary_vendor_breaks", "Differences from the vendor's totals on the newest day", _VENDOR),
    Metric("tributary_vendor_outage_seconds", "Time since the vendor's API does not respond; 0 if it responds", _VENDOR),
    Metric("tributary_vendor_api_calls", "Calls of the vendor's API in the last hour, by outcome: succeeded, failed, throttled (HTTP 429)",
           ("vendor", "outcome")),
    Metric("tributary_vendor_api_failed_ratio",
           f"Ratio of failed calls in the last hour (0-1), throttled calls included; absent below {FEW_CALLS} calls", _VENDOR),
    Metric("tributary_vendor_api_latency_seconds", "Latency of the calls of the last hour, by quantile", ("vendor", "quantile")),
    Metric("tributary_vendor_budget_backlog_seconds", "Time for which the rate budget is already reserved; 0 if it is unused", ("vendor", "bucket")),
    Metric("tributary_table_business_date_timestamp_seconds", "Start (UTC) of the newest loaded business date", _TABLE),
    Metric("tributary_table_loaded_timestamp_seconds", "When the newest business date was loaded last", _TABLE),
    Metric("tributary_table_rows", "Rows that the vendor returned for the newest loaded business date", _TABLE),
    Metric("tributary_table_dead_letters", "Open dead letters", _TABLE),
    Metric("tributary_table_missing_usd", "Money in open dead letters, as far as it can be read; outflows count as much as inflows", _TABLE),
    Metric("tributary_table_unreadable_dead_letters", "Open dead letters whose money can't be read", _TABLE),
    Metric("tributary_queue_items", "Items that wait", _QUEUE),
    Metric("tributary_queue_lag_seconds", "Age of the oldest item that waits; 0 if none waits", _QUEUE),
    Metric("tributary_queue_failed_items", "Items that failed in the last day", _QUEUE),
    Metric("tributary_subscribers_stopped", "Subscribers that get no events, because they are disabled or their connection is unreadable"),
    Metric("tributary_salesforce_synced_timestamp_seconds", "When records were last sent to Salesforce"),
    Metric("tributary_salesforce_rejected_records", "Records that Salesforce rejected and that are not fixed"),
    Metric("tributary_salesforce_held_records", "Records that the newest sync held back"),
    Metric("tributary_salesforce_open_approvals", "Changes of the last day that wait for an approval"),
    Metric("tributary_salesforce_subscription_failing_seconds", "Time since changes made in Salesforce can't be received; 0 if they are received"),
    Metric("tributary_audit_unsealed_entries", "Entries of the audit trail without a seal"),
    Metric("tributary_audit_unsealed_seconds", "Age of the oldest entry of the audit trail without a seal; 0 if all have one"),
    Metric("tributary_audit_head_published_timestamp_seconds", "When the end of the audit chain was last published outside the database"),
    Metric("tributary_backup_timestamp_seconds", "Time of the newest backup"),
    Metric("tributary_restore_drill_timestamp_seconds", "When the newest restore drill ended"),
    Metric("tributary_restore_drill_problems", "Problems that the newest restore drill found"),
    Metric("tributary_restore_drill_recovery_point_seconds", "Time whose data a loss of the host would have lost, by the newest restore drill"),
    Metric("tributary_restore_drill_recovery_time_seconds", "How long the newest restore drill needed to restore and check"),
)  # fmt: skip

_TABLES = sa.text("""
select t.vendor, t.table_name, l.business_date, l.loaded_at, s.staged, d.dead_letters, d.money_usd, d.unreadable
from unnest(cast(:vendors as text[]), cast(:tables as text[])) as t(vendor, table_name)
left join lateral (
    select business_date, recorded_at as loaded_at, pull_id from control.ledger l
    where l.vendor = t.vendor and l.table_name = t.table_name and stage = 'load' and pulled in ('current', 'historical')
    order by business_date desc, ledger_id desc limit 1
) l on true
left join control.ledger s on s.pull_id = l.pull_id and s.vendor = t.vendor and s.table_name = t.table_name
     and s.business_date = l.business_date and s.stage = 'stage' and s.entity = ''
left join (
    select vendor, table_name, count(*) as dead_letters, sum(abs(money_usd)) as money_usd, count(*) filter (where is_money_unreadable) as unreadable
    from control.dead_letter where status = 'open' group by vendor, table_name
) d on d.vendor = t.vendor and d.table_name = t.table_name
""")
_BUDGETS = sa.text(
    "select vendor, bucket, spoken_until from control.rate_budget where vendor = any(:vendors) order by 1, 2"
)
_QUEUES = sa.text("select queue, waiting, waiting_since, failed from control.queue_state order by queue")
_SAFEGUARDS = sa.text("select * from control.safeguard_state")

_Value = float | Decimal | None
_Values = Iterator[tuple[str, tuple[str, ...], _Value]]


def read_samples(
    connection: sa.Connection, vendors: Sequence[Vendor], now: datetime, *, is_whole: bool = True
) -> list[Sample]:
    """Return the value of every metric that has one.

    Args:
        connection: The database, as `tributary_web` or `tributary_api`.
        vendors: The vendors whose metrics are read.
        now: Current time, with time zone.
        is_whole: Whether to read also the metrics that are not about a vendor.
    """
    statuses = read_vendor_status(connection, vendors, now)
    used = [each for each in statuses if not each.unused_since and (each.day or each.dead_letters)]
    measured = [*_measure_tables(connection, used), *_measure_budgets(connection, used, now)]
    for status in used:
        measured += _measure_vendor(status, now)
    if is_whole:
        measured += _measure_firm(connection, now)
    return [Sample(name, labels, float(value)) for name, labels, value in measured if value is not None]


def render(samples: Iterable[Sample]) -> bytes:
    """Return samples in the text format of Prometheus."""
    return generate_latest(_Samples(samples))


class _Samples(Collector):
    """Samples, as the Prometheus client reads them."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_metric: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._by_metric[sample.metric].append(sample)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for metric in METRICS:
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample in self._by_metric[metric.name]:
                family.add_metric(sample.labels, sample.value)
            yield family


def _measure_vendor(status: VendorStatus, now: datetime) -> _Values:
    of_vendor, day, calls = (status.vendor.name,), status.day, status.calls
    yield "tributary_vendor_late_seconds", of_vendor, status.measure_lateness(now)
    yield "tributary_vendor_outage_seconds", of_vendor, _age(status.outage_since, now)
    if day:
        yield "tributary_vendor_rejected", of_vendor, day.state == "rejected"
        yield "tributary_vendor_missing_tables", of_vendor, len(status.missing_tables) if day.loaded_at else None
        yield "tributary_vendor_breaks", of_vendor, day.breaks
        for state in RECONCILIATIONS:
            yield "tributary_vendor_reconciliation", (*of_vendor, state), day.reconciliation == state
    outcomes = {
        "succeeded": calls.calls - calls.failed,
        "failed": calls.failed - calls.throttled,
        "throttled": calls.throttled,
    }
    for outcome, number in outcomes.items():
        yield "tributary_vendor_api_calls", (*of_vendor, outcome), number
    if calls.calls >= FEW_CALLS:
        yield "tributary_vendor_api_failed_ratio", of_vendor, calls.failed_ratio
    for quantile, milliseconds in (("0.5", calls.p50_ms), ("0.95", calls.p95_ms)):
        yield (
            "tributary_vendor_api_latency_seconds",
            (*of_vendor, quantile),
            None if milliseconds is None else milliseconds / 1000,
        )


def _measure_tables(connection: sa.Connection, used: Sequence[VendorStatus]) -> _Values:
    pairs = [(status.vendor.name, table.name) for status in used for table in status.vendor.tables]
    values = {"vendors": [vendor for vendor, _ in pairs], "tables": [table for _, table in pairs]}
    for row in connection.execute(_TABLES, values):
        of_table = row.vendor, row.table_name
        yield "tributary_table_business_date_timestamp_seconds", of_table, _start(row.business_date)
        yield "tributary_table_loaded_timestamp_seconds", of_table, _timestamp(row.loaded_at)
        yield "tributary_table_rows", of_table, row.staged
        yield "tributary_table_dead_letters", of_table, row.dead_letters or 0
        yield "tributary_table_missing_usd", of_table, row.money_usd or 0
        yield "tributary_table_unreadable_dead_letters", of_table, row.unreadable or 0


def _measure_budgets(connection: sa.Connection, used: Sequence[VendorStatus], now: datetime) -> _Values:
    for row in connection.execute(_BUDGETS, {"vendors": [status.vendor.name for status in used]}):
        backlog = max(0.0, (row.spoken_until - now).total_seconds())
        yield "tributary_vendor_budget_backlog_seconds", (row.vendor, row.bucket), backlog


def _measure_firm(connection: sa.Connection, now: datetime) -> _Values:
    yield "tributary_build_info", (VERSION,), 1
    for row in connection.execute(_QUEUES):
        yield "tributary_queue_items", (row.queue,), row.waiting
        yield "tributary_queue_lag_seconds", (row.queue,), _age(row.waiting_since, now)
        yield "tributary_queue_failed_items", (row.queue,), row.failed
    state = connection.execute(_SAFEGUARDS).one()
    yield "tributary_subscribers_stopped", (), state.stopped_subscribers
    yield "tributary_audit_unsealed_entries", (), state.unsealed
    yield "tributary_audit_unsealed_seconds", (), _age(state.unsealed_since, now)
    yield "tributary_audit_head_published_timestamp_seconds", (), _timestamp(state.head_published_at)
    yield "tributary_backup_timestamp_seconds", (), _timestamp(state.backed_up_at)
    yield "tributary_restore_drill_timestamp_seconds", (), _timestamp(state.drilled_at)
    yield "tributary_restore_drill_problems", (), state.drill_problems
    yield "tributary_restore_drill_recovery_point_seconds", (), state.rpo_seconds
    yield "tributary_restore_drill_recovery_time_seconds", (), state.rto_seconds
    yield from _measure_salesforce(connection, now)


def _measure_salesforce(connection: sa.Connection, now: datetime) -> _Values:
    """Yield nothing if nothing was ever sent or held back: the firm does not use Salesforce yet."""
    status = read_salesforce_status(connection, now)
    if not (status.synced_at or status.held or status.questions):
        return
    yield "tributary_salesforce_synced_timestamp_seconds", (), _timestamp(status.synced_at)
    yield "tributary_salesforce_rejected_records", (), status.rejected
    yield "tributary_salesforce_held_records", (), status.held
    yield "tributary_salesforce_open_approvals", (), status.questions
    yield "tributary_salesforce_subscription_failing_seconds", (), _age(status.trouble_since, now)


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _timestamp(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _start(day: date | None) -> float | None:
    return datetime.combine(day, time(), UTC).timestamp() if day else None
