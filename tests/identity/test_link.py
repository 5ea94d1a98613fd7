"""People across vendors."""

from __future__ import annotations

import random
from datetime import date

import pyarrow as pa
import pytest

from include.identity.link import Linked, link
from include.identity.policy import Policy
from include.identity.record import KNOWN
from local.bench.identity import SINGLE, compare_ids, count_crossed, evaluate
from local.bench.people import FEEDS, Firm, make_firm
from tests.identity.rows import ADAM, BEA, decisions, pairs, people, persons

HASH, OTHER_HASH = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def firm() -> Firm:
    return make_firm(900, seed=11)


@pytest.fixture(scope="module")
def linked(firm: Firm) -> Linked:
    return link(firm.persons)


def test_firm_is_linked_well(firm: Firm, linked: Linked) -> None:
    quality = evaluate(linked.clusters, firm.truth)
    assert quality["precision"] >= 0.995
    assert quality["pure"] >= 0.995
    assert quality["recall"] >= 0.92
    assert quality["whole"] >= 0.88
    assert count_crossed(linked.clusters, firm) == {"tax id": 0, "birth date": 0}


def test_queue_is_short_and_most_of_it_is_worth_a_look(firm: Firm, linked: Linked) -> None:
    queue = linked.review.to_pylist()
    assert 0 < len({row[side] for row in queue for side in ("left", "right")}) <= 0.05 * len(linked.clusters)
    assert sum(firm.truth[row["left"]] == firm.truth[row["right"]] for row in queue) >= 0.5 * len(queue)


def test_queue_counts_omitted_pairs(firm: Firm, linked: Linked) -> None:
    short = link(firm.persons, policy=Policy(review_ratio=0.01))
    assert (linked.left_over, len(linked.review)) == (0, len(short.review) + short.left_over)
    assert short.left_over > 0
    assert linked.review.slice(0, len(short.review)).equals(short.review)


def test_order_and_threads_change_nothing(firm: Firm, linked: Linked) -> None:
    order = random.Random(5).sample(range(len(firm.persons)), len(firm.persons))
    again = link(firm.persons.take(order), threads=1)
    for name in ("clusters", "links", "review"):
        assert getattr(again, name).equals(getattr(linked, name)), name


def test_people_keep_their_ids_when_a_vendor_is_added(firm: Firm, linked: Linked) -> None:
    rest = [at for at, vendor in enumerate(firm.persons["vendor"].to_pylist()) if vendor != FEEDS[-1].vendor]
    before = link(firm.persons.take(rest)).clusters
    became = compare_ids(before, linked.clusters)
    assert became["kept"] >= 0.93
    assert became["cut"] <= 0.005


def test_register_of_single_persons_is_linked_well() -> None:
    draw = random.Random(3)
    rows, truth = [], {}
    for number in range(300):
        row = {
            "first_name": draw.choice(["Ada", "Bea", "Cleo", "Dora", "Elsie", "Fern", "Greta"]),
            "last_name": "".join(draw.choice("aeiou") + draw.choice("bdfgklmnrst") for _ in range(3)),
            "birth_date": date(1930 + draw.randrange(60), 1 + draw.randrange(12), 1 + draw.randrange(28)),
            "street": f"{draw.randrange(1, 300)} {''.join(draw.choices('abcdefghijkl', k=7))} st",
            "city": draw.choice(["Omaha", "Boise", "Tampa"]), "postal_code": f"{draw.randrange(10000, 10200)}",
        }  # fmt: skip
        changed = dict(row)
        at = draw.choice(["first_name", "last_name", "birth_date", "street", "swap"])
        if at == "swap":
            changed |= {"first_name": row["last_name"], "last_name": row["first_name"]}
        else:
            changed[at] = date(1912, 12, 12) if at == "birth_date" else f"{row[at][:2]}x{row[at][3:]}"
        truth |= {len(rows) + 1: number, len(rows) + 2: number}
        rows += [row, changed]
    quality = evaluate(link(persons(*rows), policy=SINGLE).clusters, truth)
    assert quality["precision"] >= 0.995
    assert quality["recall"] >= 0.99


def test_couple_at_one_address_with_one_email_is_two_people() -> None:
    shared = {"email": "thespecimens@mail.example"}
    rows = [
        {**ADAM, **shared},
        {**BEA, **shared},
        {**ADAM, **shared, "birth_date": None},
        {**BEA, **shared, "birth_date": None},
    ]
    assert people(link(persons(*rows))) == {1: 1, 2: 2, 3: 1, 4: 2}


def test_father_and_son_of_one_name_are_two_people() -> None:
    son = {**ADAM, "last_name": "Specimen Jr", "birth_date": date(1981, 3, 14)}
    assert people(link(persons(ADAM, son, {**ADAM, "last_name": "Specimen Sr"}, son))) == {1: 1, 2: 2, 3: 1, 4: 2}


def test_father_and_son_are_two_people_though_a_third_record_fits_both() -> None:
    bare = {**ADAM, "birth_date": None, "email": None}
    rows = [{**bare, "last_name": "Specimen Sr"}, {**bare, "last_name": "Specimen Jr"}, bare]
    who = people(link(persons(*rows)))
    assert who[1] != who[2]


def test_two_members_of_one_vendors_household_are_two_people() -> None:
    bare = {**ADAM, "birth_date": None, "email": None, "vendor": "portfolio", "household": "17"}
    result = link(persons(bare, bare))
    assert people(result) == {1: 1, 2: 2}
    assert pairs(result.review) == {(1, 2)}


def test_twins_in_one_vendors_household_are_two_people_though_their_names_are_close() -> None:
    vendor = {"vendor": "portfolio", "household": "17", "email": None}
    result = link(persons({**ADAM, **vendor, "first_name": "Jean"}, {**ADAM, **vendor, "first_name": "Jeane"}))
    assert people(result) == {1: 1, 2: 2}


def test_person_whom_a_vendor_lists_twice_is_one_by_birth_date_and_name() -> None:
    vendor = {"vendor": "portfolio", "household": "17"}
    assert people(link(persons({**ADAM, **vendor}, {**ADAM, **vendor, "email": None}))) == {1: 1, 2: 1}


def test_no_chain_joins_two_members_of_one_vendors_household() -> None:
    vendor = {"vendor": "portfolio", "household": "17"}
    rows = [{**ADAM, **vendor}, {**ADAM, **vendor, "birth_date": None, "email": None}, ADAM]
    result = link(persons(*rows))
    assert people(result) == {1: 1, 2: 2, 3: 1}
    assert pairs(result.review) == {(2, 3)}


def test_initial_in_a_house_may_be_anybodys() -> None:
    shared = {"household_email": "thespecimens@mail.example", "email": None, "birth_date": None}
    result = link(persons({**ADAM, **shared}, {**ADAM, **shared, "first_name": "A."}))
    assert people(result) == {1: 1, 2: 2}
    assert pairs(result.review) == {(1, 2)}
    assert result.review["rule"].to_pylist() == ["only an initial"]


def test_initial_with_an_own_email_is_at_the_top_of_the_queue() -> None:
    """A couple may share an e-mail, and both first names may begin with one letter."""
    shared = {"birth_date": None}
    result = link(persons({**ADAM, **shared}, {**ADAM, **shared, "first_name": "A."}))
    assert people(result) == {1: 1, 2: 2}
    assert result.review["score"].to_pylist() == [2.8]


def test_junior_and_a_record_without_suffix_need_more_than_one_home() -> None:
    bare = {**ADAM, "email": None}
    result = link(persons(bare, {**bare, "birth_date": None, "last_name": "Specimen Jr"}))
    assert people(result) == {1: 1, 2: 2}
    assert result.review["rule"].to_pylist() == ["Jr or Sr in one record only"]


def test_number_in_a_row_of_a_sibling_does_not_make_one_person() -> None:
    numbers = ({"tax_id_hash": HASH, "tax_id_last4": "1234"}, {"tax_id_hash": OTHER_HASH, "tax_id_last4": "1235"})
    result = link(persons(*({**ADAM, **number} for number in numbers)))
    assert people(result) == {1: 1, 2: 2}
    assert result.review["rule"].to_pylist() == ["other tax id"]


def test_record_without_a_name_is_a_persons_whatever_its_type() -> None:
    rows = [{"registration_type": "Trust"}, {"first_name": "Ada", "last_name": "Specimen", "tax_id_form": "ein"}]
    assert people(link(persons(*rows))) == {1: 1, 2: 2}


def test_record_that_fits_father_and_son_is_nobodys_and_goes_to_review() -> None:
    son = {**ADAM, "birth_date": date(1981, 7, 2), "email": None}
    either = {**ADAM, "birth_date": None, "email": None}
    result = link(persons({**ADAM, "email": None}, son, either))
    assert people(result) == {1: 1, 2: 2, 3: 3}
    assert pairs(result.review) >= {(1, 3), (2, 3)}


def test_twins_are_two_people() -> None:
    twin = {**ADAM, "first_name": "Zeno"}
    assert people(link(persons(ADAM, twin, {**ADAM, "email": None}, {**twin, "email": None}))) == {
        1: 1,
        2: 2,
        3: 1,
        4: 2,
    }


@pytest.mark.parametrize(
    ("name", "twin"), [("Eric", "Erica"), ("Robert", "Roberta"), ("Dan", "Danielle"), ("Michael", "Michelle")]
)
def test_twins_whom_two_vendors_list_are_two_however_close_their_names(name: str, twin: str) -> None:
    rows = [{**ADAM, "first_name": name}, {**ADAM, "first_name": twin}, {**ADAM, "first_name": f"{name}q"}]
    result = link(persons(*rows[:2]))
    assert people(result) == {1: 1, 2: 2}
    assert pairs(result.review) == {(1, 2)}
    assert people(link(persons(rows[0], rows[2]))) == {1: 1, 2: 1}


def test_numbers_of_twins_in_a_row_make_no_one_person_of_them() -> None:
    rows = persons({**ADAM, "tax_id": "901-23-4567"}, {**ADAM, "first_name": "Zeno", "tax_id": "901-23-4568"})
    assert people(link(rows)) == {1: 1, 2: 2}


def test_names_that_many_have_are_two_however_close() -> None:
    shared = {**ADAM, "birth_date": None, "email": "thespecimens@mail.example"}
    rows = [{**shared, "first_name": name} for name in ["Eric"] * 3 + ["Erica"] * 3]
    typed_wrong = {**shared, "first_name": "Ericm"}
    assert len(set(people(link(persons(*rows))).values())) == 2
    assert people(link(persons(*rows[:3], typed_wrong))) == {1: 1, 2: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("formal", ["Patricia", "Patrick"])
def test_nickname_of_men_and_women_may_be_the_spouses(formal: str) -> None:
    shared = ADAM | {"birth_date": None, "email": "thespecimens@mail.example"}
    result = link(persons(shared | {"first_name": "Pat"}, shared | {"first_name": formal}))
    assert people(result) == {1: 1, 2: 2}
    assert result.review["rule"].to_pylist() == ["nickname of men and women"]


@pytest.mark.parametrize("personal", [{"birth_date": date(1951, 3, 14)}, {"tax_id_hash": HASH, "tax_id_last4": "1234"}])
def test_nickname_of_men_and_women_is_sure_with_birth_date_or_tax_id(personal: dict[str, object]) -> None:
    shared = ADAM | {"birth_date": None} | personal
    assert people(link(persons(shared | {"first_name": "Pat"}, shared | {"first_name": "Patricia"}))) == {1: 1, 2: 1}


def test_nickname_of_one_sex_is_the_persons() -> None:
    shared = ADAM | {"birth_date": None}
    assert people(link(persons(shared | {"first_name": "Bob"}, shared | {"first_name": "Robert"}))) == {1: 1, 2: 1}


def test_other_middle_name_may_be_the_sons() -> None:
    bare = {**ADAM, "birth_date": None, "email": None}
    result = link(persons({**bare, "first_name": "Adam G."}, {**bare, "first_name": "Adam F."}))
    assert people(result) == {1: 1, 2: 2}
    assert pairs(result.review) == {(1, 2)}


def test_name_alone_is_not_enough_if_many_people_of_the_country_have_it() -> None:
    common, rare = {"first_name": "John", "last_name": "Smith"}, {"first_name": "Zebulon", "last_name": "Quillfeather"}
    assert people(link(persons(common, common))) == {1: 1, 2: 2}
    assert people(link(persons(rare, rare))) == {1: 1, 2: 1}


def test_nickname_maiden_name_and_typing_error_are_bridged() -> None:
    rows = [
        {**BEA, "tax_id_hash": HASH, "tax_id_last4": "1234"},
        {**BEA, "first_name": "Bea", "last_name": "Specimn"},
        {
            **BEA,
            "last_name": "Fixture",
            "street": "9 Elsewhere Rd",
            "city": "Boise",
            "postal_code": "83702",
            "tax_id_last4": "1234",
        },
    ]
    assert people(link(persons(*rows))) == {1: 1, 2: 1, 3: 1}


def test_person_level_key_links_records_with_little_other_evidence() -> None:
    key = {"strong_keys": ["crm:person:17"]}
    result = link(persons({"first_name": "Adam", **key}, {"last_name": "Specimen", **key}))
    assert people(result) == {1: 1, 2: 1}
    assert result.links["how"].to_pylist() == ["key"]


def test_two_keys_of_one_system_are_two_people_whom_nothing_personal_makes_one() -> None:
    bare = {**ADAM, "birth_date": None, "email": None}
    keys = [{"strong_keys": ["crm:person:17"]}, {"strong_keys": ["crm:person:18"]}]
    result = link(persons(*({**bare, **key} for key in keys)))
    assert people(result) == {1: 1, 2: 2}
    assert pairs(result.review) == {(1, 2)}
    assert result.review["differed"].to_pylist() == [["cross reference"]]
    assert people(link(persons(*({**ADAM, **key} for key in keys)))) == {1: 1, 2: 1}


def test_keys_of_different_systems_are_not_compared() -> None:
    keys = [{"strong_keys": ["crm:person:17"]}, {"strong_keys": ["planning:person:18"]}]
    [row] = link(persons(*({**ADAM, **key} for key in keys))).links.to_pylist()
    assert "cross reference" not in row["agreed"] + row["differed"]


def test_household_level_key_links_no_persons() -> None:
    key = {"strong_keys": ["portfolio:household:17"]}
    assert people(link(persons({**ADAM, **key}, {**BEA, **key}))) == {1: 1, 2: 2}


@pytest.mark.parametrize("field", ["household_email", "email"])
def test_household_email_counts_as_home_evidence_only(field: str) -> None:
    home = {"first_name": "Zebulon", "last_name": "Quillfeather", "household_email": "us@mail.example"}
    result = link(persons(home, {**home, "household_email": None, field: "Us@mail.example"}))
    assert people(result) == {1: 1, 2: 1}
    assert result.links["agreed"].to_pylist() == [["first name", "last name", "home (e-mail)"]]
    spouse = {**home, "first_name": "Beatrice", "household_email": None, field: "us@mail.example"}
    assert people(link(persons(home, spouse))) == {1: 1, 2: 2}


def test_number_of_the_head_typed_for_the_spouse_does_not_make_one_person_of_two() -> None:
    number = {"tax_id_hash": HASH, "tax_id_last4": "1234"}
    result = link(persons({**ADAM, **number}, {**BEA, **number}))
    assert people(result) == {1: 1, 2: 2}


def test_different_tax_ids_are_two_people_however_alike() -> None:
    result = link(persons({**ADAM, "tax_id_hash": HASH}, {**ADAM, "tax_id_hash": OTHER_HASH}))
    assert people(result) == {1: 1, 2: 2}
    assert pairs(result.review) == {(1, 2)}


@pytest.mark.parametrize(
    "nobodys",
    [date(1, 1, 1), date(1899, 12, 30), date(1900, 1, 1), date(1970, 1, 1), date(2026, 11, 21), date(9999, 12, 31)],
)
def test_birth_date_that_is_nobodys_keeps_no_records_apart(nobodys: date) -> None:
    result = link(persons(ADAM, {**ADAM, "birth_date": nobodys}), on=date(2026, 11, 20))
    assert people(result) == {1: 1, 2: 1}
    assert result.links["differed"].to_pylist() == [[]]


def test_ends_of_tax_ids_that_differ_are_two_people_though_one_has_no_more_than_the_end() -> None:
    rows = persons({**ADAM, "tax_id_hash": HASH, "tax_id_last4": "1817"}, {**ADAM, "tax_id_last4": "1943"})
    assert people(link(rows)) == {1: 1, 2: 2}
    assert people(link(rows, policy=Policy(trusted=frozenset()))) == {1: 1, 2: 1}


def test_birth_date_that_is_only_close_needs_more_than_name_and_zip() -> None:
    name = {"first_name": "John", "last_name": "Smith", "postal_code": "68102"}
    result = link(persons({**name, "birth_date": date(1998, 9, 24)}, {**name, "birth_date": date(1997, 9, 24)}))
    assert people(result) == {1: 1, 2: 2}
    assert pairs(result.review) == {(1, 2)}


def test_last_four_and_a_close_birth_date_do_not_link_two_last_names() -> None:
    row = {"first_name": "Zebulon", "birth_date": date(1949, 11, 14), "tax_id_last4": "1662"}
    other = {**row, "last_name": "Bridges", "birth_date": date(1942, 11, 14)}
    assert people(link(persons({**row, "last_name": "Hollinger"}, other))) == {1: 1, 2: 2}
    assert people(link(persons({**row, "last_name": "Bridges"}, other))) == {1: 1, 2: 1}


@pytest.mark.parametrize("other", ["901-23-4561", "901-23-457"])
def test_tax_ids_one_edit_apart_may_be_one_person(other: str) -> None:
    rows = [{**ADAM, "tax_id": "901-23-4567"}, {**ADAM, "tax_id": other}]
    assert people(link(persons(*rows))) == {1: 1, 2: 1}


def test_chain_of_edits_does_not_make_one_person_of_two() -> None:
    numbers = ["901-23-4567", "901-23-4561", "911-23-4561"]
    who = people(link(persons(*({**ADAM, "tax_id": number} for number in numbers))))
    assert who[1] != who[3]


def test_untrusted_data_separates_no_records() -> None:
    rows = persons({**ADAM, "tax_id_hash": HASH}, {**ADAM, "tax_id_hash": OTHER_HASH})
    assert people(link(rows, policy=Policy(trusted=frozenset()))) == {1: 1, 2: 1}


def test_joint_record_links_two_people() -> None:
    joint = {**ADAM, "first_name": None, "name": "Adam & Bea Specimen", "birth_date": None, "email": None}
    assert people(link(persons(joint, ADAM, {**BEA, "first_name": "Bea"}))) == {1: 1, -1: -1, 2: 1, 3: -1}


def test_joint_record_that_names_the_spouse_before_its_own_person_is_two_people() -> None:
    joint = {**ADAM, "name": "Beatrice & Adam Specimen"}
    assert people(link(persons(joint, ADAM, BEA))) == {1: 1, -1: -1, 2: 1, 3: -1}


def test_joint_record_of_two_people_of_one_name_is_two_people() -> None:
    bare = {**ADAM, "email": None}
    joint = {**bare, "first_name": None, "name": "Adam & Adam Specimen"}
    result = link(persons(joint, bare, bare))
    assert people(result)[1] != people(result)[-1]
    assert all(left != -right for left, right in pairs(result.review))


def test_persons_yes_is_a_link_against_all_evidence() -> None:
    rows = persons({**ADAM, "tax_id_hash": HASH}, {**BEA, "tax_id_hash": OTHER_HASH})
    result = link(rows, decisions((1, 2, True)))
    assert people(result) == {1: 1, 2: 1}
    assert result.links.to_pylist()[0]["how"] == "person"


def test_persons_yes_against_a_birth_date_takes_no_link_apart() -> None:
    """The third record contradicts only the first; the second still matches the first."""
    rows = persons({**ADAM, "tax_id_hash": HASH}, ADAM, {**ADAM, "email": None, "birth_date": date(1972, 6, 30)})
    result = link(rows, decisions((2, 3, True)))
    assert people(result) == {1: 1, 2: 1, 3: 1}
    assert (1, 2) in pairs(result.links)


def test_persons_yes_never_makes_the_machine_tie_two_tax_ids() -> None:
    """The decision assigns the record without a tax id to one of the two; it does not say that all three are one."""
    rows = persons({**ADAM, "tax_id_hash": HASH}, ADAM, {**ADAM, "email": None, "tax_id_hash": OTHER_HASH})
    result = link(rows, decisions((2, 3, True)))
    assert people(result) == {1: 1, 2: 2, 3: 2}
    assert pairs(result.review)


def test_confirmed_match_identifies_a_record_without_data() -> None:
    """A manual match moves a bare record to the son's cluster, however well it matches the father."""
    bare = {**ADAM, "birth_date": None}
    rows = persons(ADAM, {**ADAM, "birth_date": date(1981, 7, 2), "email": None}, bare)
    assert people(link(rows)) == {1: 1, 2: 2, 3: 1}
    assert people(link(rows, decisions((2, 3, True)))) == {1: 1, 2: 2, 3: 2}


def test_confirmed_link_is_stored_once_with_its_reasons() -> None:
    [row] = link(persons(ADAM, ADAM), decisions((1, 2, True))).links.to_pylist()
    assert row["how"] == "person"
    assert "birth date" in row["agreed"]


def test_rejected_link_is_separated_and_not_queued_again() -> None:
    result = link(persons(ADAM, ADAM, ADAM), decisions((1, 2, False)))
    who = people(result)
    assert who[1] != who[2]
    assert (1, 2) not in pairs(result.review)
    assert (1, 2) not in pairs(result.links)


def test_rejected_pair_is_not_queued_again() -> None:
    rows = persons({**ADAM, "tax_id_hash": HASH}, {**ADAM, "tax_id_hash": OTHER_HASH})
    assert pairs(link(rows, decisions((2, 1, False))).review) == set()


def test_decision_on_missing_records_is_ignored() -> None:
    assert people(link(persons(ADAM), decisions((1, 99, True), (98, 99, False)))) == {1: 1}


def test_link_lists_agreeing_and_differing_features() -> None:
    [row] = link(persons(ADAM, {**ADAM, "last_name": "Specimem", "email": "other@mail.example"})).links.to_pylist()
    assert row["agreed"] == ["first name", "last name (close)", "birth date", "home (address)"]
    assert row["differed"] == ["e-mail"]
    assert (row["left"], row["right"], row["how"]) == (1, 2, "model")
    assert row["score"] > Policy().link_score


def test_known_ids_are_kept() -> None:
    known = pa.Table.from_pylist([{"record_id": 7, "person_id": 7}], schema=KNOWN)
    rows = persons({**ADAM, "record_id": 3}, {**ADAM, "record_id": 7}, {**BEA, "record_id": 9})
    assert people(link(rows, known=known)) == {3: 7, 7: 7, 9: 9}


def test_nothing_links_to_nothing() -> None:
    result = link(persons())
    assert (len(result.clusters), len(result.links), len(result.review)) == (0, 0, 0)


def test_legal_entity_is_never_one_with_a_person() -> None:
    trust = {
        **ADAM,
        "first_name": None,
        "last_name": None,
        "name": "The Adam Specimen Revocable Trust",
        "tax_id_hash": HASH,
    }
    company = {**trust, "name": "Specimen Holdings LLC"}
    assert people(link(persons({**ADAM, "tax_id_hash": HASH}, trust, company, trust))) == {1: 1, 2: 2, 3: 3, 4: 2}


def test_registrations_of_one_person_are_one_and_both_owners_of_a_joint_one_are_found() -> None:
    vendor = {"vendor": "portfolio", "household": "17", "email": None}
    titles = {
        "Adam Specimen": "Individual",
        "Custody LLC FBO Adam Specimen IRA": "Traditional IRA",
        "Adam & Bea Specimen": "JTWROS",
    }
    rows = [{**ADAM, **vendor, "name": name, "registration_type": kind} for name, kind in titles.items()]
    bea = {**BEA, **vendor, "name": "Bea Specimen", "registration_type": "Roth IRA", "first_name": "Bea"}
    assert people(link(persons(*rows, bea))) == {1: 1, 2: 1, 3: 1, -3: -3, 4: -3}


def test_two_flats_of_one_tower_are_two_homes() -> None:
    name = {"first_name": "Mary", "last_name": "Johnson", "city": "Omaha", "postal_code": "68102"}
    rows = [{**name, "street": f"100 Tower Plaza, Apt {unit}"} for unit in (12, 319)]
    assert people(link(persons(*rows))) == {1: 1, 2: 2}
    assert people(link(persons(rows[0], rows[0]))) == {1: 1, 2: 1}


def test_rule_that_lowered_a_score_is_named() -> None:
    bare = {**ADAM, "birth_date": None, "email": None}
    [row] = link(persons(bare, {**bare, "first_name": "A."})).review.to_pylist()
    assert row["rule"] == "only an initial"


def test_queue_takes_no_pair_below_its_threshold() -> None:
    bare = {**ADAM, "birth_date": None, "email": None}
    rows = persons(bare, {**bare, "first_name": "A."})
    [row] = link(rows).review.to_pylist()
    assert len(link(rows, policy=Policy(review_score=row["score"] + 0.01, link_score=9)).review) == 0


def test_pairs_whose_answer_matters_most_come_first(firm: Firm, linked: Linked) -> None:
    ranks = linked.review["rank"].to_pylist()
    assert len(set(ranks)) > 1
    assert ranks == sorted(ranks, reverse=True)


def test_person_whose_names_are_stated_is_no_organization() -> None:
    parish = {**ADAM, "first_name": "Robert James", "last_name": "Parish", "name": "Robert James Parish"}
    assert people(link(persons(parish, {**parish, "name": None}))) == {1: 1, 2: 1}
