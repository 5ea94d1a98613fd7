"""Doubts that households, accounts and addresses settle, and those that they must leave to a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.crm.adoption import matching
from include.crm.adoption.candidates import Candidate, Unit
from include.crm.adoption.legal_entities import Named, settle_entities
from include.crm.adoption.members import Members
from include.crm.adoption.outcomes import classify
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


def doubt_namesakes(theirs: Traits, mate: Traits, *, is_joint: bool = False, **values: Any) -> Unit:
    """Return an org person who matches our John, the housemate of `mate`."""
    ours = replace(person("john", "19600102", "j@sample.example"), generations={"sr"})
    unit = Unit({"Account": "0011"}, None, record=100)
    unit.matches.add(Candidate(KEY, 1, 9.0, ("first name", "e-mail"), (), is_same=True, is_sure=True))
    unit.matches.is_joint = is_joint
    given = {"homes": {}, "home_of": {1: 7, 2: 7}, "shared": {}, "keys": {1: KEY, 2: "son"}, "decided": {}}
    Members([unit], {1: ours, 2: mate, 100: theirs}, **(given | values)).settle()
    return unit


@pytest.mark.parametrize(
    "values",
    [
        {"decided": {"0011": {"son": False}}},
        {"shared": {("0011", "p1"): 1}},
        {"is_joint": True},
    ],
)
def test_a_decision_or_an_account_tells_namesakes_apart_and_a_couples_record_stays(values: dict[str, Any]) -> None:
    unit = doubt_namesakes(person("john", email="j@sample.example"), person("john"), **values)
    assert ([each.external_key for each in unit.matches.same], unit.matches.doubts) == ([KEY], [])


@pytest.mark.parametrize(
    ("theirs", "mate", "is_settled"),
    [
        (person("john", email="j@sample.example"), person("john"), False),
        (person("john", "19600102", "j@sample.example"), person("john"), True),  # only the father has this birth date
        (person("john", email="j@sample.example"), person("john", email="jr@sample.example"), True),
        (person("john", email="j@sample.example"), person("joan"), True),
        (person("jhon", email="j@sample.example"), person("john"), False),
        (replace(person("john", email="j@sample.example"), generations={"sr"}), person("john"), True),
    ],
)
def test_a_match_is_doubted_if_a_namesake_of_the_household_fits_too(
    theirs: Traits, mate: Traits, is_settled: bool
) -> None:
    unit = doubt_namesakes(theirs, mate)

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


def test_any_pair_with_a_record_of_a_client_may_be_enough() -> None:
    pairs = [
        (1, {"score": score, "agreed": agreed, "differed": [], "how": "model", "rule": None})
        for score, agreed in ((9.5, ["first name", "home (street)"]), (9.0, ["first name", "e-mail"]))
    ]
    candidate = matching._describe(pairs, 1, {}, {1: KEY}, matching.SURE_SCORE, is_same=True)
    assert candidate is not None
    assert candidate.is_sure


@pytest.mark.parametrize(("agreed", "is_settled"), [(("name", "zip"), False), (("name", "home"), True)])
def test_a_name_that_two_legal_entities_have_needs_more_than_a_zip_code(
    agreed: tuple[str, ...], is_settled: bool
) -> None:
    unit = Unit({"Account": "0011"}, None, record=100)
    unit.matches.add(Candidate(KEY, 1, 7.0, agreed, (), is_same=True, is_sure=True))
    trust = Named.read("The Juno Prototype Trust", None, None)

    settle_entities([unit], {100: trust, 1: trust, 2: trust}, {}, {1: KEY, 2: "namesake"}, {})

    assert (unit.matches.only is not None) is is_settled


def test_an_account_tells_legal_entities_of_one_name_apart() -> None:
    unit = Unit({"Account": "0011"}, None, record=100)
    unit.matches.add(Candidate(KEY, 1, 7.0, ("name", "zip"), (), is_same=True, is_sure=True))
    unit.matches.add(Candidate("namesake", 2, 5.0, ("name", "zip"), (), is_same=False, is_sure=False))
    trust = Named.read("The Juno Prototype Trust", None, None)

    settle_entities([unit], {100: trust, 1: trust, 2: trust}, {("0011", "e1"): 1}, {1: KEY, 2: "namesake"}, {})

    assert unit.matches.only is not None
    assert (unit.matches.only.external_key, unit.matches.only.is_sure) == (KEY, True)


def test_two_records_of_the_org_with_one_name_are_duplicates() -> None:
    units = [Unit({"Account": f"001{n}"}, None, record=100 + n) for n in (1, 2)]
    for unit in units:
        unit.matches.add(Candidate(KEY, 1, 7.0, ("name", "zip"), (), is_same=True, is_sure=True))
    trust = Named.read("The Juno Prototype Trust", None, None)

    settle_entities(units, {101: trust, 102: trust, 1: trust}, {}, {1: KEY}, {})

    assert [each.outcome for each in classify("legal_entity", units, {KEY}, [("Account", "legal_entity")])][:2] == [
        "duplicate",
        "duplicate",
    ]


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
