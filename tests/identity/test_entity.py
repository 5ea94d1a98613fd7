"""Legal entities of several vendors, matched by name, tax id and home."""

from __future__ import annotations

from typing import Any

import pytest

from include.identity.link import link_entities
from tests.identity.rows import persons

HOME: dict[str, Any] = {"street": "12 Main St", "postal_code": "68102"}
HASH, OTHER_HASH = "a" * 64, "b" * 64


def match(*rows: dict[str, Any]) -> dict[int, int]:
    clusters = link_entities(persons(*rows)).clusters
    return dict(zip(clusters["record_id"].to_pylist(), clusters["person_id"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Specimen Family Revocable Trust dtd 1/2/2003", "Specimen Fam Rev Tr"),
        ("Adam Specimen TTEE Specimen Family Trust U/A DTD 1/2/2003", "SPECIMEN FAMILY TRUST, ADAM SPECIMEN TTEE"),
        ("Specimen & Sons, Inc.", "SPECIMEN AND SONS INCORPORATED"),
        ("Specimen Holdings LLC", "Specimin Holdings LLC"),
    ],
)
def test_two_spellings_at_one_address_are_one_entity(one: str, other: str) -> None:
    assert match({**HOME, "name": one}, {**HOME, "name": other}) == {1: 1, 2: 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Specimen Family Trust", "Specimen Family Foundation"),
        ("Specimen Family Trust", "Specimen Irrevocable Trust"),
        ("Specimen Family Trust A", "Specimen Family Trust B"),
        ("Specimen Trust dtd 1/2/2003", "Specimen Trust dtd 1/2/2010"),
        ("Specimen Holdings LLC", "Specimen Properties LLC"),
        ("John Specimen Revocable Trust", "Joan Specimen Revocable Trust"),
        ("Robert Specimen Sr Revocable Trust", "Robert Specimen Jr Revocable Trust"),
        ("Ada Specimen 2012 Irrevocable Trust", "Ada Specimen 2013 Irrevocable Trust"),
        ("123 Specimen Street LLC", "124 Specimen Street LLC"),
    ],
)
def test_two_entities_of_one_family_stay_two_although_they_share_tax_id_and_address(one: str, other: str) -> None:
    rows = ({**HOME, "name": name, "tax_id_hash": HASH} for name in (one, other))
    assert match(*rows) == {1: 1, 2: 2}


def test_two_tax_ids_are_two_entities() -> None:
    rows = ({**HOME, "name": "Specimen Holdings LLC", "tax_id_hash": tax_id} for tax_id in (HASH, OTHER_HASH))
    assert match(*rows) == {1: 1, 2: 2}


def test_part_of_a_name_at_one_address_is_reviewed() -> None:
    rows = persons({**HOME, "name": "Ada Specimen Trust"}, {**HOME, "name": "Ada & Ben Specimen Trust"})
    linked = link_entities(rows)
    assert linked.clusters["person_id"].to_pylist() == [1, 2]
    assert len(linked.review) == 1


def test_entities_without_a_name_are_not_compared_by_it() -> None:
    assert match({**HOME, "name": None}, {**HOME, "name": ""}) == {1: 1, 2: 2}


@pytest.fixture(scope="module")
def others() -> list[dict[str, Any]]:
    """The legal entities of a large firm: in it, a name that only two records have counts most."""
    return [{"vendor": "a", "name": f"Dummy{at} Holdings LLC"} for at in range(10_000)]


@pytest.mark.parametrize("place", ["household", "postal_code"])
def test_name_that_a_vendor_lists_twice_joins_nothing(others: list[dict[str, Any]], place: str) -> None:
    """The trusts of two families of one name."""
    two = [
        {"vendor": "a", "name": name, place: at}
        for name, at in (("The Smith Family Trust", "10001"), ("Smith Fam Tr", "68102"))
    ]
    linked = link_entities(persons(*two, {"vendor": "b", "name": "Smith Family Trust"}, *others))
    assert linked.clusters["person_id"].to_pylist()[:3] == [1, 2, 3]
    assert set(linked.review["rule"].to_pylist()) == {"name of several entities"}
    assert len(linked.review) == 3


def test_rare_name_that_no_vendor_lists_twice_joins(others: list[dict[str, Any]]) -> None:
    rows = persons(
        {"vendor": "a", "name": "The Smith Family Trust"}, {"vendor": "b", "name": "Smith Family Trust"}, *others
    )
    assert link_entities(rows).clusters["person_id"].to_pylist()[:2] == [1, 1]
