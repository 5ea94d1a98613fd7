"""Who is who in the warehouse: views that show each person and household as one, by the vendor whose word counts first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.identity import decisions
from include.identity.policy import Policy
from include.identity.resolve import Resolved, resolve
from include.warehouse import identity, schema
from tests.conftest import Database
from tests.warehouse.loading import DAY, NEXT, Loader

JOHN = {"first_name": "John", "last_name": "Sampleton", "birth_date": date(1960, 2, 3), "email": "john@example.org"}
MARY = {"first_name": "Mary", "last_name": "Sampleton", "birth_date": date(1962, 5, 6), "email": "mary@example.org"}
HOME = {"street": "12 Example St", "city": "Omaha", "state_code": "NE", "postal_code": "68102"}


class Firm:
    """Vendors that load people and households, in one database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.engine = schema.engine(database.url())
        self.loaders: dict[str, Loader] = {}
        self.ranks: dict[str, dict[str, int]] = {}

    def load(self, vendor: str, entity: str, *rows: Mapping[str, Any], day: date = DAY) -> None:
        loader = self.loaders.setdefault(vendor, Loader(self.database, self.folder, vendor))
        loader.load(entity, rows, day)

    def people(self, vendor: str, *people: Mapping[str, Any], day: date = DAY) -> None:
        """Loads people, each with the household's key where it has one."""
        rows = [{"person_key": f"p{n}"} | dict(person) for n, person in enumerate(people, 1)]
        self.load(vendor, "person", *rows, day=day)

    def resolve(self, run_id: str = "r", policy: Policy | None = None) -> Resolved | None:
        vendors = [replace(each.vendor, ranks=self.ranks.get(name, {"": 100})) for name, each in self.loaders.items()]
        return resolve(self.engine, vendors, run_id, NEXT, policy)

    def known(self, view: str = "known_person") -> list[dict[str, Any]]:
        return self.database.rows(f"select * from warehouse.{view} where is_anchor order by identity_id")

    def close(self) -> None:
        for engine in (self.engine, *(loader.engine for loader in self.loaders.values())):
            engine.dispose()


@pytest.fixture
def firm(database: Database, tmp_path: Path) -> Iterator[Firm]:
    made = Firm(database, tmp_path)
    yield made
    made.close()


def test_a_person_of_two_vendors_is_shown_once(firm: Firm) -> None:
    firm.people("alpha", JOHN, MARY)
    firm.people("beta", JOHN)
    found = firm.resolve()
    assert found is not None
    assert (found.records, found.people, found.changed) == (3, 2, 1)
    assert [(p["vendor"], p["first_name"]) for p in firm.known()] == [("alpha", "John"), ("alpha", "Mary")]


def test_father_and_son_are_two_though_their_household_has_one_email(firm: Firm) -> None:
    firm.load("alpha", "household", {"household_key": "h1", "name": "Sampleton", "email": "us@example.org"} | HOME)
    bare = {"first_name": "John", "last_name": "Sampleton", "household_key": "h1"}
    firm.people("alpha", bare, bare)
    found = firm.resolve()
    assert found is not None
    assert (found.people, found.review, found.left_over) == (2, 1, 0)


def test_another_threshold_counts_from_the_next_run_on(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN)
    firm.resolve()
    assert firm.resolve("r2") is None
    found = firm.resolve("r3", Policy(link_score=40.0))
    assert found is not None
    assert (found.people, found.review) == (2, 1)


def test_before_the_first_run_each_record_stands_for_itself(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN)
    assert [p["vendor"] for p in firm.known()] == ["alpha", "beta"]


def test_the_vendor_of_the_lower_rank_is_believed(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    firm.ranks = {"alpha": {"": 20}, "beta": {"": 10}}
    firm.resolve()
    assert [p["phone"] for p in firm.known()] == ["402-555-0102"]


def test_an_attribute_may_have_a_rank_of_its_own(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102", "last_name": "Sampletón"})
    firm.ranks = {"alpha": {"": 20, "phone": 5}, "beta": {"": 10}}
    firm.resolve()
    [john] = firm.known()
    assert (john["phone"], john["last_name"]) == ("402-555-0101", "Sampletón")


def test_what_the_first_vendor_does_not_know_the_next_one_tells(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    firm.ranks = {"alpha": {"": 1}, "beta": {"": 2}}
    firm.resolve()
    assert [p["phone"] for p in firm.known()] == ["402-555-0102"]


def test_a_vendor_without_a_rank_comes_last(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    firm.ranks = {"alpha": {}, "beta": {"": 999}}
    firm.resolve()
    assert [p["phone"] for p in firm.known()] == ["402-555-0102"]


def test_a_name_is_taken_whole_from_one_vendor(firm: Firm) -> None:
    firm.people("alpha", {**JOHN, "first_name": None, "name": "J Sampleton"})
    firm.people("beta", JOHN | {"name": "John Q. Sampleton"})
    firm.ranks = {"alpha": {"": 1}, "beta": {"": 2}}
    ids = [row["person_id"] for row in firm.database.rows("select person_id from warehouse.person")]
    decisions.decide(firm.engine, "person", *ids, True, "Asked the advisor", "ursula")  # an initial alone is too little
    firm.resolve()
    [john] = firm.known()
    assert (john["name"], john["first_name"]) == ("J Sampleton", None)


def test_an_address_is_taken_whole_from_one_vendor(firm: Firm) -> None:
    old = {"street": "99 Sample Ave", "postal_code": "80202"}
    for vendor, home in (("alpha", old), ("beta", HOME)):
        firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"} | home)
        firm.people(vendor, JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    firm.ranks = {"alpha": {"": 2}, "beta": {"": 2, "address": 1}}
    firm.resolve()
    firm.ranks = {"alpha": {"": 2, "address": 0}, "beta": {"": 2, "address": 1}}
    with firm.engine.begin() as db:
        identity.rank_vendors(db, [replace(each.vendor, ranks=firm.ranks[name]) for name, each in firm.loaders.items()])
    [home] = firm.known("known_household")
    assert (home["street"], home["city"], home["postal_code"]) == ("99 Sample Ave", None, "80202")


def test_the_records_themselves_stay_what_their_vendors_say(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN | {"phone": "402-555-0102"})
    before = firm.database.rows("select * from warehouse.person order by person_id")
    firm.resolve()
    assert firm.database.rows("select * from warehouse.person order by person_id") == before


def test_the_second_person_of_a_record_ties_records_of_her_own_together(firm: Firm) -> None:
    joint = {"name": "John & Mary Sampleton", **HOME}
    firm.people("alpha", joint)
    firm.people("beta", MARY | HOME)
    firm.people("gamma", MARY | HOME)
    joint_id, *marys = [
        row["person_id"] for row in firm.database.rows("select person_id from warehouse.person order by 1")
    ]
    decisions.decide(firm.engine, "person", -joint_id, marys[0], True, "Asked the advisor", "ursula")
    firm.resolve()
    shown = firm.database.rows("select person_id, identity_id from warehouse.known_person order by 1")
    assert [row["identity_id"] for row in shown] == [joint_id, marys[0], marys[0]]


def test_a_person_keeps_id_and_key_when_the_first_vendor_has_the_record_no_more(firm: Firm) -> None:
    for vendor in ("alpha", "beta", "gamma"):
        firm.load(vendor, "household", {"household_key": "h1", "name": "Sampleton"})
        firm.people(vendor, JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    firm.resolve()
    before = {view: firm.known(view) for view in ("known_person", "known_household")}
    assert [len(rows) for rows in before.values()] == [2, 1]
    firm.database.do("update warehouse.person set valid_to = :day where vendor = 'alpha'", day=NEXT)
    firm.database.do("update warehouse.household set valid_to = :day where vendor = 'alpha'", day=NEXT)
    for run_id in (None, "r2", "r3"):
        if run_id:
            firm.database.do("delete from control.identity_run")
            firm.resolve(run_id)
        for view, rows in before.items():
            key = view.replace("known_", "") + "_key"
            assert [(row["identity_id"], row["vendor"], row[key]) for row in firm.known(view)] == [
                (row["identity_id"], row["vendor"], row[key]) for row in rows
            ]


def test_whose_a_record_was_stays_known(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN)
    firm.resolve()
    [link] = firm.database.rows("select left_id, right_id from control.identity_link")
    decisions.decide(firm.engine, "person", *link.values(), False, "Father and son", "ursula")
    firm.resolve("r2")
    [was] = firm.database.rows(
        "select id, identity_id, recorded_from < recorded_to as is_closed from warehouse.identity"
    )
    assert (was["id"], was["identity_id"], was["is_closed"]) == (link["right_id"], link["left_id"], True)
    assert len(firm.known()) == 2


def test_of_many_who_decide_at_one_moment_one_is_heard_and_the_others_are_told(firm: Firm) -> None:
    firm.people("alpha", JOHN, MARY)
    left, right = [row["person_id"] for row in firm.database.rows("select person_id from warehouse.person order by 1")]

    def decide(number: int) -> str:
        try:
            kept = decisions.decide(firm.engine, "person", left, right, number % 2 == 0, "At once", f"person {number}")
        except decisions.DecisionRefused as refused:
            return refused.known.decided_by if refused.known else ""
        return kept.decided_by

    with ThreadPoolExecutor(8) as people:
        told = set(people.map(decide, range(8)))
    [kept] = firm.database.rows("select decided_by from control.identity_decision")
    assert told == {kept["decided_by"]}
