"""The DAG that disposes of expired data: a dry run by hand, and the disposal."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Firm
from tests.dags.airflow_home import read_lines, run, whole_run

pytestmark = pytest.mark.airflow

EXPIRED = "insert into control.inbox (sender, body, content_hash, headers, processed_at) values ('docusign', 'x', 'h', '{}', '2026-01-01')"


def dispose(airflow: dict[str, str], **conf: object) -> str:
    [line] = read_lines(run(airflow, whole_run("dispose_expired_data", **conf)), "RUN")
    return line.split(" ")[0]


def test_a_run_by_hand_is_dry_until_the_operator_says_otherwise(airflow: dict[str, str], today: Firm) -> None:
    today.database.do(EXPIRED)
    assert dispose(airflow) == "success"
    assert today.database.value("select count(*) from control.inbox") == 1
    assert dispose(airflow, dry_run=False) == "success"
    assert today.database.value("select count(*) from control.inbox") == 0
    entry = today.database.rows("select actor, details from control.audit where action = 'data.disposed'")[0]
    assert entry["actor"].startswith("run manual__")
    assert entry["details"]["rows"] == 1


def test_a_period_below_its_minimum_fails_the_run_before_anything_goes(airflow: dict[str, str], today: Firm) -> None:
    today.database.do(EXPIRED)
    airflow["AIRFLOW_VAR_TRIBUTARY_RETENTION"] = json.dumps({"warehouse.position": "1 years"})
    assert dispose(airflow, dry_run=False) == "failed"
    assert today.database.value("select count(*) from control.inbox") == 1
