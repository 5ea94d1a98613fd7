"""One of ours that may be in the org waits for a decision instead of being created a second time."""

from __future__ import annotations

from typing import Any

import pytest

from include.crm.adoption import accounts, legal_entities, lookalikes
from include.crm.adoption.candidates import Candidate, Unit
from include.crm.adoption.evidence import Accounts, OurAccount, TheirAccount
from include.crm.adoption.legal_entities import Named
from include.crm.adoption.traits import Traits

OURS, THEIRS = 1, 1000
KEY = "sample:orion:person:1"
PLACE = ("12", "sample", None, "27601")


def person(first: str, last: str, **values: Any) -> Traits:
    sets = {name: {value} for name, value in values.items()}
    return Traits(firsts={first}, names={(first, last)}, **sets)


def find(ours: Traits, *theirs: Traits, unit: Unit | None = None, decided: Any = None) -> list[tuple[str, ...]]:
    """Return the signs by which a person of ours looks like one of the org; `theirs` are the people of one record."""
    unit = unit or Unit({"Account": "001"}, None, record=THEIRS)
    traits = {OURS: ours} | dict(zip((THEIRS, -THEIRS), theirs, strict=False))
    found = lookalikes.find_lookalikes([unit], traits, {}, {}, {OURS: KEY}, decided or {})
    return [each.agreed for each in found.get(KEY, [])]


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (person("elsie", "sample"), person("elsie", "sample"), ("name",)),
        (person("hguo", "sample"), person("hugo", "sample"), ("name",)),
        (person("dan", "sample"), person("dean", "sample"), ("name",)),
        (person("hugo", "protottype"), person("hugo", "prototype"), ("name",)),
        (
            person("miles", "sample", emails="milo@sample.example"),
            person("milo", "example", emails="milo@sample.example"),
            ("e-mail", "first name"),
        ),
        (
            person("mabel", "sample", births="19450430"),
            person("mae", "specimen", births="19450430"),
            ("birth date", "first name"),
        ),
        (
            person("esie", "seedling", births="19701020"),
            person("elizabeth", "seedlnig", births="19701020"),
            ("birth date", "last name"),
        ),
        (
            person("van", "sample", phones="4015550108"),
            person("ivan", "sample", phones="4015550108"),
            ("telephone", "first name"),
        ),
        (
            person("dora", "fixture", places=PLACE),
            person("dora", "pretend", places=PLACE),
            ("address", "first name"),
        ),
    ],
)
def test_a_person_looks_like_one_of_the_org(ours: Traits, theirs: Traits, agreed: tuple[str, ...]) -> None:
    assert find(ours, theirs) == [agreed]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (person("hugo", "sample", births="19700101"), person("hugo", "sample", births="19350612")),
        (person("hugo", "sample", phones="4015550108"), person("bea", "sample", phones="4015550108")),
        (person("hugo", "sample", emails="us@sample.example"), person("bea", "sample", emails="us@sample.example")),
        (person("hugo", "sample", births="19700101"), person("bea", "example", births="19700101")),
        (person("hugo", "sample"), person("hugo", "example")),
        (person("dora", "sample"), person("nora", "sample")),
    ],
)
def test_father_spouse_stranger_and_twin_are_no_lookalikes(ours: Traits, theirs: Traits) -> None:
    assert find(ours, theirs) == []


def test_the_second_person_of_a_record_of_two_people_waits() -> None:
    """The birth date of such a record is the first person's."""
    first, second = person("carl", "example", births="19761113"), person("lena", "example")
    assert find(person("lena", "example", births="19731004"), first, second) == [("name",)]


def test_what_a_matched_record_is_of_ours_counts_for_it() -> None:
    unit = Unit({"Account": "001"}, None, record=THEIRS)
    unit.matches.add(Candidate("sample:orion:person:2", 2, 9.0, (), (), is_same=True, is_sure=True))
    traits = {
        OURS: person("elizabeth", "sample", emails="elsie@sample.example"),
        2: person("elsie", "sample", emails="elsie@sample.example"),
        THEIRS: person("elsie", "sample"),
    }
    found = lookalikes.find_lookalikes([unit], traits, {}, {}, {OURS: KEY, 2: "sample:orion:person:2"}, {})
    assert list(found) == [KEY]


def test_those_with_the_most_values_in_common_are_listed_first() -> None:
    ours = person("hugo", "sample", phones="4015550108")
    records = range(THEIRS, THEIRS + 8)
    units = [Unit({"Account": f"00{record}"}, None, record=record) for record in records]
    traits = {OURS: ours} | {record: person("hugo", "sample") for record in records} | {records[-1]: ours}

    found = lookalikes.find_lookalikes(units, traits, {}, {}, {OURS: KEY}, {})

    assert [each.external_key for each in found[KEY]] == [f"00{n}" for n in (1007, 1000, 1001, 1002, 1003)]


def test_a_person_who_was_decided_to_be_another_does_not_wait() -> None:
    hugo = person("hugo", "sample")
    assert find(hugo, hugo) == [("name",)]
    assert find(hugo, hugo, decided={"001": {KEY: False}}) == []


def account(last4: str | None, open_date: str | None = "2018-09-06", custodian: str = "fidelity") -> Accounts:
    """Return an account of ours that ends in 6999, and one of the org with these values."""
    ours = OurAccount(
        7,
        "sample:orion:account:7",
        "h" * 64,
        "6999",
        frozenset(["fidelity"]),
        "individual",
        "2018-09-06",
        3,
        frozenset(),
    )
    theirs = TheirAccount("a07", None, frozenset([custodian, "ira"]), None, last4, "ira", open_date, None, ())
    return Accounts([ours], [theirs])


@pytest.mark.parametrize(
    ("of", "agreed"),
    [
        (account("6999"), ("last four", "open date", "custodian")),
        (account(None), ("no number", "open date", "custodian")),
        (account("6998"), None),
        (account("6999", open_date="2018-09-07"), None),
        (account("6999", custodian="schwab"), None),
    ],
)
def test_an_account_that_moved_to_another_owner_waits(of: Accounts, agreed: tuple[str, ...] | None) -> None:
    unit = Unit({"FinServ__FinancialAccount__c": "a07"}, None)
    found = accounts.find_lookalikes(of, [unit], {})
    assert [each.agreed for each in found.get("sample:orion:account:7", [])] == ([agreed] if agreed else [])
    assert accounts.find_lookalikes(of, [unit], {"a07": {"sample:orion:account:7": False}}) == {}


@pytest.mark.parametrize(
    ("theirs", "is_alike"),
    [
        ("Invento Family Trust", True),
        ("Invento Foundation", False),
        ("Hugo Invento Living Trust", True),
        ("Hugo Example Trust", False),
    ],
)
def test_a_legal_entity_with_part_of_the_name_waits(theirs: str, is_alike: bool) -> None:
    unit = Unit({"Account": "001"}, None, record=THEIRS)
    named = {
        OURS: Named.read("The Mabel Invento & Hugo Invento Trust", None, None),
        THEIRS: Named.read(theirs, None, None),
    }
    found = legal_entities.find_lookalikes([unit], named, {OURS: "sample:orion:legal_entity:1"}, {})
    assert bool(found) == is_alike
