"""Envelopes in Salesforce: sent at once, by a sync of their own that does not interfere with a full one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.errors import SyncUnderWay
from tests.crm.conftest import Crm
from tests.pipeline.test_inbox import LIFE, Inbox, body

ENVELOPES = "Tributary_Envelope__c"
ACCOUNTS = "Account"


@pytest.fixture
def household(crm: Crm) -> str:
    """The portfolio system's key of the first household in the org."""
    crm.sync()
    key: str = crm.database.value("select min(household_key) from warehouse.household")
    return key


@pytest.fixture
def box(crm: Crm, tmp_path: Path) -> Iterator[Inbox]:
    box = Inbox(crm.database, tmp_path / "inbox")
    yield box
    box.engine.dispose()


def make_envelope(household: str, life: tuple[str, ...], name: str = "e1", **changes: Any) -> dict[str, Any]:
    fields = {"textCustomFields": [{"name": "Household", "value": f"orion:{household}"}]}
    return body(name, life, customFields=fields, **changes)


def send_envelopes(crm: Crm) -> dict[str, int]:
    counts = crm.sync(only=("envelope",))
    return {entity: each.sent for entity, each in counts.items()}


def test_an_envelope_is_shown_with_its_household_and_whom_it_waits_for(crm: Crm, box: Inbox, household: str) -> None:
    box.put(make_envelope(household, LIFE[:2]))
    box.drain()

    assert send_envelopes(crm) == {"envelope": 1}

    record = crm.records(ENVELOPES)["sample:docusign:envelope:e1"]
    assert record["Status__c"] == "Sent"
    assert record["Waits_For__c"] == "Ann Sample"
    assert record["Household__c"] == crm.records(ACCOUNTS)[f"sample:orion:household:{household}"]["Id"]


def test_what_becomes_of_it_is_shown_and_the_same_again_sends_nothing(crm: Crm, box: Inbox, household: str) -> None:
    box.put(make_envelope(household, LIFE[:2]))
    box.drain()
    send_envelopes(crm)
    box.put(make_envelope(household, LIFE))
    box.drain()

    assert [send_envelopes(crm), send_envelopes(crm)] == [{"envelope": 1}, {"envelope": 0}]

    [record] = crm.records(ENVELOPES).values()
    assert record["Status__c"] == "Completed"
    assert record["Completed_At__c"] == "2026-11-20T15:03:00.000+0000"
    assert record.get("Waits_For__c") is None


def test_an_envelope_without_a_known_household_is_not_sent(crm: Crm, box: Inbox, household: str) -> None:
    box.put(make_envelope("no such household", LIFE), make_envelope(household, LIFE[:1], "draft"))
    box.drain()

    assert send_envelopes(crm) == {"envelope": 0}


def test_the_signer_s_address_leads_to_the_household_where_the_sender_named_none(
    crm: Crm, box: Inbox, household: str
) -> None:
    crm.database.do(
        "update warehouse.person set email = 'ANN@client.example' where person_id ="
        " (select min(p.person_id) from warehouse.person p join warehouse.household h using (household_id)"
        "  where h.household_key = :key)",
        key=household,
    )
    box.put(body("e1", LIFE, customFields={}))
    box.drain()

    assert send_envelopes(crm) == {"envelope": 1}


def test_a_small_sync_gives_way_to_a_whole_one(crm: Crm, household: str) -> None:
    with crm.engine.connect() as whole:
        whole.execute(sa.text("select pg_advisory_lock_shared(7421, 1)"))

        with pytest.raises(SyncUnderWay, match="Another sync is under way"):
            send_envelopes(crm)
        whole.invalidate()

    assert send_envelopes(crm) == {"envelope": 0}


def test_a_full_sync_also_sends_envelopes(crm: Crm, box: Inbox, household: str) -> None:
    box.put(make_envelope(household, LIFE))
    box.drain()

    assert crm.sent() == {"envelope": 1}


def test_an_envelope_waits_for_its_household_and_goes_with_it(crm: Crm, box: Inbox) -> None:
    key = crm.database.value("select min(household_key) from warehouse.household")
    box.put(make_envelope(key, LIFE))
    box.drain()

    assert send_envelopes(crm) == {"envelope": 0}
    assert crm.dead_letters() == []

    assert crm.sync()["envelope"].created == 1
    assert crm.dead_letters() == []
