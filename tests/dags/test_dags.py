"""The DAGs under a real Airflow: they import, and whole runs bring the day into the warehouse and the CRM."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include import business_dates
from include.pipeline.plan import find_keyed
from include.validation.site import read_site
from include.vendors import VENDORS
from tests.conftest import Firm
from tests.dags.airflow_home import ROOT, read_lines, run, said, whole_run

pytestmark = pytest.mark.airflow

_BAG = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print("BAG", json.dumps({"errors": {k: str(v)[-500:] for k, v in bag.import_errors.items()},
    "dags": {d.dag_id: {"owner": d.owner, "deadline": bool(getattr(d, "deadline", None)), "doc": bool(d.doc_md),
             "tasks": {t.task_id: [t.retries, bool(t.on_failure_callback)] for t in d.tasks}} for d in bag.dags.values()},
    "files": sorted({d.fileloc.rsplit("/", 1)[1] for d in bag.dags.values()})}))
"""


def test_every_dag_imports_alerts_about_failures_and_is_documented(airflow: dict[str, str]) -> None:
    bag = json.loads(said(run(airflow, _BAG), "BAG"))
    assert bag["errors"] == {}
    ours = {
        "salesforce", "read_back_salesforce", "replay_dead_letters", "watch_lateness", "drain_inbox", "deliver_events",
        "serve_requests", "subscribe_salesforce", "store_documents", "hold_documents", "daily_digest",
        "audit_trail", "dispose_expired_data", "restore_drill", "preview_thresholds",
        "approve_salesforce", "check_connection", "settle_salesforce_drift", "declare_known_difference",
        "adopt_salesforce_records",
    }  # fmt: skip
    ours |= {f"{v.name}_live" for v in VENDORS if v.live} | {f"{v.name}_on_demand" for v in VENDORS if find_keyed(v)}
    assert set(bag["dags"]) == ours | {v.name for v in VENDORS}
    assert bag["files"] == sorted(path.name for path in (ROOT / "dags").glob("*.py"))
    assert all(dag["doc"] for dag in bag["dags"].values())
    assert all(line for dag in bag["dags"].values() for _, line in dag["tasks"].values())


def test_a_day_runs_from_the_vendor_to_salesforce(airflow: dict[str, str], today: Firm, tmp_path: Path) -> None:
    day = business_dates.latest_closed(datetime.now(UTC))
    for line in read_lines(run(airflow, whole_run("orion", "salesforce")), "RUN"):
        state, tasks = line.split(" ", 1)
        assert state == "success", tasks
        assert json.loads(tasks).get("report_quality", "success") == "success"
    assert len(today.held(day)) > 200
    sent = today.database.value("select sum(created) from control.ledger where stage = 'crm'")
    assert sent > 200
    assert read_site(today.site.staging).results
    assert not (tmp_path / "alerts.jsonl").exists()


@pytest.mark.long
def test_a_run_with_dead_rows_warns_once_and_the_digest_reports_them(
    airflow: dict[str, str], today: Firm, tmp_path: Path
) -> None:
    today.sandbox.fault("poison", "portfolio/registrations", field="isActive", value="poison", share=0.02, seed=3)
    output = run(airflow, whole_run("orion", "daily_digest", "daily_digest"))
    assert [line.split(" ")[0] for line in read_lines(output, "RUN")] == ["success"] * 3
    warning, *digests = [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]
    assert warning["title"] == "Warning: Orion Advisor"
    assert "New dead letters:\n- orion.registrations: " in warning["body"]
    assert [each["title"].partition(" of ")[0] for each in digests] == ["Daily digest"] * 2
    counted = [re.search(r"orion.registrations: (\d+) dead letters open, (\d+) new", each["body"]) for each in digests]
    (dead, new), (still_dead, new_again) = [each.groups() for each in counted if each]
    assert int(dead) == int(new) == int(still_dead) > 0
    assert new_again == "0"
