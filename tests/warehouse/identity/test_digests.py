"""The digests by which a daily run finds the persons that changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.identity.inputs import read_digests, read_persons
from tests.warehouse.identity.firm import HOME, JOHN, MARY, Firm
from tests.warehouse.loading import NEXT

CHANGES = {
    "name": "update warehouse.person set first_name = 'Johnny' where person_key = 'p1'",
    "birth date": "update warehouse.person set birth_date = birth_date + 1 where person_key = 'p1'",
    "email of the household": "update warehouse.household set email = 'home@example.org' where household_key = 'h1'",
    "street of the household": "update warehouse.household set street = '14 Example St' where household_key = 'h1'",
    "move": "update warehouse.person set household_id = (select household_id from warehouse.household where household_key = 'h2') where person_key = 'p1'",
    "end of the household": "update warehouse.household set valid_to = :day where household_key = 'h1'",
    "number of an account": "update warehouse.account set account_number_hash = repeat('c', 64)",
    "account that is no longer owned": "update warehouse.account_owner set valid_to = :day",
    "joint owner": "update warehouse.account_owner set role = 'joint'",
    "number of an outside account": "update warehouse.outside_account set account_number_hash = repeat('d', 64)",
    "outside account that is no longer listed": "update warehouse.outside_account set valid_to = :day",
    "type of the registration": "update warehouse.registration set registration_type = 'Trust'",
    "name of an account, which matching does not read": "update warehouse.account set name = 'Another'",
    "second owner of the same account, which matching does not read": """
        insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, household_id, role, share_ratio,
                                             valid_from, recorded_from, source_run_id)
        select account_owner_id + 1000000, vendor, 'other', account_id, household_id, 'beneficiary', share_ratio, valid_from, recorded_from,
               source_run_id
        from warehouse.account_owner""",
    "run that loaded the person, which matching does not read": "update warehouse.person set source_run_id = source_run_id + 1",
}


def load(firm: Firm) -> None:
    for key in ("h1", "h2"):
        firm.load("alpha", "household", {"household_key": key, "name": "Sampleton"} | HOME)
    firm.people("alpha", JOHN | {"household_key": "h1"}, MARY | {"household_key": "h2"})
    firm.load("alpha", "account", {"account_key": "a1", "account_number_hash": "a" * 64, "is_counted": True})
    owner = {"account_owner_key": "a1:h1", "account_key": "a1", "household_key": "h1", "person_key": "p1"}
    firm.load("alpha", "account_owner", owner | {"role": "primary", "share_ratio": Decimal(1)})
    listed = {"outside_account_key": "x1", "household_key": "h1", "account_number_hash": "b" * 64}
    firm.load("alpha", "outside_account", listed)
    individual = {"registration_key": "r1", "person_key": "p1", "registration_type": "Individual"}
    # The person is null if a legal entity owns the registration.
    firm.load("alpha", "registration", individual, {"registration_key": "r2", "registration_type": "Trust"})


def read(firm: Firm) -> tuple[dict[int, dict[str, Any]], dict[int, int]]:
    """Return the persons as matching reads them, and their digests, by id."""
    with firm.engine.connect() as connection:
        persons, digests = read_persons(connection).to_pylist(), read_digests(connection)[0]
    return {row["record_id"]: row for row in persons}, dict(zip(*(c.to_pylist() for c in digests.columns), strict=True))


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_of_a_person_changes_with_what_matching_reads_of_that_person(firm: Firm, change: str) -> None:
    load(firm)
    persons, digests = read(firm)
    firm.database.do(CHANGES[change], **({"day": NEXT} if ":day" in CHANGES[change] else {}))
    later_persons, later_digests = read(firm)
    altered = {each for each in persons if persons[each] != later_persons[each]}
    assert len(altered) == (0 if "does not read" in change else 1)
    assert {each for each in digests if digests[each] != later_digests[each]} >= altered
    assert "does not read" not in change or digests == later_digests


def test_households_without_persons_are_not_counted(firm: Firm) -> None:
    load(firm)
    firm.load("alpha", "household", {"household_key": "h3", "name": "Sampleton"} | HOME)
    with firm.engine.connect() as connection:
        assert read_digests(connection)[1] == 2
