"""The trigger listens in a real Airflow, and its DAG alerts when a topic has no subscription."""

from __future__ import annotations

import json

import httpx
import pytest

from include.control import inbox
from include.control.inbox import Delivery
from tests.conftest import Firm
from tests.dags.airflow_home import run, said, whole_run
from tests.firm_keys import KEYRING, register_inbox_key

pytestmark = [pytest.mark.airflow, pytest.mark.long]

_LISTEN = """
import asyncio, contextlib, json, sys
from tributary.triggers import crm_changes
crm_changes.POLL_S, crm_changes.PATIENCE_S = 1.5, 2.0
async def listen():
    events = crm_changes.Changes().run()
    with contextlib.suppress(TimeoutError):
        event = await asyncio.wait_for(anext(events), 5)
        return event.payload["topics"]
print("HEARD", json.dumps(asyncio.run(listen())))
"""


@pytest.fixture
def configured(airflow: dict[str, str], today: Firm) -> dict[str, str]:
    """An Airflow whose Salesforce connection names the event endpoint."""
    connection = json.loads(airflow["AIRFLOW_CONN_SALESFORCE"])
    connection["extra"]["pubsub"] = today.sandbox.http.get("/_sandbox/connections").json()["salesforce"]["extra"][
        "pubsub"
    ]
    return airflow | {
        "AIRFLOW_CONN_SALESFORCE": json.dumps(connection),
        "PYTHONPATH": f"{airflow['PYTHONPATH']}/plugins:{airflow['PYTHONPATH']}",
    }


def test_topics_are_received_or_their_failure_alerts(configured: dict[str, str], today: Firm) -> None:
    unheard = json.loads(said(run(configured, _LISTEN), "HEARD"))
    assert "/data/OpportunityChangeEvent" in unheard
    today.database.do("update control.crm_topic set trouble_since = trouble_since - interval '1 hour'")
    assert said(run(configured, whole_run("subscribe_salesforce")), "RUN").startswith("failed")
    chosen = {"objects": ["Account", "Contact", "Opportunity"]}
    httpx.post(f"{today.sandbox.url}/salesforce/_admin/change_data_capture", json=chosen).raise_for_status()
    today.sandbox.http.post("/_sandbox/clock", json={"rate": 900.0})
    today.database.do("delete from control.crm_topic")
    assert json.loads(said(run(configured, _LISTEN), "HEARD")) is None
    assert today.database.value("select count(*) from control.crm_topic where replay_id is not null") == 4
    assert said(run(configured, whole_run("subscribe_salesforce")), "RUN").startswith("success")

    register_inbox_key(today.database)
    with today.engine.begin() as db:
        inbox.refuse(
            db,
            Delivery("/event/Tributary_Refresh__e", b"?", "a hash", "an event", {}),
            "it can't be decoded",
            KEYRING.receiving_key,
        )
    state, tasks = said(run(configured, whole_run("subscribe_salesforce")), "RUN").split(" ", 1)
    assert (state, json.loads(tasks)) == ("failed", {"check_topics": "success", "check_events": "failed"})


def test_without_an_address_nothing_is_subscribed_and_nothing_fails(airflow: dict[str, str]) -> None:
    assert said(run(airflow, whole_run("subscribe_salesforce")), "RUN").startswith("success")
