"""The DAG that seals, publishes and verifies the audit trail."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from include.audit import chain
from include.audit.head import Heads
from tests.conftest import Firm
from tests.dags.airflow_home import read_lines, run, whole_run
from tests.firm_keys import KEYRING

pytestmark = pytest.mark.airflow

SEALED = {"seal": "success", "publish_head": "success", "verify": "success"}


def read_runs(output: str) -> list[tuple[str, dict[str, str]]]:
    runs = [line.split(" ", 1) for line in read_lines(output, "RUN")]
    return [(state, json.loads(tasks)) for state, tasks in runs]


def test_entries_are_sealed_published_once_a_day_and_verified(airflow: dict[str, str], today: Firm) -> None:
    today.database.do("insert into control.survivorship (vendor, attribute, rank) values ('orion', '', 1)")
    folder = today.folder / "audit"
    airflow["AIRFLOW_CONN_TRIBUTARY_AUDIT"] = json.dumps({"conn_type": "generic", "extra": {"root": str(folder)}})
    first, second = read_runs(run(airflow, whole_run("audit_trail", "audit_trail")))
    assert first == ("success", SEALED)
    assert second == ("success", SEALED | {"verify": "skipped"})

    heads = list(Heads(str(folder), KEYRING.audit).read())
    assert [path.name for path in folder.iterdir()] == [f"{datetime.now(UTC).date()}.json"]
    assert chain.verify(today.engine, KEYRING.audit, heads).state == "intact"
    assert chain.read_head(today.engine).position > 0


def test_a_trail_that_was_changed_fails_the_run_and_alerts(
    airflow: dict[str, str], today: Firm, tmp_path: Path
) -> None:
    assert read_runs(run(airflow, whole_run("audit_trail"))) == [("success", SEALED)]
    with psycopg.connect(today.database.url("tributary_migrate")) as owner:
        owner.execute("alter table control.audit disable trigger only_grows")
        owner.execute(
            "update control.audit set actor = 'Sam' where entry_id = (select min(entry_id) from control.audit)"
        )
    assert read_runs(run(airflow, whole_run("audit_trail"))) == [("failed", SEALED | {"verify": "failed"})]
    [alert] = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert "The audit trail is edited" in alert
