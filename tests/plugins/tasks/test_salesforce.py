"""Alerts of the Salesforce sync's tasks: once per state; an alert that failed is sent by the next try."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import ROOT, environment, run

pytestmark = pytest.mark.airflow

_REPORT = """
from tributary.tasks.salesforce import report_held_back

for _ in range(2):
    try:
        report_held_back.function(run_id="a_run")
    except Exception as error:
        print(type(error).__name__)
"""


def report(folder: Path, database: Database, urls: str) -> list[str]:
    """Run the task twice; return the errors."""
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": urls}),
    }
    environ = environment(folder, definitions) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    errors = {"ConfigurationError", "TargetUnavailable"}
    return [line for line in run(environ, _REPORT).splitlines() if line in errors]


def read(alerts: Path) -> list[str]:
    return [json.loads(line)["title"] for line in alerts.read_text().splitlines()]


def hold_back(database: Database) -> None:
    database.do("""
        insert into control.crm_held (entity, cause, subject, records, reason, since, run_id)
        values ('goal', 'vendor', 'plans', 3, 'not reconciled', now() - interval '5 hours', 'a_run')
    """)


def test_what_is_held_back_for_long_is_alerted_once(tmp_path: Path, database: Database) -> None:
    hold_back(database)

    assert report(tmp_path, database, f"file://{tmp_path / 'alerts'}") == []

    assert read(tmp_path / "alerts") == ["Salesforce: records are held back"]


def test_an_alert_of_what_is_held_back_that_could_not_be_sent_is_sent_by_the_next_try(
    tmp_path: Path, database: Database
) -> None:
    hold_back(database)
    assert report(tmp_path, database, "nothing://nowhere") == ["ConfigurationError"] * 2

    report(tmp_path, database, f"file://{tmp_path / 'alerts'}")

    assert read(tmp_path / "alerts") == ["Salesforce: records are held back"]


@pytest.mark.long
def test_an_alert_that_was_sent_before_the_task_died_is_not_sent_again(tmp_path: Path, database: Database) -> None:
    hold_back(database)
    report(tmp_path, database, f"file://{tmp_path / 'alerts'}")
    database.do("update control.crm_held set alerted_at = null")

    report(tmp_path, database, f"file://{tmp_path / 'alerts'}")

    assert read(tmp_path / "alerts") == ["Salesforce: records are held back"]


@pytest.mark.parametrize("kind", ["merged", "remade"])
def test_records_that_users_removed_are_alerted_once_a_run(tmp_path: Path, database: Database, kind: str) -> None:
    database.do(
        """
        insert into control.crm_difference (run_id, sobject, entity, kind, external_key, salesforce_id)
        values ('removed:a_run', 'Account', 'household', :kind, 'test:household:1', '001')
        """,
        kind=kind,
    )

    report(tmp_path, database, f"file://{tmp_path / 'alerts'}")

    assert read(tmp_path / "alerts") == ["Salesforce: records were deleted, merged or created again"]


def test_an_org_that_was_restored_is_alerted_once_a_run(tmp_path: Path, database: Database) -> None:
    database.do("""
        insert into control.crm_difference (run_id, sobject, entity, kind, external_key, salesforce_id)
        values ('a_run', 'Account', 'household', 'edited', 'test:household:1', '001')
    """)

    report(tmp_path, database, f"file://{tmp_path / 'alerts'}")

    assert read(tmp_path / "alerts") == ["Salesforce was restored from a backup"]
