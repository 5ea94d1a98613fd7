"""The DAG that seals, publishes and verifies the audit trail."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from include.audit import chain
from include.audit.head import Heads
from tests.conftest import Firm
from tests.dags.airflow_home import read_lines, run, whole_run
from tests.firm_keys import KEYRING

pytestmark = pytest.mark.airflow

DONE = {"verify": "success", "seal": "success", "publish_head": "success"}


def publish_to(airflow: dict[str, str], folder: Path) -> None:
    connection = {"conn_type": "generic", "extra": {"root": str(folder)}}
    airflow["AIRFLOW_CONN_TRIBUTARY_AUDIT"] = json.dumps(connection)


def read_runs(output: str) -> list[tuple[str, dict[str, str]]]:
    runs = [line.split(" ", 1) for line in read_lines(output, "RUN")]
    return [(state, json.loads(tasks)) for state, tasks in runs]


def test_entries_are_sealed_and_their_end_is_published(airflow: dict[str, str], today: Firm) -> None:
    today.database.do("insert into control.survivorship (vendor, attribute, rank) values ('orion', '', 1)")
    folder = today.folder / "audit"
    publish_to(airflow, folder)
    assert read_runs(run(airflow, whole_run("audit_trail", "audit_trail"))) == [("success", DONE)] * 2
    heads = list(Heads(str(folder), KEYRING.audit).read())
    assert heads[-1] == chain.read_head(today.engine)
    assert heads[-1].position > 0
    assert today.database.value("select position from control.audit_head") == heads[-1].position
    assert chain.verify(today.engine, KEYRING.audit, heads).state == "intact"


def test_entries_that_were_sealed_late_alert_once(airflow: dict[str, str], today: Firm, tmp_path: Path) -> None:
    today.database.do(
        "insert into control.audit (happened_at, database_user, actor, action, subject, details)"
        " values (now() - interval '4 hours', 'x', 'x', 'x', 'x', '{}')"
    )
    assert [state for state, _ in read_runs(run(airflow, whole_run("audit_trail", "audit_trail")))] == ["success"] * 2
    [alert] = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert "Audit trail: late or missing seals: 1" in alert


def test_without_a_folder_no_head_is_published(airflow: dict[str, str], today: Firm) -> None:
    assert read_runs(run(airflow, whole_run("audit_trail"))) == [("success", DONE | {"publish_head": "skipped"})]


def test_a_trail_that_was_changed_is_never_sealed_again_and_alerts(
    airflow: dict[str, str], today: Firm, tmp_path: Path
) -> None:
    publish_to(airflow, today.folder / "audit")
    today.database.do("insert into control.survivorship (vendor, attribute, rank) values ('orion', '', 1)")
    assert read_runs(run(airflow, whole_run("audit_trail"))) == [("success", DONE)]
    with psycopg.connect(today.database.url("tributary_migrate")) as owner:
        for table in ("audit", "audit_seal"):
            owner.execute(f"alter table control.{table} disable trigger only_grows".encode())
        owner.execute("delete from control.audit_seal")  # the entries look new, so that a seal would cover the change
        owner.execute("update control.audit set actor = 'Sam'")
    failed = {"verify": "failed", "seal": "upstream_failed", "publish_head": "upstream_failed"}
    assert read_runs(run(airflow, whole_run("audit_trail"))) == [("failed", failed)]
    assert today.database.value("select count(*) from control.audit_seal") == 0
    [alert] = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert "The audit trail is truncated" in alert
