"""The DAG that disposes of expired data: a dry run by hand, and the disposal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import read_lines, run, whole_run
from tests.firm_keys import KEYRING
from tests.retention.expired import insert_expired_delivery

pytestmark = pytest.mark.airflow


def dispose(airflow: dict[str, str], **conf: object) -> str:
    [line] = read_lines(run(airflow, whole_run("dispose_expired_data", **conf)), "RUN")
    return line.split(" ")[0]


def test_a_manual_run_is_dry_unless_the_operator_turns_that_off(airflow: dict[str, str], today: Firm) -> None:
    insert_expired_delivery(today.database)
    assert dispose(airflow) == "success"
    assert today.database.value("select count(*) from control.inbox") == 1
    assert dispose(airflow, dry_run=False) == "success"
    assert today.database.value("select count(*) from control.inbox") == 0
    entry = today.database.rows("select actor, details from control.audit where action = 'data.disposed'")[0]
    assert entry["actor"].startswith("run manual__")
    assert entry["details"]["rows"] == 1


_LATE = """
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from tributary.policy import is_dry_run
def is_dry(run_type, hours):
    run_after = datetime.now(UTC) - timedelta(hours=hours)
    return is_dry_run({"dry_run": True}, SimpleNamespace(run_type=run_type, run_after=run_after))
print("DRY", is_dry("scheduled", 23), is_dry("scheduled", 25), is_dry("manual", 0))
"""


def test_a_scheduled_run_disposes_unless_it_starts_more_than_a_day_late(airflow: dict[str, str]) -> None:
    """When the DAG is switched on, Airflow starts the run of the last Sunday at once."""
    assert read_lines(run(airflow, _LATE), "DRY") == ["False True True"]


def test_a_forgotten_person_whom_a_vendor_sends_again_alerts_once(
    airflow: dict[str, str], today: Firm, tmp_path: Path
) -> None:
    receipt = {"keys": [KEYRING.redactor.hash("nitrogen:7")]}
    today.database.do(
        "insert into control.audit (happened_at, database_user, actor, action, subject, details)"
        " values (now(), 'x', 'x', 'person.forgotten', 'x', cast(:details as jsonb))", details=json.dumps(receipt)
    )  # fmt: skip
    today.database.do(
        "insert into warehouse.person (person_id, vendor, person_key, valid_from, recorded_from, source_run_id)"
        " values (7, 'nitrogen', '7', '2026-11-20', now(), 1)"
    )
    assert [dispose(airflow), dispose(airflow)] == ["success"] * 2
    [alert] = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert "Forgotten persons are back: 1" in alert
    assert "nitrogen:7" in alert


def test_a_period_below_its_minimum_fails_the_run_before_anything_goes(airflow: dict[str, str], today: Firm) -> None:
    insert_expired_delivery(today.database)
    airflow["AIRFLOW_VAR_TRIBUTARY_RETENTION"] = json.dumps({"warehouse.position": "1 years"})
    assert dispose(airflow, dry_run=False) == "failed"
    assert today.database.value("select count(*) from control.inbox") == 1
