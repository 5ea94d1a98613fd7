"""Keeps the ear on Salesforce: what people change there, and which client they want refreshed, comes while this DAG is on.

The listening itself lives in the triggerer (`tributary.triggers.crm_changes.Changes`), which Airflow runs for the asset below. A run of this DAG looks
whether every topic is heard, each hour and as soon as one is not; it fails, and people are told, while one is not. It also fails where
an event of the last hour could not be read: that one is kept in the inbox, and those behind it were heard.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from tributary.policy import DEFAULTS, GO_LIVE
from tributary.triggers.crm_changes import Changes

UNHEARD = Asset(
    name="salesforce_unheard",
    uri="x-tributary://salesforce/unheard",
    watchers=[AssetWatcher(name="salesforce_changes", trigger=Changes())],
)


@dag(
    dag_id="hear_salesforce",
    dag_display_name="Salesforce: what people change",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("41 * * * *", timezone="UTC"), assets=[UNHEARD]),
    start_date=pendulum.parse(GO_LIVE, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS
    | {"retries": 2, "retry_delay": timedelta(seconds=10), "execution_timeout": timedelta(minutes=5)},
    tags=["crm", "events"],
)
def hear_salesforce() -> None:
    """Looks whether Salesforce is heard."""

    @task
    def check_topics() -> None:
        from include.errors import TargetUnavailable
        from tributary import connections
        from tributary.triggers.crm_changes import find_troubles

        connections.skip_without_salesforce()
        troubles = find_troubles()
        if troubles is None:
            raise AirflowSkipException("The connection salesforce has no pubsub: nothing is to be heard")
        if troubles:
            raise TargetUnavailable(
                "Salesforce's changes are not heard; after 72 hours they are read by query",
                **{topic.rpartition("/")[2]: words for topic, words in troubles.items()},
            )

    @task
    def check_events() -> None:
        from include.errors import DataQualityError
        from tributary import connections
        from tributary.triggers.crm_changes import find_unread

        connections.skip_without_salesforce()
        if unread := find_unread():
            raise DataQualityError(
                "Platform events could not be read: they are in control.inbox, by inbox_id",
                **{topic.rpartition("/")[2]: ",".join(map(str, ids)) for topic, ids in unread.items()},
            )

    check_topics()
    check_events()


hear_salesforce()
