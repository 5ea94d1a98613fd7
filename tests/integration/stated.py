"""What each vendor states, asked for and read by other means than ours, and the query that must answer the same."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from include.extract.session import Request, VendorSession
from include.pipeline import pull
from tests.conftest import Firm
from tests.running_sandbox import LAST

Stated = dict[str, tuple[Any, ...]]

_POSITIONS = "select position_key, quantity, market_value_usd from warehouse.position where recorded_to is null"


def stated(firm: Firm) -> tuple[Stated, Stated]:
    """What the vendor states of its main matter by key, and what the warehouse holds."""
    ask, query = _ASKED[firm.vendor.name]
    with pull.open_session(firm.site, firm.vendor, firm.connection, firm.new_run()) as session:
        theirs = ask(firm, session)
    ours = [tuple(row.values()) for row in firm.database.rows(query)]
    assert len({row[0] for row in ours}) == len(ours)
    return theirs, {row[0]: row[1:] for row in ours}


def _json(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal)


def _orion(firm: Firm, session: VendorSession) -> Stated:
    rows = session.get("Portfolio/Assets", {"asOfDate": LAST.isoformat(), "$top": "10000"}, _json)
    return {str(row["id"]): (row["currentShares"], row["currentValue"]) for row in rows}


def _tamarac(firm: Firm, session: VendorSession) -> Stated:
    order = {"report": "AccountHoldingsAV", "asOfDate": LAST.isoformat()}
    job = (session.request(Request("reports", body=order), _json) or {})["jobId"]
    while (session.request(Request(f"reports/{job}"), _json) or {})["status"] != "Complete":
        time.sleep(0.05)
    content = session.request(Request(f"reports/{job}/file", is_file=True), bytes) or b""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(archive.namelist()[0])
    held: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig"))):
        if row["Account Type"] != "Reporting Group":
            security = row["CUSIP"] or row["Symbol"] or row["Description"]
            sums = held[f"{row['Account ID']}:{security}"]
            sums[0] += _number(row["Quantity"])
            sums[1] += _number(row["Market Value"]).quantize(Decimal("0.01"))
    return {key: tuple(sums) for key, sums in held.items()}


def _number(text: str) -> Decimal:
    plain = text.replace(",", "").replace("$", "")
    return -Decimal(plain.strip("()")) if plain.startswith("(") else Decimal(plain)


def _pages(session: VendorSession, path: str, **params: str) -> Iterator[Mapping[str, Any]]:
    for page in range(1, 100):
        rows = session.get(path, {"page": str(page), **params}, _json)
        yield from rows
        if not rows:
            return


def _emoney(firm: Firm, session: VendorSession) -> Stated:
    found: Stated = {}
    for client in _pages(session, "clients", pageSize="50"):
        for plan in session.get(f"clients/{client['clientId']}/plans", {}, _json):
            expenses = session.get(f"clients/{client['clientId']}/plans/{plan['planId']}/expenses", {}, _json)
            for goal in (expense for expense in expenses if expense.get("isGoal")):
                money = round(goal["amount"], 2) if "amount" in goal else None
                found[f"{plan['planId']}:{goal['expenseId']}"] = (plan["planId"], goal["name"], money)
    return found


def _moneyguidepro(firm: Firm, session: VendorSession) -> Stated:
    found: Stated = {}
    for household in session.get("Households", {}, _json):
        path = f"Households/{household['householdId']}/MonteCarloMeter"
        meter = session.request(Request(path, {"includeImage": "false"}, missing=(404,)), _json) or {}
        found[str(household["householdId"])] = (meter.get("probabilityOfSuccess"),)
    return {key: text for key, text in found.items() if text[0] is not None}


def _nitrogen(firm: Firm, session: VendorSession) -> Stated:
    found: Stated = {}
    for grant in json.loads(firm.connection.extra["grants"]):
        for client in session.request(Request("clients", grant=grant), _json) or []:
            found[str(client["id"])] = (client.get("risk_number"),)
    return {key: number for key, number in found.items() if number[0] is not None}


def _docusign(firm: Firm, session: VendorSession) -> Stated:
    """Each envelope by itself, and who has signed by its recipients; the list tells the ids alone."""
    listed = session.get("envelopes", {"from_date": "2000-01-01T00:00:00Z", "count": "1000"}, _json)["envelopes"]
    found: Stated = {}
    for envelope_id in (row["envelopeId"] for row in listed):
        envelope = session.get(f"envelopes/{envelope_id}", {"include": "custom_fields"}, _json)
        fields = {field["name"]: field["value"] for field in envelope["customFields"]["textCustomFields"]}
        arrays = session.get(f"envelopes/{envelope_id}/recipients", {}, _json)
        people = [each for array in arrays.values() if isinstance(array, list) for each in array]
        found[envelope_id] = (
            envelope["status"],
            fields["Household"].replace(":", ":household:"),
            len(people),
            sum("signedDateTime" in each for each in people),
        )
    return found


def _adobe_sign(firm: Firm, session: VendorSession) -> Stated:
    """Each agreement as its sender sees it; who has signed by the sets of its members."""
    found: Stated = {}
    for user in session.get("users", {}, _json)["userInfoList"]:
        acting = {"x-api-user": f"userid:{user['id']}"}
        listed = session.request(Request("agreements", {"pageSize": "500"}, headers=acting), _json) or {}
        for path in (f"agreements/{row['id']}" for row in listed["userAgreementList"]):
            agreement = session.request(Request(path, headers=acting), _json) or {}
            members = session.request(Request(f"{path}/members", missing=(403, 404), headers=acting), _json) or {}
            events = (session.request(Request(f"{path}/events", missing=(404,), headers=acting), _json) or {})["events"]
            sets = members.get("participantSets", [])
            found[agreement["id"]] = (
                _adobe_word(agreement["status"], {event["type"] for event in events}),
                agreement["externalId"]["id"].replace(":", ":household:"),
                len(sets),
                sum(each["status"] == "COMPLETED" for each in sets),
            )
    return found


def _adobe_word(status: str, events: set[str]) -> str:
    if status == "CANCELLED":
        return "declined" if "REJECTED" in events else "voided"
    if status.startswith("OUT_FOR_"):
        return "sent"
    return {"EXPIRED": "expired", "DRAFT": "draft", "AUTHORING": "draft"}.get(status, "completed")


_ENVELOPES = """
select e.envelope_key, e.status, e.household_reference, count(r.envelope_recipient_key) as people,
    count(r.signed_at) as signed
from warehouse.envelope e left join warehouse.envelope_recipient r
on r.vendor = e.vendor and r.envelope_key = e.envelope_key and r.recorded_to is null
where e.recorded_to is null group by 1, 2, 3
"""

_ASKED: dict[str, tuple[Callable[[Firm, VendorSession], Stated], str]] = {
    "orion": (_orion, _POSITIONS),
    "tamarac": (_tamarac, _POSITIONS),
    "emoney": (
        _emoney,
        "select goal_key, source_key, name, amount_usd from warehouse.goal join warehouse.source_key on id = plan_id"
        " where recorded_to is null and goal_type <> 'Retirement'",
    ),
    "moneyguidepro": (
        _moneyguidepro,
        "select source_key, probability_text from warehouse.plan_result join warehouse.source_key on id = plan_id"
        " where recorded_to is null and scenario = 'recommended'",
    ),
    "nitrogen": (
        _nitrogen,
        "select source_key, risk_number from warehouse.client_risk join warehouse.source_key on id = person_id"
        " where recorded_to is null",
    ),
    "docusign": (_docusign, _ENVELOPES),
    "adobe_sign": (_adobe_sign, _ENVELOPES),
}
