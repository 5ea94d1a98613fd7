"""The DAG that drains the inbox, under a real Airflow: a delivery becomes an envelope, and its documents are stored."""

from __future__ import annotations

import json

import pytest

from include.control import inbox
from include.control.inbox import Delivery
from include.vendors import VENDORS
from tests.conftest import Firm, connect
from tests.dags.airflow_home import read_lines, run, said, whole_run
from tests.firm_keys import KEYRING, register_inbox_key

pytestmark = pytest.mark.airflow


def test_a_run_drains_what_waits_and_keeps_what_was_signed(airflow: dict[str, str], today: Firm) -> None:
    vendor = next(each for each in VENDORS if each.webhook is not None and each.webhook.row)
    connection = connect(today.sandbox, vendor)
    airflow[f"AIRFLOW_CONN_{vendor.name.upper()}"] = json.dumps(
        {"conn_type": "http", "host": connection.url, "extra": dict(connection.extra)}
    )
    household = today.sandbox.rows("Portfolio/Clients")[0]["id"]
    sent = today.sandbox.admin(f"{vendor.name}/send", household=household)
    while sent["status"] != "completed":
        sent = today.sandbox.admin(f"{vendor.name}/sign", envelope_id=sent["envelopeId"])
    # A body without data, so that the envelope is requested from the vendor.
    body = {
        "event": "envelope-completed",
        "generatedDateTime": "2026-11-20T15:00:00Z",
        "data": {"envelopeId": sent["envelopeId"]},
    }
    register_inbox_key(today.database)
    inbox.receive(today.engine, Delivery(vendor.name, json.dumps(body).encode(), "h", None, {}), KEYRING.receiving_key)

    drained, stored = read_lines(run(airflow, whole_run("drain_inbox", "store_documents")), "RUN")

    state, tasks = drained.split(" ", 1)
    assert state == "success", tasks
    ended = dict.fromkeys(["find_waiting", "drain[0]", "send_envelopes", "ended"], "success")
    assert json.loads(tasks) == ended
    [envelope] = today.database.rows("select * from warehouse.envelope where recorded_to is null")
    assert (envelope["envelope_key"], envelope["status"]) == (sent["envelopeId"], "completed")
    assert stored.startswith("success")
    kinds = today.database.rows("select kind from control.document order by kind")
    assert [row["kind"] for row in kinds] == sorted(each.kind for each in vendor.documents)
    assert today.database.value("select count(*) from control.inbox where processed_at is null") == 0


@pytest.mark.long
def test_a_run_that_could_not_drain_a_vendor_has_failed(airflow: dict[str, str], today: Firm) -> None:
    vendor = next(each for each in VENDORS if each.webhook is not None and each.webhook.row)
    body = {"event": "envelope-completed", "data": {"envelopeId": "an-envelope"}}
    register_inbox_key(today.database)
    inbox.receive(today.engine, Delivery(vendor.name, json.dumps(body).encode(), "h", None, {}), KEYRING.receiving_key)

    state, tasks = said(run(airflow, whole_run("drain_inbox")), "RUN").split(" ", 1)

    assert (state, json.loads(tasks)["drain[0]"]) == ("failed", "failed")
    assert today.database.value("select count(*) from control.inbox where processed_at is null") == 1
