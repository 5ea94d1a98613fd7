"""Sends dead letters again, once their cause is mended: pick table, day and letters in the form; try it dry first."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task
from forms import day_param
from policy import DEFAULTS, WAREHOUSE

from include.vendors import VENDORS, named

TABLES = [f"{vendor.name}.{table.name}" for vendor in VENDORS for table in vendor.asked]


@dag(
    dag_id="replay_dead_letters",
    dag_display_name="Replay dead letters",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["dead letters"],
    params={
        "table": Param(TABLES[0], enum=TABLES, title="Table", description="Vendor and table of the letters."),
        "business_date": day_param("Empty: the latest closed session."),
        "dead_letters": Param(
            [],
            type="array",
            items={"type": "integer"},
            title="Letters",
            description="Ids from control.dead_letter; none: every open one of the table and day.",
        ),
        "dry_run": Param(True, type="boolean", title="Dry run", description="Pull and check, and load nothing."),
    },
)
def replay_dead_letters() -> None:
    """Replays, then rings the warehouse's bell."""

    @task
    def replay(params: Any = None, run_id: Any = None) -> dict[str, Any]:
        from dataclasses import asdict
        from datetime import date

        import firm

        from include import sessions
        from include.replay import replay as send_again
        from include.run import Run

        vendor_name, table = params["table"].split(".")
        asked = params["business_date"]
        day = date.fromisoformat(asked) if asked else sessions.business_date(None)
        run = Run(run_id, day, sessions.previous(day))
        outcome = send_again(
            firm.site(),
            named(vendor_name),
            table,
            firm.connection(vendor_name),
            run,
            params["dead_letters"] or None,
            is_dry=params["dry_run"],
        )
        return asdict(outcome)

    @task.short_circuit
    def has_landed(outcome: dict[str, Any], params: Any = None) -> bool:
        return outcome["landed"] > 0 and not params["dry_run"]

    @task(outlets=[WAREHOUSE])
    def ring_bell() -> None:
        """Tells the CRM that the warehouse has news."""

    has_landed(replay()) >> ring_bell()


replay_dead_letters()
