"""Resolve open dead letters: send their rows again once the cause is fixed, or discard those whose rows will never be loaded.

**Replay** requests the rows of a table and day from the vendor again, and loads those that are good. **Discard** closes the chosen dead
letters with your name and reason; the next run may withdraw what they protected. Try each with **Dry run** first: it changes nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from include.vendors import VENDORS, named
from tributary.forms import day_param
from tributary.policy import DEFAULTS, WAREHOUSE

REPLAY, DISCARD = "replay", "discard"
TABLES = [f"{vendor.name}.{table.name}" for vendor in VENDORS for table in vendor.asked if not table.over]
NESTED = {vendor.title: [table.name for table in vendor.asked if table.over] for vendor in VENDORS}
NOT_OFFERED = "; ".join(f"{title}: {', '.join(tables)}" for title, tables in NESTED.items() if tables)


@dag(
    dag_id="replay_dead_letters",
    dag_display_name="Replay or discard dead letters",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["dead letters"],
    params={
        "action": Param(
            REPLAY,
            enum=[REPLAY, DISCARD],
            title="Action",
            description="`replay` requests the rows again. `discard` closes the dead letters that you list by id.",
        ),
        "table": Param(
            TABLES[0],
            enum=TABLES,
            title="Table to replay",
            description="Tables whose rows are requested one by one are not offered, and need a new run of the vendor's DAG, for single"
            f" clients or for all ({NOT_OFFERED}). `discard` takes dead letters of every table and ignores this field.",
        ),
        "business_date": day_param("Of the dead letters to replay. Empty: the latest closed session."),
        "dead_letters": Param(
            [],
            type="array",
            items={"type": "integer"},
            title="Dead letters",
            description="Ids from control.dead_letter, one a line. `replay`: empty takes every open one of the table and day."
            " `discard`: required.",
        ),
        "reason": Param(
            "",
            type="string",
            maxLength=500,
            title="Reason",
            description="Required to discard; recorded with your name.",
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="`replay`: pull and check, and load nothing. `discard`: list what would be discarded and released.",
        ),
    },
)
def replay_dead_letters() -> None:
    """Replay and notify, or discard."""

    @task.branch
    def choose_action(params: Any = None) -> str:
        return str(params["action"])

    @task
    def replay(params: Any = None, run_id: Any = None) -> dict[str, Any]:
        from dataclasses import asdict
        from datetime import date

        from include import business_dates
        from include.pipeline.replay import replay as send_again
        from include.pipeline.run import Run
        from tributary import connections

        vendor_name, table = params["table"].split(".")
        asked = params["business_date"]
        day = date.fromisoformat(asked) if asked else business_dates.business_date(None)
        run = Run(run_id, day, business_dates.previous(day))
        outcome = send_again(
            connections.site(),
            named(vendor_name),
            table,
            connections.connection(vendor_name),
            run,
            params["dead_letters"] or None,
            is_dry=params["dry_run"],
        )
        return asdict(outcome)

    @task
    def discard(params: Any = None, dag_run: Any = None) -> dict[str, Any]:
        """Close the chosen dead letters; log each of them and what they release, and return how many that is."""
        import logging

        from include.control import dead_letters
        from tributary import connections

        ids, is_dry = params["dead_letters"], params["dry_run"]
        who = str(dag_run.triggering_user_name or "unknown")
        outcome = dead_letters.discard(
            connections.database(), ids, params["reason"], who, dag_run.run_id, is_dry=is_dry
        )
        logging.getLogger(__name__).info("%s%s", "Dry run, nothing was discarded. " if is_dry else "", outcome)
        money = None if outcome.money_usd is None else str(outcome.money_usd)
        return {
            "dead_letters": len(outcome.dead_letters),
            "money_usd": money,
            "released": len(outcome.released),
            "is_dry": is_dry,
        }

    @task.short_circuit
    def has_landed(outcome: dict[str, Any], params: Any = None) -> bool:
        return outcome["landed"] > 0 and not params["dry_run"]

    @task(outlets=[WAREHOUSE])
    def notify_warehouse_updated() -> None:
        """Tells the CRM that the warehouse has news."""

    replayed = replay()
    choose_action() >> [replayed, discard()]
    has_landed(replayed) >> notify_warehouse_updated()


replay_dead_letters()
