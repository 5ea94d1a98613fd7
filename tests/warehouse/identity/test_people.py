"""Identity in the warehouse: views show each person and household once, with the preferred vendor's values."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from include.identity import decisions, store
from include.identity.policy import Policy
from tests.warehouse.identity.firm import HOME, JOHN, MARY, Firm
from tests.warehouse.loading import NEXT


def test_a_person_of_two_vendors_is_shown_once(firm: Firm) -> None:
    firm.people("alpha", JOHN, MARY)
    firm.people("beta", JOHN)
    result = firm.resolve()
    assert result is not None
    assert (result.records, result.people, result.changed) == (3, 2, 1)
    assert [(p["vendor"], p["first_name"]) for p in firm.known()] == [("alpha", "John"), ("alpha", "Mary")]


def test_father_and_son_are_two_though_their_household_has_one_email(firm: Firm) -> None:
    firm.load("alpha", "household", {"household_key": "h1", "name": "Sampleton", "email": "us@example.org"} | HOME)
    bare = {"first_name": "John", "last_name": "Sampleton", "household_key": "h1"}
    firm.people("alpha", bare, bare)
    result = firm.resolve()
    assert result is not None
    assert (result.people, result.review, result.left_over) == (2, 1, 0)


def test_another_threshold_counts_from_the_next_run_on(firm: Firm) -> None:
    firm.people("alpha", JOHN)
    firm.people("beta", JOHN)
    firm.resolve()
    assert firm.resolve("r2") is None
    result = firm.resolve("r3", Policy(link_score=40.0))
    assert result is not None
    assert (result.people, result.review) == (2, 1)


def test_before_the_first_run_each_record_represents_itself(firm: Firm) -> None:
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


def test_values_missing_at_the_first_vendor_come_from_the_next(firm: Firm) -> None:
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


def test_values_of_a_vendor_no_longer_used_come_last(firm: Firm) -> None:
    firm.people("alpha", JOHN | {"phone": "402-555-0101"})
    firm.people("beta", JOHN | {"phone": "402-555-0102", "birth_date": None})
    firm.ranks = {"alpha": {"": 10}, "beta": {}}
    firm.database.do("insert into control.unused_vendor (vendor) values ('alpha')")
    firm.resolve()
    assert [(p["phone"], p["birth_date"]) for p in firm.known()] == [("402-555-0102", JOHN["birth_date"])]


def test_a_name_is_taken_whole_from_one_vendor(firm: Firm) -> None:
    firm.people("alpha", {**JOHN, "first_name": None, "name": "J Sampleton"})
    firm.people("beta", JOHN | {"name": "John Q. Sampleton"})
    firm.ranks = {"alpha": {"": 1}, "beta": {"": 2}}
    ids = [row["person_id"] for row in firm.database.rows("select person_id from warehouse.person")]
    decisions.decide(firm.engine, "person", *ids, True, "Asked the advisor", "ursula")  # an initial alone is not enough
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
        store.rank_vendors(db, [replace(each.vendor, ranks=firm.ranks[name]) for name, each in firm.loaders.items()])
    [home] = firm.known("known_household")
    assert (home["street"], home["city"], home["postal_code"]) == ("99 Sample Ave", None, "80202")


def test_vendor_records_stay_unchanged(firm: Firm) -> None:
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


def test_one_of_many_concurrent_decisions_is_recorded_and_the_others_are_rejected(firm: Firm) -> None:
    firm.people("alpha", JOHN, MARY)
    left, right = [row["person_id"] for row in firm.database.rows("select person_id from warehouse.person order by 1")]

    def decide(number: int) -> str:
        try:
            decision = decisions.decide(
                firm.engine, "person", left, right, number % 2 == 0, "At once", f"person {number}"
            )
        except decisions.DecisionRefused as refused:
            return refused.known.decided_by if refused.known else ""
        return decision.decided_by

    with ThreadPoolExecutor(8) as people:
        outcomes = set(people.map(decide, range(8)))
    [recorded] = firm.database.rows("select decided_by from control.identity_decision")
    assert outcomes == {recorded["decided_by"]}


def test_an_undo_that_contradicts_another_decision_is_refused(firm: Firm) -> None:
    """The undone decision allowed the others. Without it, two of three decisions would apply, and no reviewer would know which."""
    firm.people("alpha", JOHN, MARY, JOHN)
    a, b, c = (row["person_id"] for row in firm.database.rows("select person_id from warehouse.person order by 1"))

    def decide(left: int, right: int, is_same: bool, seen: int | None = None) -> int:
        return decisions.decide(firm.engine, "person", left, right, is_same, "Asked", "ursula", seen).decision_id

    first = decide(a, b, False)
    replaced = decide(a, b, True, first)
    last = [decide(a, c, True), decide(b, c, True)][1]
    with pytest.raises(decisions.DecisionRefused, match="contradicts the decision on another pair") as refused:
        decisions.undo(firm.engine, replaced, "ursula")
    assert refused.value.known is not None
    assert refused.value.known.decision_id == last
    decisions.undo(firm.engine, last, "ursula")
    assert not decisions.undo(firm.engine, replaced, "ursula").is_same


def test_a_household_that_only_a_past_pull_lists_stops_no_run(firm: Firm) -> None:
    """Its row of the current pull is a dead letter, for example."""
    firm.people("alpha", JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    firm.loaders["alpha"].load("household", [{"household_key": "h1", "name": "Sampleton"} | HOME], pulled="historical")
    firm.people("alpha", JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"}, day=NEXT)
    firm.load("beta", "household", {"household_key": "h1", "name": "Sampleton"} | HOME)
    firm.people("beta", JOHN | {"household_key": "h1"}, MARY | {"household_key": "h1"})
    result = firm.resolve()
    assert result is not None
    assert (result.people, result.households) == (2, 1)
    firm.load("alpha", "household", {"household_key": "h1", "name": "Sampleton"} | HOME)
    firm.resolve("r2")
    assert len(firm.known("known_household")) == 1
