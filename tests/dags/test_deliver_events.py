"""The DAG that delivers events: they reach a receiver, and an unreachable subscriber causes an alert."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.dags.airflow_home import environment, prepare, run, said, whole_run
from tests.outbound.conftest import HERE, SECRET, Receiver, listening, receiver  # noqa: F401

pytestmark = pytest.mark.airflow


@pytest.fixture
def house(tmp_path: Path, database: Database, receiver: Receiver, airflow_database: Path) -> Iterator[dict[str, str]]:  # noqa: F811
    """An Airflow with one subscriber that listens, and one without a connection."""
    definitions = {
        "tributary_db": database.url(),
        "tributary_alerts": json.dumps({"conn_type": "generic", "password": f"file://{tmp_path / 'alerts.jsonl'}"}),
        "hub": json.dumps(
            {
                "conn_type": "http",
                "host": receiver.url("/hook/"),
                "password": SECRET,
                "extra": {"vendors": "orion", "networks": HERE},
            }
        ),
    }
    environ = environment(tmp_path / "airflow", definitions)
    environ["AIRFLOW_VAR_TRIBUTARY_SUBSCRIBERS"] = "hub forgotten"
    prepare(environ, airflow_database)
    return environ


def happen(database: Database, subject: str) -> None:
    database.do(
        "insert into control.outbox (type, vendor, subject, data)"
        " values ('tributary.load.committed', 'orion', :subject, '{\"produced\": 1}')",
        subject=subject,
    )


def deliver(environ: dict[str, str], **form: object) -> dict[str, str]:
    code = whole_run("deliver_events", **form)
    state, tasks = said(run(environ, code), "RUN").split(" ", 1)
    assert state == "success", tasks
    states: dict[str, str] = json.loads(tasks)
    return states


def test_without_subscribers_a_run_ends_at_once(house: dict[str, str]) -> None:
    tasks = deliver(house | {"AIRFLOW_VAR_TRIBUTARY_SUBSCRIBERS": " "})

    assert tasks.pop("has_subscribers") == "success"
    assert set(tasks.values()) == {"skipped"}


def test_form_that_selects_events_without_a_subscriber_is_refused(house: dict[str, str]) -> None:
    state, tasks = said(run(house, whole_run("deliver_events", replay_dead=True)), "RUN").split(" ", 1)
    assert (state, json.loads(tasks)["has_subscribers"]) == ("failed", "failed")


@pytest.mark.long
def test_a_subscriber_that_was_removed_is_recorded_so(house: dict[str, str], database: Database) -> None:
    deliver(house)
    deliver(house | {"AIRFLOW_VAR_TRIBUTARY_SUBSCRIBERS": " "})

    assert database.value("select distinct state from control.outbound_subscriber") == "removed"


@pytest.mark.long
def test_events_are_delivered_and_resent_by_form_and_failures_alert_once(
    house: dict[str, str],
    database: Database,
    receiver: Receiver,  # noqa: F811
    tmp_path: Path,
) -> None:
    happen(database, "before")
    deliver(house)
    assert receiver.calls == []
    [alert] = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert "forgotten: unreadable: there is no such connection" in json.loads(alert)["body"]

    happen(database, "after")
    deliver(house, subscriber="hub", enable=True, since="2026-01-01T00:00:00Z", types="tributary.load.*")
    assert sorted((call.path, call.subject) for call in receiver.calls) == [("/hook/", "after"), ("/hook/", "before")]
    assert len((tmp_path / "alerts.jsonl").read_text().splitlines()) == 1
