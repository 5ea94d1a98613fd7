"""Clear, as the UI, the REST API and the command line do it, of a run of every DAG whose deadline has not passed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from include.local import airflow
from include.local.airflow_api import AirflowApi
from include.vendors import VENDORS
from tests.api_server import serve
from tests.dags.airflow_home import ROOT, run, said

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

RUN = "a_run"
DAY = "2026-06-01T00:00:00+00:00"
HOURS = 2.0

_STORE = """
import json
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

manager = DagBundlesManager()
manager.sync_bundles_to_db()
for bundle in manager.get_all_dag_bundles():
    bundle.initialize()
    bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    sync_bag_to_db(bag, bundle.name, bundle_version=bundle.get_current_version())
print("DAGS", json.dumps(sorted(bag.dags)))
"""

_CLEAR = """
from airflow.cli.cli_parser import get_parser

parser = get_parser()
for dag_id in {dag_ids!r}:
    given = parser.parse_args([*{command!r}, "--yes", dag_id, *{chosen!r}])
    given.func(given)
"""


@dataclass
class Cleared:
    """One run of every DAG, failed, in a real Airflow without a scheduler."""

    api: AirflowApi
    settings: dict[str, str]
    dag_ids: list[str]

    def fail_all(self) -> dict[str, datetime]:
        """Makes every run a failed one; returns when each was queued."""
        runs = {dag_id: self.api._call("PATCH", self._run(dag_id), json={"state": "failed"}) for dag_id in self.dag_ids}
        return {dag_id: datetime.fromisoformat(each["queued_at"]) for dag_id, each in runs.items()}

    def check(self, queued_before: dict[str, datetime]) -> None:
        """Every run waits again, and its deadline counts from now."""
        for dag_id in self.dag_ids:
            cleared = self.api._call("GET", self._run(dag_id))
            assert cleared["state"] == "queued", dag_id
            queued_at = datetime.fromisoformat(cleared["queued_at"])
            assert queued_at > queued_before[dag_id]
            due = self.deadlines(dag_id)
            assert len(due) == (dag_id in WITH_DEADLINE), dag_id
            for each in due:
                assert not each["missed"]
                # Airflow notes the time of the clearing twice, some milliseconds apart.
                moved = datetime.fromisoformat(each["deadline_time"]) - queued_at
                assert abs(moved - timedelta(hours=HOURS)) < timedelta(seconds=1), dag_id

    def deadlines(self, dag_id: str) -> list[dict[str, Any]]:
        """The deadlines of a DAG's run, as its page shows them."""
        answer = self.api._session.get(f"{self.api.url}/ui/{self._run(dag_id)}/deadlines", timeout=30)
        answer.raise_for_status()
        return list(answer.json()["deadlines"])

    def _run(self, dag_id: str) -> str:
        return f"dags/{dag_id}/dagRuns/{RUN}"


WITH_DEADLINE = {"salesforce", *(name for vendor in VENDORS for name in (vendor.name, f"{vendor.name}_on_demand"))}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, airflow_database: Path) -> Iterator[Cleared]:
    folder = tmp_path_factory.mktemp("clear")
    chosen = {"AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"), "TRIBUTARY_DEADLINE_HOURS": str(HOURS)}
    with serve(folder, airflow_database, {}, **chosen) as (url, passwords):
        port, metadata = urlsplit(url).port or 0, f"sqlite:///{folder / 'home'}/airflow.db"
        settings = airflow.environment(folder / "home", metadata, port, ROOT) | chosen
        dag_ids = json.loads(said(run(settings, _STORE), "DAGS"))
        api = AirflowApi(url, airflow.USER, passwords[airflow.USER])
        api.log_in()
        for dag_id in dag_ids:
            form = {"keys": ["a client"]} if dag_id.endswith("_on_demand") else {}
            form |= {"envelope": "an envelope", "reason": "a dispute"} if dag_id == "hold_documents" else {}
            body = {"dag_run_id": RUN, "logical_date": DAY, "conf": form}
            api._call("POST", f"dags/{dag_id}/dagRuns", json=body)
        yield Cleared(api, settings, dag_ids)


def test_a_failed_task_can_be_cleared(failed: Cleared) -> None:
    queued_at = failed.fail_all()
    for dag_id in failed.dag_ids:
        body = {"dry_run": False, "dag_run_id": RUN, "only_failed": False, "reset_dag_runs": True}
        failed.api._call("POST", f"dags/{dag_id}/clearTaskInstances", json=body)
    failed.check(queued_at)


def test_a_failed_run_can_be_cleared(failed: Cleared) -> None:
    queued_at = failed.fail_all()
    for dag_id in failed.dag_ids:
        failed.api._call("POST", f"dags/{dag_id}/dagRuns/{RUN}/clear", json={"dry_run": False})
    failed.check(queued_at)


@pytest.mark.parametrize(
    ("command", "chosen"),
    [(("tasks", "clear"), ("--start-date", DAY, "--end-date", DAY)), (("dags", "clear"), ("--run-id", RUN))],
)
def test_a_failed_run_can_be_cleared_by_command(
    failed: Cleared, command: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    queued_at = failed.fail_all()
    run(failed.settings, _CLEAR.format(dag_ids=failed.dag_ids, command=command, chosen=chosen))
    failed.check(queued_at)
