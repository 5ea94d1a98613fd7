"""Receive change events and refresh requests from Salesforce, while this DAG is not paused.

Airflow's triggerer holds the subscriptions (`tributary.triggers.crm_changes.Changes`). A run of this DAG checks them each hour, and when one
has failed for 15 minutes. The run fails and alerts

- if the subscription of a topic has failed for 15 minutes;
- if an event of the last hour could not be decoded. That event stays in the inbox; later events are still received.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from tributary.policy import DEFAULTS, GO_LIVE
from tributary.triggers.crm_changes import Changes

DISCONNECTED = Asset(
    name="salesforce_disconnected",
    uri="x-tributary://salesforce/disconnected",
    watchers=[AssetWatcher(name="salesforce_changes", trigger=Changes())],
)


@dag(
    dag_id="subscribe_salesforce",
    dag_display_name="Salesforce: change events",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("41 * * * *", timezone="UTC"), assets=[DISCONNECTED]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS
    | {"retries": 2, "retry_delay": timedelta(seconds=10), "execution_timeout": timedelta(minutes=5)},
    tags=["crm", "events"],
)
def subscribe_salesforce() -> None:
    """Check the subscriptions and the received events."""

    @task
    def check_topics() -> None:
        from include.errors import TargetUnavailable
        from tributary import connections
        from tributary.triggers.crm_changes import find_troubles

        connections.skip_without_salesforce()
        troubles = find_troubles()
        if troubles is None:
            raise AirflowSkipException("The connection salesforce has no pubsub: there is nothing to subscribe to")
        if troubles:
            raise TargetUnavailable(
                "Salesforce's change events are not received; after 72 hours the changes are read by query",
                **{topic.rpartition("/")[2]: trouble for topic, trouble in troubles.items()},
            )

    @task
    def check_events() -> None:
        from include.errors import DataQualityError
        from tributary import connections
        from tributary.triggers.crm_changes import find_unread

        connections.skip_without_salesforce()
        if unread := find_unread():
            raise DataQualityError(
                "Platform events could not be decoded; they are in control.inbox, by inbox_id",
                **{topic.rpartition("/")[2]: ",".join(map(str, ids)) for topic, ids in unread.items()},
            )

    check_topics()
    check_events()


subscribe_salesforce()
