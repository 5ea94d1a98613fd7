"""The DAG that adopts records of the org."""

from __future__ import annotations

import json

import pytest

from include import business_dates
from tests.conftest import Firm
from tests.dags.airflow_home import run, said, whole_run

pytestmark = pytest.mark.airflow


@pytest.mark.long
def test_a_comparison_resolves_identities_first(airflow: dict[str, str], today: Firm) -> None:
    """The DAG `salesforce` may still be paused when a firm adopts its org."""
    today.day(business_dates.latest_closed(today.now))
    assert today.database.value("select count(*) from control.identity_run") == 0

    state, tasks = said(run(airflow, whole_run("adopt_salesforce_records", action="compare")), "RUN").split(" ", 1)

    assert (state, json.loads(tasks)) == ("success", {"work": "success"})
    assert today.database.value("select count(*) from control.identity_run") == 1


@pytest.mark.long
def test_a_user_is_told_that_no_key_is_written_while_writing_is_paused(airflow: dict[str, str], today: Firm) -> None:
    code = whole_run("adopt_salesforce_records", action="write keys")
    code += "print('RESULT', run.get_task_instance('work').xcom_pull(task_ids='work'))\n"

    output = run(airflow | {"AIRFLOW_VAR_TRIBUTARY_CRM_PAUSED": "true"}, code)

    assert said(output, "RESULT").startswith("Nothing was written: writes to Salesforce are paused.")
    assert today.database.value("select count(*) from control.api_call where vendor = 'salesforce'") == 0
