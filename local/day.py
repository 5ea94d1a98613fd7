"""What a started demo does: every vendor's day into the warehouse, Salesforce after it, and replays."""

from __future__ import annotations

from include.errors import TargetUnavailable
from include.vendors import VENDORS
from local.airflow_api import AirflowApi
from local.demo import START_SECONDS, Place
from local.follow import Follower, Outcome, Say

SYNC, APPROVAL = "salesforce", "approve_salesforce"
ANSWERING = ("drain_inbox", "serve_requests", "deliver_events")
"""DAGs that answer webhooks, requests and subscribers."""


def run_day(place: Place, say: Say) -> dict[str, Outcome]:
    """Run every vendor's day, then send what they brought to Salesforce; returns how the last run of each DAG ended.

    However this ends, the DAGs that answer requests and keep Salesforce in step are unpaused.
    """
    follower = Follower(place.api, say, place.alerts)
    vendors = [vendor.name for vendor in VENDORS]
    for dag_id in [*ANSWERING, *vendors]:
        place.api.wait_dag(dag_id, START_SECONDS)
    on_demand = [dag_id for dag_id, tags in place.api.dags().items() if "on demand" in tags]
    for dag_id in [*ANSWERING, *on_demand]:
        place.api.unpause(dag_id)
    try:
        outcomes = follower.run(vendors)
        if any(outcome.state == "success" for outcome in outcomes.values()):
            outcomes |= follower.run([SYNC], also=[APPROVAL])
        return outcomes
    finally:
        place.api.unpause(SYNC)


def replay(api: AirflowApi, table: str, day: str | None, *, is_dry: bool, timeout: float = 600) -> dict[str, int]:
    """Send dead letters again, as the DAG's form does.

    Args:
        api: Airflow.
        table: `<vendor>.<table>` of the dead letters.
        day: Their business date (2026-11-20); None is the latest closed session.
        is_dry: Pull and check, and write nothing.
        timeout: Seconds that it may take.

    Returns:
        Counts of what became of them; see `include.pipeline.replay.Replayed`.

    Raises:
        ConfigurationError: There is no such table.
        TargetUnavailable: The run failed, or has not ended in time.
    """
    dag_id = "replay_dead_letters"
    api.unpause(dag_id)
    run_id = api.trigger(dag_id, {"table": table, "business_date": day, "dead_letters": [], "dry_run": is_dry})
    if api.wait_run(dag_id, run_id, timeout) != "success":
        raise TargetUnavailable(
            "The replay failed; its page has the reason", page=f"{api.url}/dags/{dag_id}/runs/{run_id}"
        )
    outcome: dict[str, int] = api.result(dag_id, run_id, "replay")
    return outcome
