"""Households across vendors."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from include.identity.household import link_households
from include.identity.record import CLUSTERS
from tests.identity.rows import persons

ON = date(2026, 11, 20)


def link_rows(*rows: tuple[str, str, int] | tuple[str, str, int, dict[str, Any]]) -> dict[tuple[str, str], int]:
    """Link rows of (vendor, household, person, more fields); map (vendor, household) to its id."""
    records = [{"vendor": row[0], "household": row[1], **(row[3] if len(row) == 4 else {})} for row in rows]
    clusters = [{"record_id": at, "person_id": row[2]} for at, row in enumerate(rows, start=1)]
    table = link_households(persons(*records), pa.Table.from_pylist(clusters, schema=CLUSTERS), ON)
    return {(row["vendor"], row["household"]): row["household_id"] for row in table.to_pylist()}


def test_households_with_the_same_couple_are_one() -> None:
    assert link_rows(("a", "x", 1), ("a", "x", 2), ("b", "y", 1), ("b", "y", 2)) == {("a", "x"): 1, ("b", "y"): 1}


def test_one_spouse_alone_is_in_the_couples_household() -> None:
    assert link_rows(("a", "x", 1), ("a", "x", 2), ("b", "y", 2)) == {("a", "x"): 1, ("b", "y"): 1}


def test_the_second_person_of_a_joint_record_is_in_its_household() -> None:
    listed = persons({"vendor": "a", "household": "x"}, {"vendor": "b", "household": "y"})
    people = [{"record_id": -1, "person_id": 2}, {"record_id": 1, "person_id": 1}, {"record_id": 2, "person_id": 2}]
    households = link_households(listed, pa.Table.from_pylist(people, schema=CLUSTERS), ON)
    assert households["household_id"].to_pylist() == [1, 1]


def test_half_the_adults_are_not_most() -> None:
    assert link_rows(("a", "x", 1), ("a", "x", 2), ("b", "y", 1), ("b", "y", 3)) == {("a", "x"): 1, ("b", "y"): 3}


def test_minors_do_not_tie_their_parents_households_together() -> None:
    child = {"birth_date": date(2015, 5, 5)}
    rows = [
        ("a", "x", 1),
        ("a", "x", 8, child),
        ("a", "x", 9, child),
        ("b", "y", 2),
        ("b", "y", 8, child),
        ("b", "y", 9, child),
    ]
    assert link_rows(*rows) == {("a", "x"): 1, ("b", "y"): 4}


def is_linked_with_parents(*own: tuple[int, dict[str, Any]]) -> bool:
    """Whether a household with these people is linked with that of parents and their grown son."""
    listed = [
        ("a", "x", n, {"birth_date": date(year, 5, 5), "postal_code": "68102"})
        for n, year in ((1, 1950), (2, 1952), (3, 1985))
    ]
    ids = link_rows(*listed, *(("b", "y", *each) for each in own))
    return ids["a", "x"] == ids["b", "y"]


def test_grown_son_does_not_tie_his_household_to_his_parents() -> None:
    son = {"birth_date": date(1985, 5, 5), "postal_code": "68102"}
    assert is_linked_with_parents((3, son))
    assert not is_linked_with_parents((3, {**son, "postal_code": "80202-0001"}))
    assert not is_linked_with_parents((3, son), (9, {"birth_date": date(2015, 5, 5)}))
    assert not is_linked_with_parents((3, son), (4, {}))


def test_parent_alone_is_in_the_household_that_also_lists_the_son() -> None:
    father = {"birth_date": date(1950, 5, 5), "postal_code": "80202"}
    assert is_linked_with_parents((1, father))
    assert is_linked_with_parents((1, father), (9, {"birth_date": date(2015, 5, 5)}))


@pytest.mark.parametrize("born", [date(2008, 11, 21), date(2008, 11, 20), date(1995, 1, 1)])
def test_child_who_comes_of_age_does_not_part_the_mothers_households(born: date) -> None:
    """One vendor lists her with the child, who has an account, and another one with her husband, who has none."""
    mother = {"birth_date": date(1970, 5, 5)}
    rows = [
        ("a", "x", 1, mother),
        ("a", "x", 9, {"birth_date": born}),
        ("b", "y", 1, mother),
        ("b", "y", 2, {"birth_date": date(1969, 1, 1)}),
    ]
    assert link_rows(*rows) == {("a", "x"): 1, ("b", "y"): 1}


def test_birth_date_in_the_future_makes_no_minor_of_an_adult() -> None:
    typed_wrong = {"birth_date": date(2062, 5, 5)}
    ids = link_rows(("a", "x", 1), ("a", "x", 2, typed_wrong), ("b", "y", 1), ("b", "y", 3, typed_wrong))
    assert ids == {("a", "x"): 1, ("b", "y"): 3}


def test_younger_spouse_is_no_grown_child() -> None:
    husband, wife = {"birth_date": date(1945, 5, 5)}, {"birth_date": date(1962, 5, 5), "postal_code": "68102"}
    ids = link_rows(("a", "x", 1, husband), ("a", "x", 2, wife), ("b", "y", 2, {**wife, "postal_code": "80202"}))
    assert ids["a", "x"] == ids["b", "y"]


def test_two_households_of_one_vendor_stay_two() -> None:
    ids = link_rows(("a", "x", 1), ("a", "z", 1), ("b", "y", 1))
    assert ids["a", "x"] != ids["a", "z"]


def test_one_person_does_not_tie_two_couples_together() -> None:
    ids = link_rows(("a", "x", 1), ("a", "x", 2), ("b", "y", 1), ("c", "z", 1), ("c", "z", 3))
    assert ids["a", "x"] != ids["c", "z"]


def test_cross_reference_makes_one_household_of_two_without_shared_people() -> None:
    key = {"strong_keys": ["a:household:x"]}
    assert link_rows(("a", "x", 1), ("b", "y", 2, key)) == {("a", "x"): 1, ("b", "y"): 1}
