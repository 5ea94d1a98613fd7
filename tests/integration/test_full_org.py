"""A firm of sixty households adopts an org that is full: no wrong key, no second record, and what advisors typed stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from include.crm.adoption import adopt
from include.crm.run import Org
from include.crm.sync.readback import ReadBackCounts, read_back
from include.identity.resolve import resolve
from include.vendors import VENDORS
from local.full_org_truth import Score, Truth
from local.postgres import Postgres
from tests.conftest import Firm, new_database
from tests.crm.conftest import BULK, KEY_FIELD, Crm
from tests.firm_keys import KEYRING
from tests.running_sandbox import LAST, run_sandbox

pytestmark = pytest.mark.timeout(900)

OBJECTS = ("Account", "Contact", "FinServ__FinancialAccount__c")
# The balances that users typed in years ago change much: without this, the first sync asks for approval.
SETTINGS = replace(BULK, most_moved_ratio=Decimal(1))
LEAST_FOUND = 0.95


@dataclass
class Adopted:
    """The firm after adoption and three syncs.

    Attributes:
        score: How well the comparison did.
        before: The org's records by id before adoption.
        after: The same records after three syncs.
        failed: Keys that Salesforce refused.
        differences: What a read-back of the org found after the syncs, by entity.
    """

    score: Score
    before: dict[str, dict[str, Any]]
    after: dict[str, dict[str, Any]]
    truth: Truth
    failed: int
    differences: dict[str, ReadBackCounts]


def read(crm: Crm) -> dict[str, dict[str, Any]]:
    records = {}
    for sobject in OBJECTS:
        lines = crm.http.get(f"/salesforce/_admin/records/{sobject}").content.splitlines()
        records |= {record["Id"]: record for record in map(orjson.loads, lines)}
    return records


@pytest.fixture(scope="module")
def adopted(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adopted]:
    folder = tmp_path_factory.mktemp("full_org")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox", households=60) as sandbox:
        for vendor in VENDORS:
            if vendor.name not in ("docusign", "adobe_sign"):
                firm = Firm(vendor, sandbox, database, folder / vendor.name)
                firm.day()
                firm.engine.dispose()
        database.do("analyze")
        assert sandbox.http.post("/_sandbox/salesforce/full_org", timeout=120).status_code == 200
        crm = Crm(database, sandbox, folder / "work", settings=SETTINGS)
        resolve(crm.engine, VENDORS, "identity", LAST)
        org = Org(crm.engine, crm.connection, SETTINGS, KEYRING.redactor)
        before, truth = read(crm), Truth(sandbox.url)
        adopt.compare(org, "compare", LAST, lambda _: None)
        with crm.engine.begin() as db:
            score = truth.evaluate(db)
        adopt.approve(crm.engine, ["household", "person", "legal_entity", "account"], "ada@sample.example")
        counts = adopt.adopt(org, "adopt", LAST, lambda _: None)
        for _ in range(3):
            crm.sync()
        differences = read_back(crm.org, "read", lambda _: None)
        yield Adopted(score, before, read(crm), truth, counts.get("failed", 0), differences)
        crm.engine.dispose()


def test_no_record_gets_a_wrong_key(adopted: Adopted) -> None:
    assert adopted.score.wrong == []
    assert adopted.failed == 0


def test_most_true_matches_need_no_person(adopted: Adopted) -> None:
    assert adopted.score.found_ratio >= LEAST_FOUND


def test_every_record_of_the_org_is_accounted_for(adopted: Adopted) -> None:
    assert adopted.score.unaccounted == []


def test_no_client_who_is_in_the_org_is_created_again(adopted: Adopted) -> None:
    assert adopted.score.created == []


def test_what_advisors_entered_last_week_is_still_there_after_three_syncs(adopted: Adopted) -> None:
    newer = [fact for fact in adopted.truth.facts if fact["newer"]]
    kept = [
        all(adopted.after[fact["id"]].get(name) == value for name, value in fact["newer"].items()) for fact in newer
    ]
    assert len(newer) > 5
    assert all(kept)


def test_a_read_back_finds_no_change_of_an_adopted_record(adopted: Adopted) -> None:
    assert {entity: each for entity, each in adopted.differences.items() if not each.is_as_expected} == {}


def test_a_sync_changes_nothing_in_records_that_are_not_ours(adopted: Adopted) -> None:
    others = {id_: record for id_, record in adopted.before.items() if not adopted.after[id_].get(KEY_FIELD)}
    assert len(others) > 100
    assert {id_: adopted.after[id_]["SystemModstamp"] for id_ in others} == {
        id_: record["SystemModstamp"] for id_, record in others.items()
    }
