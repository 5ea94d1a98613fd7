"""Names as vendors write them."""

from __future__ import annotations

import pytest

from include.identity.names import Name, plain, read_family, read_given, read_whole, roots


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Adam Specimen", [("adam", None, "specimen", None)]),
        ("Adam Q. Specimen Jr.", [("adam", "q", "specimen", "2")]),
        ("Specimen, Adam Q", [("adam", "q", "specimen", None)]),
        ("Specimen Jr, Adam", [("adam", None, "specimen", "2")]),
        ("Adam Specimen, Sr.", [("adam", None, "specimen", "1")]),
        ("Adam Specimen III, CPA", [("adam", None, "specimen", "3")]),
        ("Adam & Bea Specimen", [("adam", None, "specimen", None), ("bea", None, "specimen", None)]),
        ("Adam and Bea Specimen", [("adam", None, "specimen", None), ("bea", None, "specimen", None)]),
        ("Adam Specimen & Bea Fixture", [("adam", None, "specimen", None), ("bea", None, "fixture", None)]),
        ("Specimen, Adam & Bea", [("adam", None, "specimen", None), ("bea", None, "specimen", None)]),
        ("Mr. and Mrs. Adam Specimen", [("adam", None, "specimen", None)]),
        ("Dr. Béa de la Muñoz-Sample", [("bea", None, "delamunoz-sample", None)]),
        ("J. Robert Specimen", [("robert", "j", "specimen", None)]),
        ("Andy Anderson", [("andy", None, "anderson", None)]),
        ("", []),
    ],
)
def test_whole_name_is_read(text: str, people: list[tuple[str | None, ...]]) -> None:
    assert list(read_whole(text)) == people


def test_two_given_names_in_a_field_are_two_people() -> None:
    assert [each.first for each in read_given("Adam & Bea")] == ["adam", "bea"]


def test_double_given_name_is_one_person() -> None:
    assert read_given("Mary-Ann") == (Name("mary", "ann", None, None),)


def test_suffix_in_the_field_of_the_last_name_is_no_name() -> None:
    assert read_family("O'Sample, Jr.") == Name(None, None, "osample", "2")


def test_initial_v_is_no_generation() -> None:
    assert read_whole("Adam V Specimen")[0].generation is None


def test_nickname_leads_to_the_formal_name() -> None:
    assert "robert" in roots("bob")
    assert set(roots("peggy")) & set(roots("margaret"))


def test_accents_and_signs_do_not_count() -> None:
    assert plain("  José  O’Sämple-Łódź ") == "jose osample-lodz"
