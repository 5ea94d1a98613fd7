"""One DAG a vendor: its day, from its API into the warehouse. Wiring only; the work is in `include.flow`."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import CronDataIntervalTimetable, PokeReturnValue, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from forms import vendor_form
from policy import DEADLINE_HOURS, DEFAULTS, GO_LIVE, PULL, WAREHOUSE, deadline

from include.contract import Vendor
from include.vendors import VENDORS

NAMED = "{{ table | default('', true) }}"


def vendor_day(vendor: Vendor) -> None:
    """Makes the DAG of one vendor."""
    tables = [table.name for table in vendor.asked]

    @dag(
        dag_id=vendor.name,
        dag_display_name=f"{vendor.title}: the day into the warehouse",
        doc_md=vendor.notes,
        schedule=CronDataIntervalTimetable(vendor.cron, timezone=vendor.timezone),
        start_date=pendulum.parse(GO_LIVE, tz=vendor.timezone),
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULTS,
        tags=["vendor", vendor.name],
        deadline=deadline(f"{vendor.title} is in within {DEADLINE_HOURS:g} hours"),
        params=vendor_form(tables, has_clients=any(table.over or table.chosen for table in vendor.asked)),
    )
    def day() -> None:
        @task
        def plan_day(params: Any = None, dag_run: Any = None) -> dict[str, Any]:
            from include import plan

            # A person means today, whatever interval Airflow infers for a manual run.
            return plan.plan_day(vendor, params, None if dag_run.run_type == "manual" else dag_run.data_interval_end)

        @task
        def choose_tables(plan: dict[str, Any], wave: int) -> list[str]:
            """Hands the tables on by themselves: Airflow maps over a whole result only."""
            return [table for table in vendor.waves[wave] if table in plan["tables"]]

        @task.sensor(mode="reschedule", poke_interval=300, timeout=6 * 3600)
        def wait_until_closed(plan: dict[str, Any], params: Any = None, run_id: Any = None) -> PokeReturnValue:
            if not params["wait"]:
                return PokeReturnValue(is_done=True)
            import firm

            from include import flow

            closed = flow.closed_through(firm.site(), vendor, firm.connection(vendor.name), _run(plan, run_id))
            return PokeReturnValue(is_done=closed is not None and closed.isoformat() >= plan["business_date"])

        @task(pool=f"{vendor.name}_api", map_index_template=NAMED, trigger_rule="none_failed", **PULL)
        def pull(table: str, plan: dict[str, Any], run_id: Any = None) -> str:
            import firm

            from include import flow

            _name(table)
            return flow.stage(firm.site(), vendor, table, firm.connection(vendor.name), _run(plan, run_id))

        @task(trigger_rule="none_failed")
        def gather(waves: list[list[str]]) -> list[str]:
            """The partitions of all waves of tables."""
            return [path for wave in waves for path in wave or ()]

        @task
        def validate(paths: list[str], plan: dict[str, Any], run_id: Any = None) -> dict[str, int]:
            import firm

            from include import flow

            by_table = {path.split("/")[1]: path for path in paths}
            return flow.validate(firm.site(), vendor, by_table, _run(plan, run_id), rows_only=bool(plan["keys"]))

        @task_group
        def publish(path: str, plan: dict[str, Any]) -> None:
            @task(map_index_template=NAMED)
            def transform(path: str, plan: dict[str, Any], run_id: Any = None) -> dict[str, int]:
                import firm

                from include import flow

                _name(path.split("/")[1])
                return flow.transform(firm.site(), vendor, path, _run(plan, run_id))

            @task(map_index_template=NAMED)
            def load(path: str, plan: dict[str, Any], run_id: Any = None) -> dict[str, dict[str, int]]:
                import firm

                from include import flow

                _name(path.split("/")[1])
                counts = flow.load(firm.site(), vendor, path, _run(plan, run_id))
                return {entity: {"inserted": c.inserted, "updated": c.updated} for entity, c in counts.items()}

            transform(path, plan) >> load(path, plan)

        @task
        def reconcile(plan: dict[str, Any], run_id: Any = None) -> list[dict[str, Any]]:
            import firm

            from include import flow

            checks = flow.reconcile(firm.site(), vendor, _run(plan, run_id))
            return [{"check": c.name, "breaks": c.breaks, "explained": c.explained} for c in checks]

        @task(pool=f"{vendor.name}_api")
        def ask_for_lost(plan: dict[str, Any], run_id: Any = None) -> int:
            """Has the vendor deliver again what our gateway missed; this run finds it, too."""
            import firm

            from include import live
            from include.errors import AuthenticationError

            try:
                return live.republish(firm.site(), vendor, firm.connection(vendor.name), _run(plan, run_id))
            except AuthenticationError as error:
                raise AirflowSkipException(f"Its user may not manage deliveries: {error}") from error

        @task.short_circuit
        def is_present(plan: dict[str, Any]) -> bool:
            return not plan["is_past"]

        @task(outlets=[WAREHOUSE])
        def ring_bell() -> None:
            """Tells the CRM that the warehouse has news; the news itself is in the warehouse."""

        @task(trigger_rule="all_done")
        def report_quality(paths: list[str], run_id: Any = None) -> str:
            import firm

            from include.validation import docs

            return str(docs.build(firm.data_docs(), firm.site().staging, paths, run_id))

        plan = plan_day()
        if vendor.webhook is not None and vendor.webhook.failures:
            ask_for_lost(plan)
        before = wait_until_closed(plan) if vendor.closed else plan
        waves = []
        for wave in range(len(vendor.waves)):
            pulled = pull.partial(plan=plan).expand(table=choose_tables(plan, wave))
            before >> pulled
            before = pulled
            waves.append(pulled)
        paths = waves[0] if len(waves) == 1 else gather(waves)
        valid = validate(paths, plan)
        published = publish.partial(plan=plan).expand(path=paths)
        valid >> [published, report_quality(paths)]
        reconciled = reconcile(plan)
        published >> reconciled >> is_present(plan) >> ring_bell()

    day()


def _name(table: str) -> None:
    """Gives a mapped task the name of its table in the UI."""
    get_current_context()["table"] = table


def _run(plan: dict[str, Any], run_id: str) -> Any:
    from datetime import date

    from include.flow import Run

    return Run(
        run_id,
        date.fromisoformat(plan["business_date"]),
        date.fromisoformat(plan["previous_date"]),
        full_refresh=plan["full_refresh"],
        on_demand=plan["on_demand"],
        keys=tuple(plan["keys"]),
    )


for vendor in VENDORS:
    vendor_day(vendor)
