"""A firm without Salesforce: its tasks are skipped, no run fails, and no alert is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include import business_dates
from tests.conftest import Firm
from tests.dags.airflow_home import read_lines, run, whole_run

pytestmark = [pytest.mark.airflow, pytest.mark.long]

ENDS = {
    "salesforce": {
        "resolve_identity": "success",
        "evaluate_rules": "success",
        "report_held_back": "success",
        **dict.fromkeys(
            [
                "compare_org",
                "show_changes",
                "may_write",
                "open_approvals",
                "request_approval",
                "send_changes",
                "raise_tasks",
            ],
            "skipped",
        ),
    },
    "read_back_salesforce": dict.fromkeys(["read_back", "report_differences", "recreate_missing"], "skipped"),
    "subscribe_salesforce": dict.fromkeys(["check_topics", "check_events"], "skipped"),
    "drain_inbox": {"find_waiting": "success", "drain": "skipped", "send_envelopes": "skipped", "ended": "success"},
}


def test_without_a_connection_salesforce_is_skipped_and_nothing_alerts(
    airflow: dict[str, str], today: Firm, tmp_path: Path
) -> None:
    today.day(business_dates.latest_closed(today.now))

    output = run(airflow | {"AIRFLOW_CONN_SALESFORCE": ""}, whole_run(*ENDS), timeout=500)

    ended = [line.split(" ", 1) for line in read_lines(output, "RUN")]
    assert {dag: (state, json.loads(tasks)) for dag, (state, tasks) in zip(ENDS, ended, strict=True)} == {
        dag: ("success", tasks) for dag, tasks in ENDS.items()
    }
    assert output.count("There is no connection salesforce") >= len(ENDS)
    assert today.database.value("select count(*) from warehouse.identity") > 0
    assert not (tmp_path / "alerts.jsonl").exists()
