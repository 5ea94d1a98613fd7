"""The tasks of a vendor's run: from its API into the warehouse, two lines around each step of `include.pipeline.vendor_day`."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import PokeReturnValue, task
from airflow.sdk.exceptions import AirflowSkipException

from include.vendors import named
from tributary.outages import report_answer
from tributary.policy import PULL, WAREHOUSE

# Airflow renders these when a mapped task starts: its table is named while it runs.
TABLE = "{{ task.op_kwargs['table'] }}"
TABLE_OF_PATH = "{{ task.op_kwargs['path'].split('/')[1] }}"


@task
def plan_day(name: str, params: Any = None, dag_run: Any = None) -> dict[str, Any]:
    """What the run is about, from the form and the schedule; logs which chosen tables are left out, and why."""
    import logging

    from include.pipeline import plan

    # A person means today, whatever interval Airflow infers for a manual run.
    interval_end = None if dag_run.run_type == "manual" else dag_run.data_interval_end
    planned = plan.plan_day(named(name), params, interval_end, is_backfill=dag_run.run_type == "backfill")
    for table, why in planned["left_out"].items():
        logging.getLogger(__name__).warning("%s is left out: %s", table, why)
    return planned | {"user": str(dag_run.triggering_user_name or "")}


@task
def choose_tables(name: str, plan: dict[str, Any], wave: int) -> list[str]:
    """Hands the tables on by themselves: Airflow maps over a whole result only."""
    return [table for table in named(name).waves[wave] if table in plan["tables"]]


@task.sensor(mode="reschedule", poke_interval=300, timeout=6 * 3600)
def wait_until_closed(name: str, plan: dict[str, Any], params: Any = None, run_id: Any = None) -> PokeReturnValue:
    """Waits for the vendor to close the day, unless somebody does not want to."""
    if not params.get("wait", True):
        return PokeReturnValue(is_done=True)
    from include.pipeline import pull as vendor_pull
    from tributary import connections

    closed = vendor_pull.closed_through(
        connections.site(), named(name), connections.connection(name), _run(plan, run_id)
    )
    report_answer(name)
    return PokeReturnValue(is_done=closed is not None and closed.isoformat() >= plan["business_date"])


@task(map_index_template=TABLE, trigger_rule="none_failed", **PULL)
def pull(table: str, name: str, plan: dict[str, Any], run_id: Any = None) -> str:
    """Pulls a table into staging; returns its partition."""
    from include.pipeline import vendor_day
    from tributary import connections

    path = vendor_day.stage(connections.site(), named(name), table, connections.connection(name), _run(plan, run_id))
    report_answer(name)
    return path


@task(trigger_rule="none_failed")
def gather(waves: list[list[str]]) -> list[str]:
    """The partitions of all waves of tables."""
    return [path for wave in waves for path in wave or ()]


@task
def validate(name: str, paths: list[str], plan: dict[str, Any], run_id: Any = None) -> dict[str, int]:
    """Holds the partitions against their suites; returns dead letters by table."""
    from include.pipeline import vendor_day
    from tributary import connections

    by_table = {path.split("/")[1]: path for path in paths}
    return vendor_day.validate(
        connections.site(), named(name), by_table, _run(plan, run_id), rows_only=bool(plan["keys"])
    )


@task(map_index_template=TABLE_OF_PATH)
def transform(name: str, path: str, plan: dict[str, Any], run_id: Any = None) -> dict[str, int]:
    """Makes canonical entities of a partition; returns rows by entity."""
    from include.pipeline import vendor_day
    from tributary import connections

    return vendor_day.transform(connections.site(), named(name), path, _run(plan, run_id))


@task
def publish(name: str, paths: list[str], plan: dict[str, Any], run_id: Any = None) -> dict[str, Any]:
    """Loads the day and reconciles it in one transaction; returns what was written of each entity, and what was compared."""
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
def warn(name: str, run_id: Any = None, dag_run: Any = None) -> str:
    """Alert once of what a run left aside although it did not fail: new dead letters, and breaks that they explain.

    A run that was cleared and leaves other rows aside alerts again.
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
def ask_for_lost(name: str, plan: dict[str, Any], run_id: Any = None) -> int:
    """Has the vendor deliver again what our gateway missed; this run finds it, too."""
    from include.errors import AuthenticationError
    from include.pipeline import incremental
    from tributary import connections

    try:
        count = incremental.republish(connections.site(), named(name), connections.connection(name), _run(plan, run_id))
    except AuthenticationError as error:
        raise AirflowSkipException(f"Its user may not manage deliveries: {error}") from error
    report_answer(name)
    return count


@task.short_circuit
def is_present(plan: dict[str, Any]) -> bool:
    """Whether the run is about today: a past day does not ring."""
    return not plan["is_past"]


@task(outlets=[WAREHOUSE])
def ring_bell() -> None:
    """Tells the CRM that the warehouse has news; the news itself is in the warehouse."""


@task(trigger_rule="all_done")
def report_quality(paths: list[str] | None, run_id: Any = None) -> str:
    """Build the pages that show the results of the suites; skipped where nothing was validated, such as after a failed pull."""
    from include.validation import docs
    from tributary import connections

    staging = connections.site().staging
    validated = docs.find_validated(staging, paths or [])
    if not validated:
        raise AirflowSkipException("Nothing was validated in this run: the pages are those of earlier runs")
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
