"""Clear a run of every DAG before its deadline, as the UI, the REST API and the command line do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.vendors import VENDORS
from local.airflow_api import AirflowApi
from tests.dags.airflow_home import run
from tests.dags.stored_dags import serve_dags

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

RUN = "a_run"
DAY = "2026-06-01T00:00:00+00:00"
HOURS = 2.0

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
        """Set every run to failed; return when each was queued."""
        runs = {dag_id: self.api._call("PATCH", self._run(dag_id), json={"state": "failed"}) for dag_id in self.dag_ids}
        return {dag_id: datetime.fromisoformat(each["queued_at"]) for dag_id, each in runs.items()}

    def check(self, queued_before: dict[str, datetime]) -> None:
        """Check that every run is queued again, with its deadline counted from now."""
        for dag_id in self.dag_ids:
            cleared = self.api._call("GET", self._run(dag_id))
            assert cleared["state"] == "queued", dag_id
            queued_at = datetime.fromisoformat(cleared["queued_at"])
            assert queued_at > queued_before[dag_id]
            due = self.deadlines(dag_id)
            assert len(due) == (dag_id in WITH_DEADLINE), dag_id
            for each in due:
                assert not each["missed"]
                # Airflow records the time of the clearing twice, some milliseconds apart.
                moved = datetime.fromisoformat(each["deadline_time"]) - queued_at
                assert abs(moved - timedelta(hours=HOURS)) < timedelta(seconds=1), dag_id

    def deadlines(self, dag_id: str) -> list[dict[str, Any]]:
        """Read the deadlines of a DAG's run, as its page shows them."""
        response = self.api._session.get(f"{self.api.url}/ui/{self._run(dag_id)}/deadlines", timeout=30)
        response.raise_for_status()
        return list(response.json()["deadlines"])

    def _run(self, dag_id: str) -> str:
        return f"dags/{dag_id}/dagRuns/{RUN}"


FORMS = {
    "declare_known_difference": {"account": "an account", "reason": "held elsewhere"},
    "hold_documents": {"envelope": "an envelope", "reason": "a dispute"},
    "settle_salesforce_drift": {"object": "Account"},
}
"""DAG -> the values that its form requires."""
WITH_DEADLINE = {"salesforce", *(name for vendor in VENDORS for name in (vendor.name, f"{vendor.name}_on_demand"))}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, airflow_database: Path) -> Iterator[Cleared]:
    chosen = {"TRIBUTARY_DEADLINE_HOURS": str(HOURS)}
    with serve_dags(tmp_path_factory.mktemp("clear"), airflow_database, **chosen) as (api, settings, dag_ids):
        for dag_id in dag_ids:
            form = {"keys": ["a client"]} if dag_id.endswith("_on_demand") else FORMS.get(dag_id, {})
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
