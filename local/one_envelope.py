"""One envelope through its life, told by webhook: how long each step takes to be seen in the warehouse and in Salesforce."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests
import sqlalchemy as sa
from rich import box
from rich.table import Table

from include.connection import Connection
from include.extract.login import LoginContext, impersonation

ENVELOPE_EVENTS = ("sent", "delivered", "completed", "declined", "voided", "corrected")
RECIPIENT_EVENTS = ("sent", "delivered", "completed", "declined")
PATIENCE_S = 60.0

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


Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to the envelope, and after how many seconds it was seen; None where it was not."""

    status: str
    warehouse_s: float | None
    salesforce_s: float | None


def subscribe(connection: Connection, webhook_url: str) -> None:
    """Has the vendor tell our gateway of everything that happens to envelopes, signed, and again where we do not answer."""
    with requests.Session() as http:
        token = impersonation(LoginContext(http, connection, (5, 20)))
        known = http.get(f"{token.url}/connect", headers=token.headers, timeout=20).json()
        if any(each.get("urlToPublishTo") == webhook_url for each in known.get("configurations") or ()):
            return
        wanted = {
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
        http.post(f"{token.url}/connect", json=wanted, headers=token.headers, timeout=20).raise_for_status()


def live(desk: str, household: str, engine: sa.Engine, say: Say) -> list[Step]:
    """Sends an envelope to a household, has it opened and signed by all, and watches for each step to be seen.

    Args:
        desk: URL of the sandbox at which people do such things.
        household: Vendor of whose first household it is.
        engine: As the reading role.
        say: Told how it goes.
    """
    with engine.connect() as db:
        key = db.scalar(_HOUSEHOLD, {"vendor": household})
    told = _do(desk, "send", household=int(key), template="Advisory agreement")
    steps = [_watch(engine, told, say)]
    told = _do(desk, "deliver", envelope_id=told["envelopeId"])
    steps.append(_watch(engine, told, say))
    while told["status"] != "completed":
        told = _do(desk, "sign", envelope_id=told["envelopeId"])
    return [*steps, _watch(engine, told, say)]


def show(steps: Sequence[Step]) -> Table:
    """The steps as a table."""
    table = Table(title="An envelope through its life, told by webhook", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("envelope")
    for name in ("seen in the warehouse after", "in Salesforce after"):
        table.add_column(name, justify="right")
    for step in steps:
        seen = ("never" if each is None else f"{each:.1f} s" for each in (step.warehouse_s, step.salesforce_s))
        table.add_row(step.status, *seen)
    return table


def _do(desk: str, kind: str, **values: Any) -> dict[str, Any]:
    answer = requests.post(f"{desk}/{kind}", json=values, timeout=20)
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


def _watch(engine: sa.Engine, told: dict[str, Any], say: Say) -> Step:
    started, warehouse_s = time.monotonic(), None
    while (passed := time.monotonic() - started) < PATIENCE_S:
        with engine.connect() as db:
            row = db.execute(_SEEN, {"envelope": told["envelopeId"]}).first()
        if row is not None and row.status == told["status"]:
            warehouse_s = warehouse_s or passed
            if row.is_shown:
                say(f"  {passed:5.1f} s  envelope {row.status}: seen in the warehouse and in Salesforce")
                return Step(row.status, warehouse_s, passed)
        time.sleep(0.2)
    return Step(told["status"], warehouse_s, None)
