"""Names of people as vendors write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.names.person import Name, read_family, read_given, read_whole, roots, split_people
from include.names.words import plain


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Adam Specimen", ["adam specimen"]),
        ("Adam Q. Specimen Jr.", ["adam q specimen 2"]),
        ("Specimen, Adam Q", ["adam q specimen"]),
        ("Specimen Jr, Adam", ["adam specimen 2"]),
        ("Adam Specimen, Sr.", ["adam specimen 1"]),
        ("Adam Specimen III, CPA", ["adam specimen 3"]),
        ("Henry Specimen V", ["henry specimen 5"]),
        ("Adam V Specimen", ["adam v specimen"]),
        ("Susanne Specimen, M.D.", ["susanne specimen"]),
        ("Josephine Specimen M.D.", ["josephine specimen"]),
        ("Josephine Specimen Ph.D., CFP, CLU, ChFC", ["josephine specimen"]),
        ("Jordan Do", ["jordan do"]),
        ("Jordan Specimen, DO", ["jordan specimen"]),
        ("Attorney Bob Specimen, Esq.", ["bob specimen"]),
        ("Judge Specimen", ["judge specimen"]),
        ("J.R. Specimen", ["j r specimen"]),
        ("J. Robert Specimen", ["robert j specimen"]),
        ("Andy Anderson", ["andy anderson"]),
        ("SPECIMEN GEORGE M", ["george m specimen"]),
        ("Dr. Béa de la Muñoz-Sample", ["bea delamunoz-sample"]),
        ("Ludwig van Specimen", ["ludwig vanspecimen"]),
        ("St. John, Peter", ["peter stjohn"]),
        ("Carmen Olmedo Vergara", ["carmen olmedo-vergara"]),
        ("Nguyen Van Hung", ["hung van nguyen"]),
        ("Hung Van Nguyen", ["hung van nguyen"]),
        ("Иван Образцов", ["иван образцов"]),
        ("", []),
    ],
)  # fmt: skip
def test_whole_name_is_read(text: str, people: list[str]) -> None:
    assert [_show(each) for each in read_whole(text)] == people


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Adam & Bea Specimen", ["adam specimen", "bea specimen"]),
        ("Adam and Bea Specimen", ["adam specimen", "bea specimen"]),
        ("Adam or Bea Specimen", ["adam specimen", "bea specimen"]),
        ("Adam/Bea Specimen", ["adam specimen", "bea specimen"]),
        ("Adam Specimen and/or Bea Specimen", ["adam specimen", "bea specimen"]),
        ("Adam Specimen & Bea Fixture", ["adam specimen", "bea fixture"]),
        ("Specimen, Adam & Bea", ["adam specimen", "bea specimen"]),
        ("Specimen, Adam M and Fixture, Bea", ["adam m specimen", "bea fixture"]),
        ("Ronald T. & Karen P. Specimen", ["ronald t specimen", "karen p specimen"]),
        ("Mary Ann & Bob Specimen", ["mary ann specimen", "bob specimen"]),
        ("Arnold Specimen & Mae Specimen JTWROS", ["arnold specimen", "mae specimen"]),
        ("ADAM A SPECIMEN & BEA B FIXTURE JT TEN", ["adam a specimen", "bea b fixture"]),
        ("SPECIMEN ADAM A & BEA B", ["adam a specimen", "bea b specimen"]),
        ("Adam Specimen & Bea Specimen as Community Property with ROS", ["adam specimen", "bea specimen"]),
        ("Adam Specimen, MD & Bea Specimen, DDS", ["adam specimen", "bea specimen"]),
        ("Mr. Adam and Mrs. Bea Specimen", ["adam specimen", "bea specimen"]),
        ("Mr. and Mrs. Adam Specimen", ["adam specimen", "? specimen"]),
        ("Mr. and Mrs. Specimen", ["? specimen", "? specimen"]),
        ("Adam Specimen Sr. & Bea Specimen", ["adam specimen 1", "bea specimen"]),
    ],
)
def test_both_people_of_a_joint_title_are_read_with_their_surnames(text: str, people: list[str]) -> None:
    assert [_show(each) for each in read_whole(text)] == people


def _show(name: Name) -> str:
    parts = (name.first or "?", name.middle, name.last, name.generation)
    return " ".join(part for part in parts if part)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("John Tod", "john tod"),
        ("JOHN A TOD", "john a tod"),
        ("John Tod JTWROS", "john tod"),
        ("John Specimen TOD", "john specimen"),
        ("SMITH JOHN TOD", "john smith"),
    ],
)
def test_tod_is_a_family_name_where_no_other_word_is(text: str, name: str) -> None:
    assert [_show(each) for each in read_whole(text)] == [name]


def test_vendor_that_writes_the_family_name_first_needs_no_comma() -> None:
    assert [_show(each) for each in read_whole("Specimen Adam & Bea", is_family_first=True)] == [
        "adam specimen", "bea specimen",
    ]  # fmt: skip


@pytest.mark.parametrize("second", ["ANDREA B", "SPECIMEN ANDREA B"])
def test_second_person_after_a_family_name_first_may_state_it_again(second: str) -> None:
    people = read_whole(f"SPECIMEN DANIEL C & {second} JT TEN", is_family_first=True)
    assert [_show(each) for each in people] == ["daniel c specimen", "andrea b specimen"]


def test_people_of_a_title_keep_their_spelling() -> None:
    assert split_people("Ronald T. & Karen McFixture-O'Sample JTWROS") == (
        "Ronald T. McFixture-O'Sample",
        "Karen McFixture-O'Sample",
    )


def test_two_given_names_in_a_field_are_two_people() -> None:
    assert [each.first for each in read_given("Adam & Bea")] == ["adam", "bea"]


def test_double_given_name_is_one_person() -> None:
    assert read_given("Mary-Ann") == (Name("mary", "ann", None, None),)


@pytest.mark.parametrize(
    ("text", "last", "generation"),
    [
        ("O'Sample, Jr.", "osample", "2"),
        ("Sample, M.D.", "sample", None),
        ("Olmedo Vergara", "olmedo-vergara", None),
        ("van der Sample", "vandersample", None),
        ("Jr", "jr", None),
    ],
)
def test_field_of_the_last_name_is_read(text: str, last: str, generation: str | None) -> None:
    assert read_family(text) == (Name(None, None, last, generation),)


def test_two_last_names_in_a_field_are_of_two_people() -> None:
    assert [each.last for each in read_family("Specimen & Fixture")] == ["specimen", "fixture"]


def test_nickname_leads_to_the_formal_name() -> None:
    assert "robert" in roots("bob")
    assert set(roots("peggy")) & set(roots("margaret"))


def test_accents_and_signs_do_not_count() -> None:
    assert plain("  José  O’Sämple-Łódź ") == "jose osample-lodz"


def test_letters_of_other_scripts_stay() -> None:
    assert plain("王小明 Иванов") == "王小明 иванов"


@given(st.text(max_size=60))
def test_any_text_is_read_as_at_most_two_people(text: str) -> None:
    assert len(read_whole(text)) <= 2
    assert len(read_given(text)) <= 2
    assert len(read_family(text)) <= 2
