"""The form that discards dead letters, under a real Airflow; replays are in `test_replay` and `test_replay_command`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import run, said, whole_run

pytestmark = pytest.mark.airflow


def discard(airflow: dict[str, str], **form: Any) -> tuple[str, dict[str, str], str]:
    """Run the DAG; return its state, its tasks' states, and its output."""
    output = run(airflow, whole_run("replay_dead_letters", action="discard", **form))
    state, tasks = said(output, "RUN").split(" ", 1)
    return state, json.loads(tasks), output


def test_dead_letters_are_discarded_by_the_form(airflow: dict[str, str], today: Firm, tmp_path: Path) -> None:
    today.database.do(
        "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number,"
        " describes) select 'r', 'emoney', 'plans', '2026-11-20', 'stage', n, '{}', 'p', 'part', n,"
        ' \'[{"entity": "plan", "key": "p"}]\' from generate_series(1, 3) n'
    )
    query = "select status, discard_reason, discarded_by from control.dead_letter order by dead_letter_id"

    for refused in ({"dead_letters": [1, 2], "dry_run": False}, {"reason": "closed", "dry_run": False}):
        state, tasks, _ = discard(airflow, **refused)
        assert (state, tasks["discard"]) == ("failed", "failed")
    group = {
        "vendor": "emoney",
        "table_name": "plans",
        "business_date": "2026-11-20",
        "stage": "stage",
        "reasons": "",
        "last_id": 3,
    }
    state, tasks, output = discard(airflow, group=group, reason="closed")
    assert "Dry run, nothing was discarded. 3 dead letters:" in output
    assert "emoney: plan p, 2026-11-20" in output
    assert {row["status"] for row in today.database.rows(query)} == {"open"}

    state, tasks, output = discard(airflow, dead_letters=[1, 2], reason="closed", dry_run=False)

    assert state == "success"
    assert tasks == {
        "choose_action": "success", "discard": "success",
        "replay": "skipped", "show": "skipped", "has_landed": "skipped", "notify_warehouse_updated": "skipped",
    }  # fmt: skip
    assert "Released, so that the next run may withdraw it: 0" in output
    assert [tuple(row.values()) for row in today.database.rows(query)] == [
        *[("discarded", "closed", "dag_test")] * 2,
        ("open", None, None),
    ]
    assert not (tmp_path / "alerts.jsonl").exists()
