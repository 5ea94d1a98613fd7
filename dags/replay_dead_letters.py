"""Resolve open dead letters: load their rows once the cause is fixed, or discard those whose rows will never be loaded.

The page *Dead letters* of *Operations* fills in this form for the selected rows.

- **Replay** requests the rows of a table and day from the vendor again, and loads those that are good now.
- **Discard** closes the selected dead letters with your name and reason. An open dead letter keeps the stored rows that it describes from
  being withdrawn; after the discard, the next run may withdraw them.

Try each with **Dry run** first: it changes nothing.

**Show** copies the content of the dead letters, masked, to the page *Dead letters* for two days.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from include.vendors import VENDORS
from tributary.forms import day_param
from tributary.policy import DEFAULTS
from tributary.tasks import dead_letters
from tributary.tasks.vendor_day import notify_warehouse_updated

REPLAY, DISCARD, SHOW = "replay", "discard", "show"
TABLES = [f"{vendor.name}.{table.name}" for vendor in VENDORS for table in vendor.requested_tables if not table.parent]
NESTED = {vendor.title: [table.name for table in vendor.requested_tables if table.parent] for vendor in VENDORS}
NOT_OFFERED = "; ".join(f"{title}: {', '.join(tables)}" for title, tables in NESTED.items() if tables)


@dag(
    dag_id="replay_dead_letters",
    dag_display_name="Replay or discard dead letters",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["dead letters"],
    params={
        "action": Param(
            REPLAY,
            enum=[REPLAY, DISCARD, SHOW],
            title="Action",
            description="`replay` requests the rows again. `discard` closes the selected dead letters. `show` copies their content to the page.",
        ),
        "table": Param(
            TABLES[0],
            enum=TABLES,
            title="Table to replay",
            description=f"Tables whose rows are requested one by one are not in the list ({NOT_OFFERED}): start a new run of the vendor's"
            " DAG for them, for selected clients or for all. `discard` and `show` take dead letters of every table and ignore this field.",
        ),
        "business_date": day_param("Of the dead letters to replay. Empty: the latest closed trading day."),
        "dead_letters": Param(
            [],
            type="array",
            items={"type": "integer"},
            title="Dead letters",
            description="Ids from control.dead_letter, one a line. `replay`: leave empty to select all open dead letters of the table and day."
            " `discard` and `show`: required without a group.",
        ),
        "group": Param(
            None,
            type=["null", "object"],
            properties={
                name: {"type": "string"} for name in ("vendor", "table_name", "business_date", "stage", "reasons")
            }
            | {"last_id": {"type": "integer"}},
            required=["vendor", "table_name", "business_date", "stage", "reasons", "last_id"],
            title="Group",
            description="Instead of ids: all open dead letters of a group, as the page *Dead letters* shows it. The page fills this in.",
        ),
        "reason": Param(
            "",
            type=["null", "string"],
            maxLength=500,
            title="Reason",
            description="Required to discard; recorded with your name.",
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="`replay`: pull and check, and load nothing. `discard`: list the dead letters that would be discarded and the keys that would be released.",
        ),
    },
)
def replay_dead_letters() -> None:
    """Run the selected action: replay the dead letters and notify the DAG `salesforce`, discard them, or show their content."""

    replayed = dead_letters.replay()
    dead_letters.choose_action() >> [replayed, dead_letters.discard(), dead_letters.show()]
    dead_letters.has_landed(replayed) >> notify_warehouse_updated()


replay_dead_letters()
