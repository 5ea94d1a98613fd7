"""Cases in which the Salesforce DAG must not write: a dry run, a pause, and a day that is not reconciled."""

from __future__ import annotations

import json

import pytest

from include import business_dates
from include.crm.sync import difference
from tests.conftest import Firm
from tests.dags.airflow_home import run, said, whole_run

pytestmark = pytest.mark.airflow


@pytest.fixture
def loaded(today: Firm) -> Firm:
    """A firm whose day is in the warehouse and not in Salesforce."""
    today.day(business_dates.latest_closed(today.now))
    return today


def check_nothing_was_sent(firm: Firm, output: str) -> None:
    state, tasks = said(output, "RUN").split(" ", 1)
    assert state == "success", tasks
    assert (json.loads(tasks)["send_changes"], json.loads(tasks)["raise_tasks"]) == ("skipped", "skipped")
    assert firm.sandbox.http.get("/salesforce/_admin/records/Account").text == ""
    called = firm.database.rows("select distinct path from control.api_call where vendor = 'salesforce'")
    assert {row["path"].rpartition("/")[2] for row in called} <= {"query"}
    assert firm.database.value("select count(*) from control.ledger where stage = 'crm'") == 0


@pytest.mark.long
def test_a_dry_run_writes_a_page_and_sends_nothing(airflow: dict[str, str], loaded: Firm) -> None:
    code = whole_run("salesforce", dry_run=True)

    check_nothing_was_sent(loaded, run(airflow, code))

    [(page, _)] = difference.list_pages(loaded.site.staging)
    text = difference.read_page(loaded.site.staging, page).decode()
    name = loaded.database.value("select name from warehouse.household order by household_key limit 1")
    assert "<h1>What would change in Salesforce: " in text
    assert name in text


@pytest.mark.long
def test_nothing_is_sent_while_writing_is_paused(airflow: dict[str, str], loaded: Firm) -> None:
    check_nothing_was_sent(loaded, run(airflow | {"AIRFLOW_VAR_TRIBUTARY_CRM_PAUSED": "true"}, whole_run("salesforce")))


def test_a_run_that_can_send_nothing_fails_and_sends_no_alert_of_its_own(airflow: dict[str, str], loaded: Firm) -> None:
    loaded.database.do("update control.reconciliation set is_passed = false")

    state, tasks = said(run(airflow, whole_run("salesforce")), "RUN").split(" ", 1)

    assert state == "failed"
    assert json.loads(tasks)["send_changes"] == "failed"
    assert json.loads(tasks)["report_held_back"] == "success"
    assert loaded.database.value("select distinct cause from control.crm_held") == "vendor"
    assert loaded.database.rows("select title from control.alert where sent_at is not null") == []
    assert loaded.database.value("select kind from control.alert") == "silent"
