"""The mart of envelopes: whom one waits for, and how many signers have signed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.warehouse.loading import DAY
from tests.warehouse.planning_office import NOON, Office

SENT = {"envelope_key": "e", "status": "sent", "is_final": False, "created_on": DAY, "changed_at": NOON}


def load_envelope(office: Office, *recipients: dict[str, Any], **envelope: Any) -> None:
    """Load an envelope of the household with recipients, who have signing orders from 1 and, if not stated, are signers who were sent it."""
    loader = office.of["first"]
    reference = f"{loader.vendor.name}:household:h1"
    loader.load("envelope", [SENT | {"household_reference": reference} | envelope])
    rows = [
        SENT | {"envelope_recipient_key": f"e:{nth}", "routing_order": nth, "role": "signer"} | each
        for nth, each in enumerate(recipients, 1)
    ]
    loader.load("envelope_recipient", rows)


@pytest.mark.parametrize(
    ("first", "waits_for"),
    [
        ({"name": "Ann Sample", "email": "ann@example.com"}, "Ann Sample"),
        ({"email": "ann@example.com"}, "ann@example.com"),
        ({"role": "in_person_signer"}, "in person signer"),
    ],
    ids=["name", "address", "role"],
)
def test_envelope_waits_for_a_signer_whose_name_is_not_known_yet(
    office: Office, first: dict[str, Any], waits_for: str
) -> None:
    load_envelope(office, first, {"name": "Bo Sample"})
    assert office.query_mart("envelope", "waits_for") == [(waits_for,)]


@pytest.mark.parametrize(
    ("role", "waits_for"),
    [
        *((role, "Ann Sample") for role in ("certified_delivery", "agent", "witness", "notary", "notary_signer")),
        *((role, "Bo Sample") for role in ("carbon_copy", "share")),
    ],
)
def test_envelope_waits_for_all_who_have_to_act_and_not_for_copies(office: Office, role: str, waits_for: str) -> None:
    load_envelope(office, {"name": "Ann Sample", "role": role}, {"name": "Bo Sample", "status": "waiting"})
    assert office.query_mart("envelope", "waits_for") == [(waits_for,)]


def test_signer_who_is_done_has_signed_although_no_time_is_known(office: Office) -> None:
    done = {"status": "completed"}
    load_envelope(
        office, done, done | {"signed_at": NOON}, done | {"role": "witness"}, status="completed", is_final=True
    )
    assert office.query_mart("envelope", "recipients, signed, waits_for") == [(2, 2, None)]
