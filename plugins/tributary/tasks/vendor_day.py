"""The tasks of a vendor's run, from its API into the warehouse. Most of them call one step of `include.pipeline.vendor_day`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import PokeReturnValue, task
from airflow.sdk.exceptions import AirflowSkipException

from include.vendors import named
from tributary.outages import report_answer
from tributary.policy import PULL, VENDOR_RETRIES, WAREHOUSE, show_argument

if TYPE_CHECKING:
    from include.pipeline.plan import Plan
    from include.pipeline.run import VendorRun
    from include.staging.partitions import Partition
    from include.staging.reference import Reference

SHOW_TABLE = "{{ task.op_kwargs['partition']['table'] }}"
"""Template that names a mapped task instance by the table of its partition."""


@task
def plan_day(name: str, params: Any = None, dag_run: Any = None) -> Plan:
    """Return the plan of the run, made from the form and the schedule; log each selected table that is left out, with the reason."""
    import logging

    from include import business_dates
    from include.pipeline import plan

    is_backfill = dag_run.run_type == "backfill"
    # Any other run, such as one that a user or another DAG starts, loads the latest day. It may have no interval, or one that Airflow infers.
    has_day = is_backfill or dag_run.run_type == "scheduled"
    interval_end = dag_run.data_interval_end - business_dates.read_clock_offset() if has_day else None
    user = str(dag_run.triggering_user_name or "")
    planned = plan.plan_day(named(name), params, interval_end, is_backfill=is_backfill, user=user)
    for table, reason in planned["left_out"].items():
        logging.getLogger(__name__).warning("%s is left out: %s", table, reason)
    return planned


@task(task_display_name="list_tables")  # Airflow adds a number to the id of the task in a later stage
def list_tables(name: str, plan: Plan, stage: int) -> list[str]:
    """Return the tables of one stage. Each stage needs this task, because Airflow can map only over the whole result of a task."""
    return [table for table in named(name).stages[stage] if table in plan["tables"]]


@task.sensor(mode="reschedule", poke_interval=300, timeout=6 * 3600, retries=VENDOR_RETRIES)
def wait_until_closed(name: str, plan: Plan, params: Any = None, run_id: Any = None) -> PokeReturnValue:
    """Wait up to six hours until the vendor has closed the business date, unless the form says not to wait."""
    if not params.get("wait", True):
        return PokeReturnValue(is_done=True)
    from include.pipeline.pull import request_closed_day

    closed = request_closed_day(_open_run(name, plan, run_id))
    report_answer(name)
    return PokeReturnValue(is_done=closed is not None and closed.isoformat() >= plan["business_date"])


@task(task_display_name="pull", map_index_template=show_argument("table"), trigger_rule="none_failed", **PULL)
def pull(table: str, name: str, plan: Plan, run_id: Any = None) -> Reference:
    """Pull a table into staging; return a reference to its partition. If its worker shuts down, another one resumes the pull."""
    from include.pipeline import vendor_day
    from tributary.handover import hand_over_on_shutdown

    with hand_over_on_shutdown():
        partition = vendor_day.stage(_open_run(name, plan, run_id), table)
    report_answer(name)
    return partition.reference


@task(trigger_rule="none_failed")
def collect_partitions(stages: list[list[Reference]]) -> list[Reference]:
    """Return the references to the partitions of all stages as one list; a skipped stage has none."""
    return [partition for stage in stages for partition in stage or ()]


@task
def validate(name: str, partitions: list[Reference], plan: Plan, run_id: Any = None) -> dict[str, int]:
    """Validate each partition with its expectation suite; return the number of rejected rows by table."""
    from include.pipeline import vendor_day

    vendor_run = _open_run(name, plan, run_id)
    return vendor_day.validate(vendor_run, _open(vendor_run, partitions), rows_only=bool(plan["keys"]))


@task(map_index_template=SHOW_TABLE)
def transform(name: str, partition: Reference, plan: Plan, run_id: Any = None) -> dict[str, int]:
    """Transform a partition to canonical entities; return the number of rows by entity."""
    from include.pipeline import vendor_day

    vendor_run = _open_run(name, plan, run_id)
    [opened] = _open(vendor_run, [partition])
    return vendor_day.transform(vendor_run, opened)


@task
def publish(name: str, partitions: list[Reference], plan: Plan, run_id: Any = None) -> dict[str, Any]:
    """Load the day and reconcile it in one transaction; return the counts of written rows by entity, and the results of the checks.

    Raises:
        DataQualityError: A table of the plan has no partition, because its pull was marked as successful by hand.
    """
    from include.errors import DataQualityError
    from include.pipeline import vendor_day

    if missing := sorted(set(plan["tables"]) - {each["table"] for each in partitions}):
        raise DataQualityError(
            "Tables of the plan have no partition, so nothing is loaded: clear their pulls, or start a run without them",
            vendor=name, tables=",".join(missing),
        )  # fmt: skip
    vendor_run = _open_run(name, plan, run_id)
    loaded, checks = vendor_day.publish(vendor_run, _open(vendor_run, partitions))
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
    """Alert about new dead letters of a successful run, and about its reconciliation breaks; return the text, empty if there are none.

    A run that is cleared and repeated alerts again only if its text differs.
    """
    from include.control.digest import write_warning
    from tributary import connections
    from tributary.alerts import fingerprint, page, send

    body = write_warning(connections.database(), run_id, name)
    if body:
        dag_id = dag_run.dag_id
        link = f"Link: {page(dag_id)}/runs/{quote(run_id)}"
        about = {"dag_id": dag_id, "run_id": run_id, "subject": fingerprint(body)}
        send("warning", f"Warning: {named(name).title}", f"{body}\nRun: {run_id}\n{link}", **about)
    return body


@task(retries=VENDOR_RETRIES)
def request_redelivery(name: str, plan: Plan, run_id: Any = None) -> int:
    """Ask the vendor to redeliver failed webhooks; return how many. This run pulls the rows of those webhooks anyway.

    Raises:
        AirflowSkipException: The connection's user has no permission to manage deliveries.
    """
    from include.errors import AuthenticationError
    from include.pipeline.incremental import republish

    try:
        count = republish(_open_run(name, plan, run_id))
    except AuthenticationError as error:
        raise AirflowSkipException(f"The connection's user may not manage deliveries: {error}") from error
    report_answer(name)
    return count


@task.short_circuit
def is_current_day(plan: Plan) -> bool:
    """Return whether the run loads the current day; a run of a past day does not start the DAG `salesforce`."""
    return not plan["is_past"]


@task(outlets=[WAREHOUSE])
def notify_warehouse_updated() -> None:
    """Notify the DAG `salesforce` that the warehouse has new data."""


@task(trigger_rule="all_done")
def report_quality(partitions: list[Reference] | None, run_id: Any = None) -> str:
    """Build the data quality pages and return their address; skip the task if nothing was validated, such as after a failed pull."""
    from include.validation import docs
    from tributary import connections

    staging = connections.staging()
    validated = docs.find_validated(staging.open(each["path"]) for each in partitions or ())
    if not validated:
        raise AirflowSkipException("Nothing was validated in this run; the pages show earlier runs")
    docs.build(staging, connections.database(), validated, run_id)
    return "/data-docs/"


def _open_run(name: str, plan: Plan, run_id: str) -> VendorRun:
    from include.pipeline.run import Run
    from tributary import connections

    return connections.vendor_run(name, Run.of_plan(run_id, plan))


def _open(vendor_run: VendorRun, partitions: list[Reference]) -> list[Partition]:
    return [vendor_run.site.open(each["path"]) for each in partitions]
