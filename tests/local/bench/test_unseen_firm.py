"""The firm that did not tune the matcher: the same from the same seed, with a consistent truth."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from local.bench.unseen_families import Family, Town
from local.bench.unseen_firm import RECORDS, SOURCES, Unseen, hash_tax_id, make_unseen


@pytest.fixture(scope="module")
def unseen() -> Unseen:
    return make_unseen(600)


@pytest.fixture(scope="module")
def families() -> list[Family]:
    town = Town(random.Random(3), 4000)
    return [family for _ in range(1500) for family in town.draw_families()]


def test_same_seed_gives_the_same_firm(unseen: Unseen) -> None:
    assert make_unseen(600) == unseen
    assert make_unseen(600, seed=1).persons != unseen.persons


def test_each_record_has_a_truth(unseen: Unseen) -> None:
    records = unseen.persons["record_id"].to_pylist()
    assert unseen.persons.schema == RECORDS
    assert sorted(records) == [*range(1, len(records) + 1)]
    assert {*records} == {abs(record) for record in unseen.truth}
    assert {*unseen.truth.values()} <= unseen.tax_ids.keys() | unseen.entities.keys()
    assert unseen.tax_ids.keys().isdisjoint(unseen.entities)


def test_joint_title_has_two_persons_in_order(unseen: Unseen) -> None:
    rows = {row["record_id"]: row for row in unseen.persons.to_pylist()}
    assert len(unseen.joint_titles) > 50
    for record in unseen.joint_titles:
        first, second = unseen.truth[record], unseen.truth[-record]
        assert first != second
        assert {first, second} <= unseen.tax_ids.keys()
        assert rows[record]["title"] == rows[record]["name"]


def test_entity_has_no_second_person(unseen: Unseen) -> None:
    of_entities = {record for record, number in unseen.truth.items() if number in unseen.entities}
    assert min(of_entities) > 0
    assert of_entities.isdisjoint(unseen.joint_titles)


def test_most_tax_ids_are_the_persons_own(unseen: Unseen) -> None:
    stated = [
        row["tax_id_hash"] == hash_tax_id(unseen.tax_ids[number])
        for row in unseen.persons.to_pylist()
        if row["tax_id_hash"] and (number := unseen.truth[row["record_id"]]) in unseen.tax_ids
    ]
    assert 0.95 < sum(stated) / len(stated) < 1


def test_every_vendor_has_records(unseen: Unseen) -> None:
    assert {*unseen.persons["vendor"].to_pylist()} == {source.vendor for source in SOURCES}


def test_make_up_of_the_families(families: list[Family]) -> None:
    heads = [family.members[0].name.origin for family in families]
    assert 0.2 < sum(origin != "english" for origin in heads) / len(heads) < 0.3
    assert 0.15 < sum(bool(family.entities) for family in families) / len(families) < 0.25


def test_no_two_families_share_an_email(families: list[Family]) -> None:
    homes = defaultdict(set)
    for family in families:
        for email in (email for human in family.members for email in human.emails):
            homes[email].add(family.number)
    assert [email for email, numbers in homes.items() if len(numbers) > 1] == []


def test_registrations_of_minors_have_a_custodian(families: list[Family]) -> None:
    registrations = [each for family in families for each in family.registrations]
    minors = [each for each in registrations if each.kind == "utma"]
    assert minors
    assert all(each.owners[0].is_minor and each.custodian and not each.custodian.is_minor for each in minors)
    assert not any(human.is_minor for each in registrations if each.kind != "utma" for human in each.owners)
