"""Deliver events to subscribers: loads, findings, dead letters, completed envelopes, missed deadlines.

The Variable `tributary_subscribers` lists the subscribers' connections, separated by spaces (see docs/how-to/sending_events.md). With the
form of a manual run, you can send events again or re-enable a disabled subscriber.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param, dag

from tributary.policy import DEFAULTS, GO_LIVE
from tributary.tasks import events
from tributary.triggers.wake_up import WakeUp

OUTBOX = Asset(
    name="outbox",
    uri="x-tributary://outbox",
    watchers=[AssetWatcher(name="outbox_waiting", trigger=WakeUp("tributary_outbox"))],
)


@dag(
    dag_id="deliver_events",
    dag_display_name="Events to subscribers",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/10 * * * *", timezone="UTC"), assets=[OUTBOX]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS | {"execution_timeout": timedelta(minutes=10)},
    tags=["events"],
    params={
        "subscriber": Param(
            None,
            type=["null", "string"],
            title="Subscriber",
            description="The subscriber's connection; required with any field below. Empty: deliver only what is due.",
        ),
        "enable": Param(False, type="boolean", title="Enable", description="Re-enable this subscriber."),
        "replay_dead": Param(
            False,
            type="boolean",
            title="Retry failed events",
            description="Events whose delivery was given up: in the period below, or all.",
        ),
        "event_ids": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "format": "uuid"},
            title="Events",
            description="Ids of events to send again, one a line, delivered or not.",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Since",
            description="Send the events since then again, delivered or not.",
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Until",
            description="End of the period (exclusive).",
        ),
        "types": Param(
            None,
            type=["null", "string"],
            title="Types",
            description="Only these types, such as tributary.finding.*; empty: all types of the subscription.",
        ),
    },
)
def deliver_events() -> None:
    """Apply the form, deliver the events that are due, and alert about failing subscribers."""

    events.has_subscribers() >> events.retry_deliveries() >> events.deliver() >> events.report_troubles()


deliver_events()
