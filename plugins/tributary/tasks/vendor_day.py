"""The tasks of a vendor's run: from its API into the warehouse, two lines around each step of `include.pipeline.vendor_day`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import PokeReturnValue, task
from airflow.sdk.exceptions import AirflowSkipException

from include.vendors import named
from tributary.outages import report_answer
from tributary.policy import PULL, WAREHOUSE, show_argument

TABLE_OF_PATH = "{{ task.op_kwargs['path'].split('/')[1] }}"


@task
def plan_day(name: str, params: Any = None, dag_run: Any = None) -> dict[str, Any]:
    """Return the plan of the run, from the form and the schedule; log which selected tables are left out, and why."""
    import logging

    from include.pipeline import plan

    # A manual run is about today, whatever interval Airflow infers for it.
    interval_end = None if dag_run.run_type == "manual" else dag_run.data_interval_end
    planned = plan.plan_day(named(name), params, interval_end, is_backfill=dag_run.run_type == "backfill")
    for table, reason in planned["left_out"].items():
        logging.getLogger(__name__).warning("%s is left out: %s", table, reason)
    return planned | {"user": str(dag_run.triggering_user_name or "")}


@task
def list_tables(name: str, plan: dict[str, Any], stage: int) -> list[str]:
    """Return the tables of one stage: Airflow maps only over the whole result of a task."""
    return [table for table in named(name).waves[stage] if table in plan["tables"]]


@task.sensor(mode="reschedule", poke_interval=300, timeout=6 * 3600)
def wait_until_closed(name: str, plan: dict[str, Any], params: Any = None, run_id: Any = None) -> PokeReturnValue:
    """Wait until the vendor has closed the day, unless the form says not to wait."""
    if not params.get("wait", True):
        return PokeReturnValue(is_done=True)
    from include.pipeline import pull as vendor_pull
    from tributary import connections

    closed = vendor_pull.closed_through(
        connections.site(), named(name), connections.connection(name), _run(plan, run_id)
    )
    report_answer(name)
    return PokeReturnValue(is_done=closed is not None and closed.isoformat() >= plan["business_date"])


@task(map_index_template=show_argument("table"), trigger_rule="none_failed", **PULL)
def pull(table: str, name: str, plan: dict[str, Any], run_id: Any = None) -> str:
    """Pull a table into staging; return its partition."""
    from include.pipeline import vendor_day
    from tributary import connections

    path = vendor_day.stage(connections.site(), named(name), table, connections.connection(name), _run(plan, run_id))
    report_answer(name)
    return path


@task(trigger_rule="none_failed")
def collect_partitions(stages: list[list[str]]) -> list[str]:
    """Return the partitions of all stages."""
    return [path for stage in stages for path in stage or ()]


@task
def validate(name: str, paths: list[str], plan: dict[str, Any], run_id: Any = None) -> dict[str, int]:
    """Validate the partitions by their suites; return the count of dead letters by table."""
    from include.pipeline import vendor_day
    from tributary import connections

    by_table = {path.split("/")[1]: path for path in paths}
    return vendor_day.validate(
        connections.site(), named(name), by_table, _run(plan, run_id), rows_only=bool(plan["keys"])
    )


@task(map_index_template=TABLE_OF_PATH)
def transform(name: str, path: str, plan: dict[str, Any], run_id: Any = None) -> dict[str, int]:
    """Transform a partition to canonical entities; return the count of rows by entity."""
    from include.pipeline import vendor_day
    from tributary import connections

    return vendor_day.transform(connections.site(), named(name), path, _run(plan, run_id))


@task
def publish(name: str, paths: list[str], plan: dict[str, Any], run_id: Any = None) -> dict[str, Any]:
    """Load the day and reconcile it in one transaction; return the counts written by entity, and the checks."""
    from include.pipeline import vendor_day
    from tributary import connections

    loaded, checks = vendor_day.publish(connections.site(), named(name), paths, _run(plan, run_id))
    return {
        "loaded": {
            entity: {"inserted": c.inserted, "updated": c.updated, "withdrawn": c.withdrawn}
            for counts in loaded.values()
            for entity, c in counts.items()
        },
        "checks": [{"check": c.name, "breaks": c.breaks, "explained": c.explained} for c in checks],
    }


@task
def report_warnings(name: str, run_id: Any = None, dag_run: Any = None) -> str:
    """Alert once about rows that a successful run did not load: new dead letters, and breaks that they explain.

    A cleared run alerts again if its dead letters differ.
    """
    from include.control.digest import write_warning
    from tributary import connections
    from tributary.alerts import fingerprint, page, send

    body = write_warning(connections.database(), run_id)
    if body:
        dag_id = dag_run.dag_id
        link = f"Link: {page(dag_id)}/runs/{quote(run_id)}"
        about = {"dag_id": dag_id, "run_id": run_id, "subject": fingerprint(body)}
        send("warning", f"Warning: {named(name).title}", f"{body}\nRun: {run_id}\n{link}", **about)
    return body


@task
def request_redelivery(name: str, plan: dict[str, Any], run_id: Any = None) -> int:
    """Ask the vendor to redeliver webhooks that our gateway missed; this run pulls their rows anyway."""
    from include.errors import AuthenticationError
    from include.pipeline import incremental
    from tributary import connections

    try:
        count = incremental.republish(connections.site(), named(name), connections.connection(name), _run(plan, run_id))
    except AuthenticationError as error:
        raise AirflowSkipException(f"The connection's user may not manage deliveries: {error}") from error
    report_answer(name)
    return count


@task.short_circuit
def is_current_day(plan: dict[str, Any]) -> bool:
    """Whether the run is about today; a past day does not start the DAG `salesforce`."""
    return not plan["is_past"]


@task(outlets=[WAREHOUSE])
def notify_warehouse_updated() -> None:
    """Notify the DAG `salesforce` that the warehouse has new data."""


@task(trigger_rule="all_done")
def report_quality(paths: list[str] | None, run_id: Any = None) -> str:
    """Build the data quality pages; skip where nothing was validated, such as after a failed pull."""
    from include.validation import docs
    from tributary import connections

    staging = connections.site().staging
    validated = docs.find_validated(staging, paths or [])
    if not validated:
        raise AirflowSkipException("Nothing was validated in this run; the pages show earlier runs")
    return str(docs.build(connections.data_docs(), staging, validated, run_id))


def _run(plan: dict[str, Any], run_id: str) -> Any:
    from datetime import date

    from include.pipeline.run import Run

    return Run(
        run_id,
        date.fromisoformat(plan["business_date"]),
        date.fromisoformat(plan["previous_date"]),
        full_refresh=plan["full_refresh"],
        on_demand=plan["on_demand"],
        keys=tuple(plan["keys"]),
        accept_unusual=plan.get("accept_unusual", False),
        user=plan.get("user", ""),
    )
