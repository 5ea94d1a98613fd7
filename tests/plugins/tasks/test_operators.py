"""The tasks that the Operations pages start, as they run: with the firm's connections, and the parameters that the pages send."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import ROOT, connections, environment, run, said

pytestmark = pytest.mark.airflow

_RUN = """
import json
from tributary.tasks.dead_letters import discard, show
from tributary.tasks.rules import preview
from types import SimpleNamespace as Thing

group = {group}
print("SHOWN", show.function(params={{"group": group, "dead_letters": []}}, run_id="a_run"))
params = {{"group": group, "dead_letters": [], "reason": "test account", "dry_run": False}}
dag_run = Thing(triggering_user_name="ann", run_id="a_run")
print("DISCARDED", json.dumps(discard.function(params=params, dag_run=dag_run)))
print("PREVIEW", json.dumps(preview.function(params={{"thresholds": {{"unfunded_days": 45}}}})))
"""


def _select(firm: Firm) -> dict[str, Any]:
    [group] = firm.database.rows(
        "select vendor, table_name, business_date::text, stage, reasons from control.open_dead_letters"
    )
    return group | {"last_id": firm.database.value("select max(dead_letter_id) from control.dead_letter")}


def test_the_tasks_act_on_the_group_that_a_page_selects(start_firm: Callable[..., Firm], tmp_path: Path) -> None:
    firm = start_firm()
    firm.sandbox.fault("poison", field="currentShares", value="N/A", share=0.01, seed=5)
    firm.stage(firm.new_run(), "assets")
    total = firm.database.value("select count(*) from control.dead_letter")
    environ = environment(tmp_path / "airflow", connections(firm, tmp_path / "alerts.jsonl"))

    output = run(environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}, _RUN.format(group=_select(firm)))

    assert said(output, "SHOWN") == str(total)
    assert json.loads(said(output, "DISCARDED"))["dead_letters"] == total
    assert {rule["now"] for rule in json.loads(said(output, "PREVIEW"))} == {None}  # no day is loaded
    rows = firm.database.rows(
        "select distinct status, discarded_by, jsonb_array_length(cells) > 5 as has_content"
        " from control.dead_letter join control.dead_letter_content using (dead_letter_id)"
    )
    assert rows == [{"status": "discarded", "discarded_by": "ann", "has_content": True}]
