"""Health signals: a metric, the thresholds from which it needs attention, and what to do then.

The thresholds are declared here alone: the Health page evaluates them, and `local.alert_rules` writes the alert rules of Prometheus from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from include.audit.chain import LATE
from include.operations.metrics import METRICS, Sample
from include.operations.salesforce_status import MAX_SILENCE
from include.operations.vendor_status import MOST_FAILED_RATIO, SEVERITY, Light

Unit = Literal["seconds", "items", "dollars", "ratio"]

MINUTE, HOUR, DAY = (timedelta(**{unit: 1}).total_seconds() for unit in ("minutes", "hours", "days"))


@dataclass(frozen=True, slots=True)
class Signal:
    """A health signal. A value above `amber` needs attention, one above `red` needs it now; None: no value is that bad.

    Attributes:
        name: Name, also of the alert.
        title: Heading.
        metric: One of `METRICS`.
        unit: Unit of the value and of the thresholds.
        action: What to do.
        guide: Name of the guide below `docs/how-to/` that explains how.
        page: Page of Operations that shows the cause; `{vendor}` stands for the vendor. Empty for none.
        labels: Label -> the value to which the signal is limited.
        is_age: Whether the metric is a time. The value is then the time that has passed since.
        is_required: Whether a missing value is amber, because the firm must have one. Otherwise, the light is grey.
    """

    name: str
    title: str
    metric: str
    unit: Unit
    amber: float | None
    red: float | None
    action: str
    guide: str
    page: str = ""
    labels: Mapping[str, str] | None = None
    is_age: bool = False
    is_required: bool = False


SIGNALS = (
    Signal(
        "vendor_late", "Day is late", "tributary_vendor_late_seconds", "seconds", None, 0,
        "Open the vendor's newest run and fix the task that failed or waits.", "fixing_a_failed_run", "vendors/{vendor}",
    ),
    Signal(
        "vendor_rejected", "Day was rejected", "tributary_vendor_rejected", "items", None, 0,
        "Read why the check rejected the day. Pull it again, or accept it once the vendor confirms it.", "accepting_an_unusual_day",
        "vendors/{vendor}",
    ),
    Signal(
        "vendor_missing_tables", "Tables are not loaded", "tributary_vendor_missing_tables", "items", 0, None,
        "Pull the tables that the newest day lacks.", "fixing_a_failed_run", "vendors/{vendor}",
    ),
    Signal(
        "vendor_breaks", "Differences from the vendor's totals", "tributary_vendor_breaks", "items", 0, None,
        "Compare the accounts and positions that differ with the vendor.", "accepting_an_unusual_day", "lists/reconciliation?vendor={vendor}",
    ),
    Signal(
        "vendor_reconciliation_failed", "Reconciliation failed", "tributary_vendor_reconciliation", "items", None, 0,
        "Find the pushed rows that differ from the vendor's totals. Salesforce keeps the earlier values until then.",
        "accepting_an_unusual_day", "lists/reconciliation?vendor={vendor}", {"state": "failed"},
    ),
    Signal(
        "dead_letters", "Dead letters", "tributary_table_dead_letters", "items", 0, None,
        "Fix the cause and replay the rows, or discard them.", "replaying_dead_letters", "lists/dead-letters?vendor={vendor}",
    ),
    Signal(
        "missing_money", "Money in dead letters", "tributary_table_missing_usd", "dollars", 100_000, 1_000_000,
        "Replay these rows first: sums in reports are too low by this amount.", "replaying_dead_letters", "lists/dead-letters?vendor={vendor}",
    ),
    Signal(
        "vendor_outage", "Vendor does not respond", "tributary_vendor_outage_seconds", "seconds", 0, None,
        "Wait: the run tries again for about two hours. If it fails, clear its failed tasks when the vendor responds.", "fixing_a_failed_run", "vendors/{vendor}",
    ),
    Signal(
        "vendor_calls_failed", "Calls that failed", "tributary_vendor_api_failed_ratio", "ratio", MOST_FAILED_RATIO, None,
        "Open the vendor's calls, and send the newest correlation id to the vendor's support.", "watching_the_day", "vendors/{vendor}",
    ),
    Signal(
        "vendor_slow", "Slow calls (95th percentile)", "tributary_vendor_api_latency_seconds", "seconds", 30, None,
        "Open the vendor's calls to see which path is slow.", "watching_the_day", "vendors/{vendor}", {"quantile": "0.95"},
    ),
    Signal(
        "vendor_budget", "Wait for the rate budget", "tributary_vendor_budget_backlog_seconds", "seconds", 5 * MINUTE, HOUR,
        "Wait, or lower the number of runs on demand. Runs retry by themselves.", "fixing_a_failed_run", "vendors/{vendor}",
    ),
    Signal(
        "queue_lag", "Oldest waiting item", "tributary_queue_lag_seconds", "seconds", 15 * MINUTE, HOUR,
        "Check that the DAGs drain_inbox, deliver_events and serve_requests run and are not paused.", "fixing_a_failed_run", "lists/deliveries",
    ),
    Signal(
        "deliveries_failed", "Deliveries that failed in the last day", "tributary_queue_failed_items", "items", 0, None,
        "Read the errors in the list of deliveries.", "receiving_webhooks", "lists/deliveries?state=failed", {"queue": "inbox"},
    ),
    Signal(
        "events_given_up", "Events that were given up in the last day", "tributary_queue_failed_items", "items", 0, None,
        "Read the errors in the list of given-up events. After a fix at the subscriber, send them again.", "sending_events",
        "lists/given-up-events", {"queue": "deliveries"},
    ),
    Signal(
        "requests_failed", "Requests of programs that failed in the last day", "tributary_queue_failed_items", "items", 0, None,
        "Read the details in the list of requests.", "connecting_a_program", "lists/requests?state=failed", {"queue": "requests"},
    ),
    Signal(
        "subscribers_stopped", "Subscribers without events", "tributary_subscribers_stopped", "items", 0, None,
        "Fix the subscriber's connection or endpoint, then enable it again.", "sending_events", "lists/subscribers",
    ),
    Signal(
        "salesforce_sync", "Time since the last Salesforce sync", "tributary_salesforce_synced_timestamp_seconds", "seconds", MAX_SILENCE.total_seconds(), None,
        "Check that the DAG salesforce runs, is not paused, and that writes are not paused.", "running_the_salesforce_sync",
        "lists/salesforce-syncs", is_age=True,
    ),
    Signal(
        "salesforce_rejected", "Records that Salesforce rejected", "tributary_salesforce_rejected_records", "items", 0, None,
        "Fix the cause in Salesforce, then send the rejected records again.", "running_the_salesforce_sync", "lists/salesforce-rejections",
    ),
    Signal(
        "salesforce_held", "Records held back from Salesforce", "tributary_salesforce_held_records", "items", 0, None,
        "Load the vendor whose day is missing, or answer the approval.", "running_the_salesforce_sync", "lists/salesforce-held-back",
    ),
    Signal(
        "salesforce_approval", "Changes that wait for an approval", "tributary_salesforce_open_approvals", "items", 0, None,
        "Approve or reject the change.", "running_the_salesforce_sync", "lists/salesforce-approvals?state=open",
    ),
    Signal(
        "salesforce_subscription", "Changes from Salesforce can't be received", "tributary_salesforce_subscription_failing_seconds",
        "seconds", 0, None, "Read the error of the trigger, and check the user's rights in Salesforce.", "setting_up_salesforce",
    ),
    Signal(
        "audit_unsealed", "Oldest audit entry without a seal", "tributary_audit_unsealed_seconds", "seconds", 2 * HOUR, LATE.total_seconds(),
        "Check that the DAG audit_trail runs and is not paused.", "reading_the_audit_trail",
    ),
    Signal(
        "audit_head", "Time since the audit chain was published", "tributary_audit_head_published_timestamp_seconds", "seconds", LATE.total_seconds(),
        DAY, "Read the newest run of the DAG audit_trail.", "reading_the_audit_trail", is_age=True,
    ),
    Signal(
        "backup", "Age of the newest backup", "tributary_backup_timestamp_seconds", "seconds", None, 26 * HOUR,
        "Read the log of the container backup.", "backing_up_and_restoring", is_age=True, is_required=True,
    ),
    Signal(
        "restore_drill", "Time since the last restore drill", "tributary_restore_drill_timestamp_seconds", "seconds", 40 * DAY, None,
        "Run the DAG restore_drill.", "drilling_a_restore", is_age=True,
    ),
    Signal(
        "restore_drill_problems", "Problems of the last restore drill", "tributary_restore_drill_problems", "items", None, 0,
        "Read the problems in control.recovery_drill, and repeat the drill after the fix.", "drilling_a_restore",
    ),
)  # fmt: skip
LABELS = {metric.name: metric.labels for metric in METRICS}


class Reading(NamedTuple):
    """The value of a signal for one vendor, table or queue, which `labels` name. `value` is None if there is no sample."""

    signal: Signal
    labels: dict[str, str]
    value: float | None
    light: Light

    @property
    def page(self) -> str:
        """The page of Operations that shows the cause; empty if there is none."""
        is_about_vendors = "{vendor}" in self.signal.page
        return "" if is_about_vendors and "vendor" not in self.labels else self.signal.page.format(**self.labels)


def evaluate(samples: Sequence[Sample], now: datetime) -> list[Reading]:
    """Return the readings of all signals, the worst first, otherwise in the order of `SIGNALS`.

    Args:
        samples: The result of `read_samples`.
        now: Current time, with time zone.
    """
    by_metric: dict[str, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    readings = [each for signal in SIGNALS for each in _read(signal, by_metric.get(signal.metric, ()), now)]
    return sorted(readings, key=lambda reading: -SEVERITY.index(reading.light))


def find_overall_light(readings: Sequence[Reading]) -> Light:
    """Return the worst light. Signals without a value do not count, unless there is nothing else."""
    lights = {reading.light for reading in readings}
    return max(lights - {"grey"} or {"grey"}, key=SEVERITY.index)


def summarize(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings, but of a signal that is green everywhere only the one with the largest value.

    If a signal is not green everywhere, its green readings are left out.
    """
    good: dict[str, Reading] = {}
    for reading in readings:
        best = good.get(reading.signal.name)
        if reading.light == "green" and (best is None or (reading.value or 0) > (best.value or 0)):
            good[reading.signal.name] = reading
    bad = {reading.signal.name for reading in readings if reading.light != "green"}
    return [
        each
        for each in readings
        if each.light != "green" or (each.signal.name not in bad and each is good[each.signal.name])
    ]


def describe(readings: Sequence[Reading], now: datetime) -> dict[str, object]:
    """Return the readings as a JSON object, with one light for all of them."""
    return {
        "light": find_overall_light(readings),
        "checked_at": now.isoformat(),
        "signals": [
            {
                "name": signal.name,
                "title": signal.title,
                "labels": labels,
                "light": light,
                "value": value,
                "unit": signal.unit,
                "amber_above": signal.amber,
                "red_above": signal.red,
                "action": signal.action,
                "guide": f"docs/how-to/{signal.guide}.md",
            }
            for signal, labels, value, light in readings
        ],
    }


def _read(signal: Signal, samples: Sequence[Sample], now: datetime) -> list[Reading]:
    limited = signal.labels or {}
    readings = []
    for sample in samples:
        labels = dict(zip(LABELS[signal.metric], sample.labels, strict=True))
        if limited.items() <= labels.items():
            value = now.timestamp() - sample.value if signal.is_age else sample.value
            shown = {name: text for name, text in labels.items() if name not in limited}
            readings.append(Reading(signal, shown, value, _find_light(signal, value)))
    return readings or [Reading(signal, {}, None, "amber" if signal.is_required else "grey")]


def _find_light(signal: Signal, value: float) -> Light:
    if signal.red is not None and value > signal.red:
        return "red"
    return "amber" if signal.amber is not None and value > signal.amber else "green"
