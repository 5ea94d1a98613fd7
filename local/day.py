"""Run DAGs in a started demo: the vendors' daily loads, the Salesforce sync, and replays of dead letters."""

from __future__ import annotations

from include.errors import TargetUnavailable
from include.vendors import VENDORS
from local.airflow_api import AirflowApi, ReportLine
from local.demo import Place
from local.follow import Follower, Outcome
from local.sandbox_process import START_SECONDS

SYNC, APPROVAL = "salesforce", "approve_salesforce"
ANSWERING = ("drain_inbox", "serve_requests", "deliver_events")
"""DAGs that process webhooks, API requests and outbound events."""


def run_day(place: Place, report_line: ReportLine) -> dict[str, Outcome]:
    """Run every vendor's daily load, then the Salesforce sync; return the outcome of each DAG's last run.

    The sync runs only if at least one load succeeded. In a full org, it creates no client who may be there already. The DAGs in `ANSWERING` and
    the on-demand DAGs are unpaused before the loads. The sync is unpaused at the end, even after a failure.
    """
    follower = Follower(place.api, report_line, place.alerts)
    vendors = [vendor.name for vendor in VENDORS]
    for dag_id in [*ANSWERING, *vendors]:
        place.api.wait_dag(dag_id, START_SECONDS)
    on_demand = [dag_id for dag_id, tags in place.api.dags().items() if "on demand" in tags]
    for dag_id in [*ANSWERING, *on_demand]:
        place.api.unpause(dag_id)
    try:
        outcomes = follower.run(vendors)
        is_loaded = any(outcome.state == "success" for outcome in outcomes.values())
        if is_loaded:
            outcomes |= follower.run([SYNC], also=[APPROVAL])
            if place.is_org_full:
                report_line(
                    "Clients who may be in the org already were not sent: open Operations > Salesforce > Adoption"
                )
        return outcomes
    finally:
        place.api.unpause(SYNC)


def replay(api: AirflowApi, table: str, day: str | None, *, is_dry: bool, timeout: float = 600) -> dict[str, int]:
    """Replay dead letters through the DAG `replay_dead_letters`.

    Args:
        api: Airflow's API, logged in.
        table: `<vendor>.<table>` of the dead letters.
        day: Their business date, such as `2026-11-20`; None for the latest closed trading day.
        is_dry: Pull and check, but write nothing.
        timeout: Limit in seconds.

    Returns:
        The counts of `include.pipeline.replay.Replayed`, by name.

    Raises:
        ConfigurationError: The table is unknown.
        TargetUnavailable: The run failed or did not end in time.
    """
    dag_id = "replay_dead_letters"
    api.unpause(dag_id)
    run_id = api.trigger(dag_id, {"table": table, "business_date": day, "dead_letters": [], "dry_run": is_dry})
    if api.wait_run(dag_id, run_id, timeout) != "success":
        raise TargetUnavailable(
            "The replay failed; see the reason on its page", page=f"{api.url}/dags/{dag_id}/runs/{run_id}"
        )
    outcome: dict[str, int] = api.result(dag_id, run_id, "replay")
    return outcome
