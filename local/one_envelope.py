"""Send and sign one envelope, and measure how long each webhook takes to reach the warehouse and Salesforce."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests
import sqlalchemy as sa
from rich import box
from rich.table import Table

from include.connection import Connection
from include.contract import Login
from include.extract.login import LoginContext, log_in
from local.airflow_api import QUIET_SECONDS, ReportLine

ENVELOPE_EVENTS = ("sent", "delivered", "completed", "declined", "voided", "corrected")
RECIPIENT_EVENTS = ("sent", "delivered", "completed", "declined")
PATIENCE_S = 720.0
"""Longer than the interval of `drain_inbox`. A run of it that meets a full sync leaves the envelope to the next run, ten minutes later."""

_SEEN = sa.text("""
select e.status, e.changed_at, e.signed, c.accepted_at is not null and c.payload ->> 'Status__c' = initcap(e.status)
       and (c.payload ->> 'Signed__c')::int = e.signed as is_shown
from mart.envelope e
left join control.crm_state c on c.external_key like '%:' || e.vendor || ':envelope:' || e.envelope_key
where e.envelope_key = :envelope
""")

_HOUSEHOLD = sa.text("""
select h.household_key from warehouse.household h
join warehouse.person p on p.household_id = h.household_id and p.valid_to is null and p.recorded_to is null
where h.vendor = :vendor and h.valid_to is null and h.recorded_to is null order by h.household_id limit 1
""")


@dataclass(frozen=True, slots=True)
class Step:
    """A status of the envelope, with the seconds until it was seen in the warehouse and in Salesforce; None if it was not seen in time."""

    status: str
    warehouse_s: float | None
    salesforce_s: float | None


def subscribe(login: Login, connection: Connection, webhook_url: str) -> None:
    """Subscribe the gateway at `webhook_url` to all envelope events of the vendor, with signatures and retries, unless it is subscribed."""
    with requests.Session() as http:
        token = log_in(login, LoginContext(http, connection, (5, 20)))
        existing = http.get(f"{token.url}/connect", headers=token.headers, timeout=20).json()
        if any(each.get("urlToPublishTo") == webhook_url for each in existing.get("configurations") or ()):
            return
        configuration = {
            "configurationType": "custom",
            "name": "Tributary",
            "urlToPublishTo": webhook_url,
            "allowEnvelopePublish": "true",
            "allUsers": "true",
            "deliveryMode": "SIM",
            "includeHMAC": "true",
            "requiresAcknowledgement": "true",
            "eventData": {"version": "restv2.1", "includeData": ["recipients", "custom_fields"]},
            "events": [f"envelope-{name}" for name in ENVELOPE_EVENTS]
            + [f"recipient-{name}" for name in RECIPIENT_EVENTS],
        }
        http.post(f"{token.url}/connect", json=configuration, headers=token.headers, timeout=20).raise_for_status()


def live(desk: str, household: str, engine: sa.Engine, report_line: ReportLine) -> list[Step]:
    """Send an envelope to a household, open it, have all recipients sign it, and wait until each step is seen.

    Args:
        desk: URL of the sandbox's endpoints that act as a person: `send`, `deliver`, `sign`.
        household: Vendor whose first household receives the envelope.
        engine: The database, as the reading role.
        report_line: Called with each line of progress.

    Returns:
        The steps `sent`, `delivered` and `completed`.
    """
    with engine.connect() as db:
        key = db.scalar(_HOUSEHOLD, {"vendor": household})
    envelope = _post(desk, "send", household=int(key), template="Advisory agreement")
    steps = [_wait_seen(engine, envelope, report_line)]
    envelope = _post(desk, "deliver", envelope_id=envelope["envelopeId"])
    steps.append(_wait_seen(engine, envelope, report_line))
    while envelope["status"] != "completed":
        envelope = _post(desk, "sign", envelope_id=envelope["envelopeId"])
    return [*steps, _wait_seen(engine, envelope, report_line)]


def show(steps: Sequence[Step]) -> Table:
    """Return the steps as a table."""
    table = Table(
        title="An envelope's webhooks, from the vendor to Salesforce", box=box.SIMPLE_HEAD, title_justify="left"
    )
    table.add_column("envelope")
    for name in ("seen in the warehouse after", "in Salesforce after"):
        table.add_column(name, justify="right")
    for step in steps:
        seen = ("never" if each is None else f"{each:.1f} s" for each in (step.warehouse_s, step.salesforce_s))
        table.add_row(step.status, *seen)
    return table


def _post(desk: str, kind: str, **values: Any) -> dict[str, Any]:
    response = requests.post(f"{desk}/{kind}", json=values, timeout=20)
    response.raise_for_status()
    envelope: dict[str, Any] = response.json()
    return envelope


def _wait_seen(engine: sa.Engine, envelope: dict[str, Any], report_line: ReportLine) -> Step:
    started, warehouse_s, reported = time.monotonic(), None, 0.0
    while (passed := time.monotonic() - started) < PATIENCE_S:
        with engine.connect() as db:
            row = db.execute(_SEEN, {"envelope": envelope["envelopeId"]}).first()
        if row is not None and row.status == envelope["status"]:
            warehouse_s = warehouse_s or passed
            if row.is_shown:
                report_line(f"  {passed:5.1f} s  envelope {row.status}: seen in the warehouse and in Salesforce")
                return Step(row.status, warehouse_s, passed)
        if passed - reported > QUIET_SECONDS:
            place = "Salesforce" if warehouse_s else "the warehouse"
            report_line(f"  {passed:5.1f} s  waiting for envelope {envelope['status']} in {place}")
            reported = passed
        time.sleep(0.2)
    return Step(envelope["status"], warehouse_s, None)
