"""An adoption, or its undo, that is killed at any point and run again: no key is on two records, and undo restores the org exactly."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from typing import Any

import pytest

from tests.crm.adoption import dying
from tests.crm.adoption.typed_org import TypedOrg, list_homes
from tests.crm.conftest import KEY_FIELD
from tests.forked import Forked, submit

QUICK = ("keys are planned", "sent, answer not read", "before the accepted state")
ONCE = ("the org is read", "before the findings are committed")
UNDO_POINTS = ("keys are planned", "sent, answer not read", "answer read")
CASES = [
    pytest.param(point, call, marks=() if point in QUICK and call == 1 else pytest.mark.long)
    for point in dying.POINTS
    for call in ((1,) if point in ONCE else (1, 2))
]


@pytest.fixture
def typed(org: TypedOrg) -> dict[str, dict[str, Any]]:
    """Every household and person of the firm, typed into the org; return its records before adoption."""
    for home in list_homes(org.crm):
        household_id = org.add_household(home, BillingStreet="9 Newer Lane")
        for person in home["persons"]:
            org.add_person(person, household_id)
    org.compare()
    return org.read_all()


def start(org: TypedOrg, action: str, point: str, call: int) -> Forked:
    return submit(dying.run, org.crm.database.url(), org.crm.connection, org.crm.settings, action, point, call)


def check_adopted(org: TypedOrg, before: dict[str, dict[str, Any]]) -> None:
    """Check that each typed record has its key, that no key is twice in an object, and that a sync creates none of them again."""
    org.adopt("household", "person")
    org.crm.sync()
    for sobject in ("Account", "Contact", "AccountContactRelation"):
        keys = Counter(each.get(KEY_FIELD) for each in org.read(sobject).values() if each.get(KEY_FIELD))
        assert max(keys.values()) == 1
    after = org.read_all()
    assert all(after[id_].get(KEY_FIELD) for id_, each in before.items() if id_.startswith(("001", "003")))
    assert {after[id_].get("BillingStreet") for id_, each in before.items() if "BillingStreet" in each} == {
        "9 Newer Lane"
    }
    created = after.keys() - before.keys()
    entities = org.crm.database.value("select count(*) from warehouse.known_legal_entity where is_anchor")
    assert len([id_ for id_ in created if id_.startswith(("001", "003"))]) == entities


@pytest.mark.parametrize(("point", "call"), CASES)
def test_a_killed_adoption_is_made_whole_by_the_next(
    org: TypedOrg, typed: dict[str, dict[str, Any]], point: str, call: int
) -> None:
    org.approve("household", "person")
    child = start(org, "adopt", point, call)
    child.join(90)
    assert child.exitcode == -signal.SIGKILL

    check_adopted(org, typed)


def test_what_users_typed_survives_a_kill_after_the_last_record_got_its_key(org: TypedOrg) -> None:
    person = next(person for home in list_homes(org.crm) for person in home["persons"])
    _, contact_id = org.add_person(person, FirstName=person["first_name"].upper())
    org.approve("person")
    child = start(org, "adopt", "sent, answer not read", 2)  # of the contact, after the account
    child.join(90)
    assert child.exitcode == -signal.SIGKILL
    assert org.read("Contact")[contact_id][KEY_FIELD] == person["key"]

    org.crm.sync()

    assert org.read("Contact")[contact_id]["FirstName"] == person["first_name"].upper()


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if p == UNDO_POINTS[1] else pytest.mark.long) for p in UNDO_POINTS]
)
def test_a_killed_undo_restores_the_org_when_it_is_run_again(
    org: TypedOrg, typed: dict[str, dict[str, Any]], point: str
) -> None:
    org.adopt("household", "person")
    child = start(org, "undo", point, 2)
    child.join(90)
    assert child.exitcode == -signal.SIGKILL

    org.undo()

    assert org.read_all() == typed


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_an_adoption_that_is_killed_at_a_random_time_is_made_whole(
    org: TypedOrg, typed: dict[str, dict[str, Any]], seed: int
) -> None:
    org.approve("household", "person")
    child = start(org, "adopt", "relations are found", 99)
    time.sleep(random.Random(seed).uniform(0.2, 3.0))
    child.kill()
    child.join(30)

    check_adopted(org, typed)
