"""The DAG that checks systems before a run: each report is stored, and a finding does not fail the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.check.report import OWN_PARTS, read_history, read_newest
from tests.conftest import Firm
from tests.dags.airflow_home import run, said, whole_run

pytestmark = pytest.mark.airflow


def test_all_systems_are_checked_and_their_reports_are_stored(
    airflow: dict[str, str], today: Firm, tmp_path: Path
) -> None:
    code = whole_run("check_connection") + whole_run("check_connection", system="tamarac")

    output = run(airflow, code)

    state, tasks = said(output, "RUN").split(" ", 1)
    assert (state, json.loads(tasks)) == ("success", {"check": "success"})
    with today.engine.connect() as connection:
        reports = {report.system: report for report in read_newest(connection)}
        assert len(read_history(connection, "orion")) == 1
    assert list(reports) == ["orion", "salesforce", "tamarac", OWN_PARTS]
    red = {
        name: [f.subject for f in report.findings if f.state in ("red", "amber")] for name, report in reports.items()
    }
    assert red == {"orion": [], "salesforce": [], "tamarac": ["connection"], OWN_PARTS: []}
    assert not (tmp_path / "alerts.jsonl").exists()
