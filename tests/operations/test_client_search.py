"""Clients are found by a part of a name, at the vendors that can refresh single clients."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from include.errors import InputRejected
from include.operations.client_search import FoundClient, search_clients
from include.vendors import VENDORS
from tests.conftest import Database

HOUSEHOLDS = [
    (1, "moneyguidepro", "H1", "Sample Family", "null"),
    (2, "emoney", "E2", "Example Household", "null"),
    (3, "orion", "O3", "Sample Family", "null"),  # Orion can't return single clients
    (4, "moneyguidepro", "H4", "Sample of old", "now()"),
]
PERSONS = [(11, "emoney", "P1", "Pat", "Sample", 2), (12, "emoney", "P2", "Kim", "Other", 2)]


@pytest.fixture(scope="module")
def web(shared_database: Database, shared_web: sa.Connection) -> sa.Connection:
    for number, vendor, key, name, recorded_to in HOUSEHOLDS:
        shared_database.do(
            "insert into warehouse.household (household_id, vendor, household_key, name, valid_from, recorded_from, recorded_to, source_run_id)"
            f" values (:id, :vendor, :key, :name, '2026-11-25', '2026-11-25', {recorded_to}, 1)",
            id=number, vendor=vendor, key=key, name=name,
        )  # fmt: skip
    for number, vendor, key, first, last, household in PERSONS:
        shared_database.do(
            "insert into warehouse.person (person_id, vendor, person_key, first_name, last_name, household_id, valid_from, recorded_from,"
            " source_run_id) values (:id, :vendor, :key, :first, :last, :household, '2026-11-25', '2026-11-25', 1)",
            id=number, vendor=vendor, key=key, first=first, last=last, household=household,
        )  # fmt: skip
    shared_database.do(
        "insert into warehouse.legal_entity (legal_entity_id, vendor, legal_entity_key, name, household_id, valid_from, recorded_from,"
        " source_run_id) values (21, 'emoney', 'L1', 'Kim Other Holdings LLC', 2, '2026-11-25', '2026-11-25', 1)"
    )
    return shared_web


def find(web: sa.Connection, name: str) -> list[tuple[str, str]]:
    return [(each.vendor, each.key) for each in search_clients(web, VENDORS, name)]


def test_a_household_is_found_by_a_part_of_its_name_in_any_case(web: sa.Connection) -> None:
    assert ("moneyguidepro", "H1") in find(web, " samp ")


def test_only_current_households_of_vendors_that_refresh_single_clients_are_found(web: sa.Connection) -> None:
    assert find(web, "Family") == [("moneyguidepro", "H1")]
    assert find(web, "of old") == []


def test_a_household_is_found_by_the_name_of_a_person(web: sa.Connection) -> None:
    assert find(web, "pat sam") == [("emoney", "E2")]


def test_a_household_is_found_by_the_name_of_a_legal_entity(web: sa.Connection) -> None:
    assert find(web, "holdings llc") == [("emoney", "E2")]


def test_a_household_is_shown_with_its_persons_and_legal_entities(web: sa.Connection) -> None:
    assert search_clients(web, VENDORS, "Example") == [
        FoundClient("emoney", "E2", "Example Household", "Kim Other, Kim Other Holdings LLC, Pat Sample")
    ]


def test_text_of_the_name_is_no_pattern(web: sa.Connection) -> None:
    assert find(web, "%%") == find(web, "S_mple") == find(web, "' or true --") == []


@pytest.mark.parametrize("name", ["", "  ", "a", " a "])
def test_a_name_that_is_too_short_is_rejected(web: sa.Connection, name: str) -> None:
    with pytest.raises(InputRejected, match="at least 2 letters"):
        find(web, name)
