"""Adobe Sign: the tables that tests compare, edit and interrupt."""

from __future__ import annotations

import random

from include.extract.session import Request, VendorSession
from tests.conftest import Database, Firm
from tests.running_sandbox import Sandbox
from tests.vendors.matter import Edit, Keys, Matter, Stated, find_keys, read_json

_QUERY = """
select e.envelope_key, e.status, e.household_reference, count(r.envelope_recipient_key) as people,
    count(r.signed_at) as signed
from warehouse.envelope e left join warehouse.envelope_recipient r
on r.vendor = e.vendor and r.envelope_key = e.envelope_key and r.recorded_to is null
where e.recorded_to is null group by 1, 2, 3
"""


def _state(firm: Firm, session: VendorSession) -> Stated:
    """Read each agreement as its sender; count signatures by its participant sets."""
    stated: Stated = {}
    for user in session.get("users", {}, read_json)["userInfoList"]:
        acting = {"x-api-user": f"userid:{user['id']}"}
        listed = session.request(Request("agreements", {"pageSize": "500"}, headers=acting), read_json) or {}
        for path in (f"agreements/{row['id']}" for row in listed["userAgreementList"]):
            agreement = session.request(Request(path, headers=acting), read_json) or {}
            members = session.request(Request(f"{path}/members", missing=(403, 404), headers=acting), read_json) or {}
            events = (session.request(Request(f"{path}/events", missing=(404,), headers=acting), read_json) or {})[
                "events"
            ]
            sets = members.get("participantSets", [])
            stated[agreement["id"]] = (
                _adobe_word(agreement["status"], {event["type"] for event in events}),
                agreement["externalId"]["id"].replace(":", ":household:"),
                len(sets),
                sum(each["status"] == "COMPLETED" for each in sets),
            )
    return stated


def _adobe_word(status: str, events: set[str]) -> str:
    if status == "CANCELLED":
        return "declined" if "REJECTED" in events else "voided"
    if status.startswith("OUT_FOR_"):
        return "sent"
    return {"EXPIRED": "expired", "DRAFT": "draft", "AUTHORING": "draft"}.get(status, "completed")


_OPEN = "status in ('sent', 'delivered')"


def _correct(sandbox: Sandbox, database: Database) -> None:
    cancelled, signed, *_ = find_keys(database, "envelope", "adobe_sign", _OPEN)
    sandbox.admin("adobe_sign/cancel", agreement_id=cancelled)
    sandbox.admin("adobe_sign/sign", agreement_id=signed)


_ENDS = (Edit("adobe_sign/cancel", {}), Edit("adobe_sign/sign", {}))


def _draw_edits(rng: random.Random, keys: Keys) -> list[Edit]:
    """Draw the end of one open envelope, if there is one left."""
    envelopes = keys("envelope", "adobe_sign", _OPEN)
    end = rng.choice(_ENDS)
    return [Edit(end.path, end.values | {"agreement_id": rng.choice(envelopes)})] if envelopes else []


MATTER = Matter("agreement_details", "library_documents", "agreement_events", 2, _state, _QUERY, _correct, _draw_edits)
