"""Show how many findings each business rule would have with other thresholds. Nothing changes.

The page *Thresholds* of *Operations* starts this DAG, and shows the result before it saves the thresholds.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from tributary.policy import DEFAULTS
from tributary.tasks import rules


@dag(
    dag_id="preview_thresholds",
    dag_display_name="Preview thresholds of the business rules",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=4,
    is_paused_upon_creation=False,
    default_args=DEFAULTS,
    tags=["crm"],
    params={
        "thresholds": Param(
            {},
            type="object",
            title="Thresholds",
            description="Those that differ from the defaults: name -> value. The page fills this in.",
        )
    },
)
def preview_thresholds() -> None:
    """Evaluate the rules twice, on the current warehouse."""
    rules.preview()


preview_thresholds()
