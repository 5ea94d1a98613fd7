"""DocuSign: the tables that tests compare, edit and interrupt."""

from __future__ import annotations

import random

from include.extract.session import VendorSession
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
    """Read each envelope and its recipients one by one; the list is used for the ids only."""
    listed = session.get("envelopes", {"from_date": "2000-01-01T00:00:00Z", "count": "1000"}, read_json)["envelopes"]
    stated: Stated = {}
    for envelope_id in (row["envelopeId"] for row in listed):
        envelope = session.get(f"envelopes/{envelope_id}", {"include": "custom_fields"}, read_json)
        fields = {field["name"]: field["value"] for field in envelope["customFields"]["textCustomFields"]}
        arrays = session.get(f"envelopes/{envelope_id}/recipients", {}, read_json)
        people = [each for array in arrays.values() if isinstance(array, list) for each in array]
        stated[envelope_id] = (
            envelope["status"],
            fields["Household"].replace(":", ":household:"),
            len(people),
            sum("signedDateTime" in each for each in people),
        )
    return stated


_OPEN = "status in ('sent', 'delivered')"


def _correct(sandbox: Sandbox, database: Database) -> None:
    voided, signed, corrected, *_ = find_keys(database, "envelope", "docusign", _OPEN)
    sandbox.admin("docusign/void", envelope_id=voided, reason="Sample")
    sandbox.admin("docusign/sign", envelope_id=signed)
    sandbox.admin("docusign/correct", envelope_id=corrected, recipient="1", set={"name": "Sample Corrected"})


_ENDS = (Edit("docusign/void", {"reason": "Sample"}), Edit("docusign/sign", {}))


def _draw_edits(rng: random.Random, keys: Keys) -> list[Edit]:
    """Draw the end of one open envelope, if there is one left."""
    envelopes = keys("envelope", "docusign", _OPEN)
    end = rng.choice(_ENDS)
    return [Edit(end.path, end.values | {"envelope_id": rng.choice(envelopes)})] if envelopes else []


MATTER = Matter("envelopes", "templates", "recipients", 3, _state, _QUERY, _correct, _draw_edits)
