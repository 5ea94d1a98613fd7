"""Doubts that households, accounts and addresses settle, and those that they must leave to a person."""

from __future__ import annotations

import pytest

from include.crm.adoption import matching
from include.crm.adoption.legal_entities import Named, settle_entities
from include.crm.adoption.match import Candidate, Unit
from include.crm.adoption.members import Members
from include.crm.adoption.traits import Traits

HOME, KEY = "001H", "firm:orion:person:1"


def settle(theirs: Traits, ours: Traits, *others: Traits) -> bool:
    """Return whether an org person is matched as the only person of the same household; `others` are more persons of the org's
    household."""
    units = [Unit({"Account": f"001{n}"}, None, household_id=HOME, record=100 + n) for n in range(1 + len(others))]
    traits = {1: ours} | {unit.record: each for unit, each in zip(units, (theirs, *others), strict=True)}
    Members(units, traits, {HOME: 7}, {1: 7}, {}, {1: KEY}, {}).settle()
    return units[0].matches.only is not None


def person(first: str, birth: str = "", email: str = "") -> Traits:
    return Traits({first}, {(first, "sample")}, {birth} - {""}, {email} - {""})


@pytest.mark.parametrize(
    ("theirs", "ours", "is_settled"),
    [
        (person("john", "19600102"), person("john", "19600102"), True),
        (person("john", email="j@sample.example"), person("john", email="j@sample.example"), True),
        (person("john"), person("john"), False),  # a son may have his father's name
        (person("john", "19600102"), person("john", "19870405"), False),
        (person("joan", email="j@sample.example"), person("john", email="j@sample.example"), False),  # the wife
        (person("jonh", "19600102"), person("john", "19600102"), True),
        (person("dora", "19600102"), person("nora", "19600102"), False),  # a twin
        (person("may", "19600102", "m@sample.example"), person("mabel", "19600102", "m@sample.example"), True),
    ],
)
def test_a_person_of_the_same_household_needs_more_than_a_name(theirs: Traits, ours: Traits, is_settled: bool) -> None:
    assert settle(theirs, ours) is is_settled


def test_a_person_is_left_to_a_decision_if_another_of_the_household_fits_too() -> None:
    assert not settle(person("john", "19600102"), person("john", "19600102"), person("john"))


@pytest.mark.parametrize(
    ("theirs", "mate", "is_settled"),
    [
        (person("john", email="j@sample.example"), person("john"), False),
        (person("john", "19600102", "j@sample.example"), person("john"), True),  # only the father has this birth date
        (person("john", email="j@sample.example"), person("john", email="jr@sample.example"), True),
        (person("john", email="j@sample.example"), person("joan"), True),
        (person("jhon", email="j@sample.example"), person("john"), False),
    ],
)
def test_a_match_is_doubted_if_a_namesake_of_the_household_fits_too(
    theirs: Traits, mate: Traits, is_settled: bool
) -> None:
    ours = person("john", "19600102", "j@sample.example")
    unit = Unit({"Account": "0011"}, None, record=100)
    unit.matches.add(Candidate(KEY, 1, 9.0, ("first name", "e-mail"), (), is_same=True, is_sure=True))

    Members([unit], {1: ours, 2: mate, 100: theirs}, {}, {1: 7, 2: 7}, {}, {1: KEY, 2: "son"}, {}).settle()

    assert [each.external_key for each in unit.matches.doubts] == ([] if is_settled else [KEY, "son"])
    assert (unit.matches.only is not None) is is_settled


@pytest.mark.parametrize(
    ("agreed", "is_sure"),
    [
        (["first name", "last name (close)", "home (street)"], False),
        (["first name", "last name", "home (zip)"], False),
        (["first name", "last name", "home (address)"], True),
        (["first name", "birth date"], True),
    ],
)
def test_a_name_and_a_street_are_never_enough(agreed: list[str], is_sure: bool) -> None:
    row = {"score": 9.5, "agreed": agreed, "differed": [], "how": "model", "rule": None}
    candidate = matching._describe([(1, row)], 1, {}, {1: KEY}, matching.SURE_SCORE, is_same=True)
    assert candidate is not None
    assert candidate.is_sure is is_sure


@pytest.mark.parametrize(("agreed", "is_settled"), [(("name", "zip"), False), (("name", "home"), True)])
def test_a_name_that_two_legal_entities_have_needs_more_than_a_zip_code(
    agreed: tuple[str, ...], is_settled: bool
) -> None:
    unit = Unit({"Account": "0011"}, None, record=100)
    unit.matches.add(Candidate(KEY, 1, 7.0, agreed, (), is_same=True, is_sure=True))
    trust = Named.read("The Juno Prototype Trust", None, None)

    settle_entities([unit], {100: trust, 1: trust, 2: trust}, {}, {1: KEY, 2: "namesake"}, {})

    assert (unit.matches.only is not None) is is_settled


@pytest.mark.parametrize(
    ("theirs", "ours", "is_settled"),
    [
        ("The Juno Prototype Rev Tr", "The Juno Prototype Trust", True),
        ("The Juno Prototype Truts", "The Juno Prototype Trust", True),
        ("Prototype Family Trust", "The Juno Prototype Trust", False),
        ("Juno Prototype Trust", "Juno Prototype LLC", False),
        ("Juno Prototype Trust", "Bakery of Sample Street LLC", False),
    ],
)
def test_an_address_needs_two_words_of_the_name_and_the_same_kind(theirs: str, ours: str, is_settled: bool) -> None:
    unit = Unit({"Account": "0011"}, None, record=100)
    named = {100: Named.read(theirs, "1 Sample St", "02108"), 1: Named.read(ours, "1 Sample St", "02108-1234")}

    settle_entities([unit], named, {}, {1: KEY}, {})

    assert (unit.matches.only is not None) is is_settled


def test_an_account_of_the_same_number_needs_one_word_of_the_owners_name() -> None:
    unit = Unit({"Account": "0011"}, None, record=100)
    named = {
        100: Named.read("Prototype Family Trust", None, None),
        1: Named.read("The Juno Prototype Trust", None, None),
    }

    settle_entities([unit], named, {("0011", "e1"): 1}, {1: KEY}, {})

    assert unit.matches.only is not None
