"""Records with errors in the tax id or the birth date, and the people whom such values keep apart."""

from __future__ import annotations

import itertools
from datetime import date

import pytest

from include.identity.link import link
from tests.identity.rows import ADAM, Row, people, persons


def number(digits: str) -> Row:
    """Return the fields of a tax id as a warehouse has them: a hash and the last four digits."""
    return {"tax_id_hash": f"{digits}{'e' * 55}", "tax_id_last4": digits[-4:]}


def is_one(*rows: Row) -> bool:
    """Return whether the first two rows are one person, in any order of the rows."""
    results = set()
    for order in itertools.permutations(range(len(rows))):
        who = people(link(persons(*(rows[at] for at in order))))
        results.add(who[order.index(0) + 1] == who[order.index(1) + 1])
    [result] = results
    return result


@pytest.mark.parametrize(
    ("other", "is_error"),
    [
        ("911234567", True),  # another digit, equal last four
        ("901234867", True),
        ("901235467", True),  # two digits swapped
        ("901234568", False),  # numbers in a row, as those of siblings
        ("901238888", False),
        ("978112233", False),
    ],
)
def test_hashed_tax_id_with_a_typing_error_does_not_separate(other: str, is_error: bool) -> None:
    assert is_one(ADAM | number("901234567"), ADAM | number(other)) is is_error


@pytest.mark.parametrize(
    "differs",
    [
        {"first_name": "Aaron"},
        {"birth_date": date(1984, 8, 2)},
        {"email": None, "birth_date": None, "phone": None, "street": "7 Other St", "city": "Boise", "postal_code": "83702"},
    ],
    ids=["first name", "birth date", "nothing but the name"],
)  # fmt: skip
def test_similar_tax_ids_of_other_people_separate(differs: Row) -> None:
    assert not is_one(ADAM | number("901234567"), ADAM | number("901234867") | differs)


@pytest.mark.parametrize(
    ("birth", "is_error"),
    [
        (date(1951, 3, 28), True),  # another day
        (date(1951, 9, 14), True),  # another month
        (date(1961, 3, 14), True),  # another decade
        (date(1953, 9, 14), False),  # two parts differ
        (date(1981, 3, 14), False),  # a generation apart
    ],
)
def test_birth_date_with_one_wrong_part_does_not_separate(birth: date, is_error: bool) -> None:
    assert is_one(ADAM, ADAM | {"birth_date": birth}) is is_error


def test_one_tax_id_excuses_another_birth_date_but_not_that_of_a_child() -> None:
    adam = ADAM | number("901234567")
    assert is_one(adam, adam | {"birth_date": date(1953, 9, 21)})
    assert not is_one(adam, adam | {"birth_date": date(1979, 9, 21)})


def test_tax_id_of_many_families_is_a_placeholder() -> None:
    surnames = ("Ames", "Boyd", "Cole", "Dunn", "Ellis", "Ford", "Gray")
    others = [
        {"first_name": "Guy", "last_name": each, "street": f"{at} {each} Way", **number("000009999")}
        for at, each in enumerate(surnames)
    ]
    rows = [ADAM | number("901234567"), ADAM | number("000009999")]
    assert people(link(persons(*rows, *others)))[2] == 1
    assert people(link(persons(*rows)))[2] == 2


@pytest.mark.parametrize(
    ("tax_id", "other"), [("000000000", None), ("123456789", date(1961, 9, 21)), ("999999999", date(1961, 9, 21))]
)
def test_placeholder_of_two_namesakes_does_not_make_them_one(tax_id: str, other: date | None) -> None:
    """A number that is never issued, and one that two people born ten years apart have; both only as a hash."""
    namesake = {
        "first_name": "Adam",
        "last_name": "Specimen",
        "city": "Miami",
        "postal_code": "33101",
        "birth_date": other,
    }
    assert not is_one(ADAM | number(tax_id), namesake | number(tax_id))


def test_record_that_fits_two_halves_of_one_person_is_not_ambiguous() -> None:
    """The bare record is joined with one half first, and kept apart from the other until the halves are joined."""
    bare = ADAM | {"birth_date": None, "email": None, "phone": None}
    who = people(link(persons(bare | number("901234567"), bare | number("901234867"), bare)))
    assert len(set(who.values())) == 1
