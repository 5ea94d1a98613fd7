"""Names of organizations and trusts."""

from __future__ import annotations

import pytest

from include.names.organization import date_of, find_legal_form, key_of, sounds_like_organization


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Sample Family Revocable Trust dtd 1/2/2003", "Sample Fam Rev Tr"),
        ("Sample Irr Trust U/A DTD 1/2/2003", "SAMPLE IRREVOCABLE TRUST U/A JUNE 29, 2004"),
        ("Sample & Sons, Inc.", "SAMPLE AND SONS INCORPORATED"),
        ("Sample Family Limited Partnership", "Sample Family LP"),
        ("Sample Holdings, L.L.C.", "SAMPLE HOLDINGS LLC"),
        ("Sample Family Foundation", "The Sample Family Fdn"),
    ],
)
def test_two_spellings_of_one_entity_have_one_key(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sample Holdings LLC", "Sample Holdings LP"),
        ("Ada Sample Revocable Trust", "Ben Sample Revocable Trust"),
        ("Sample Family Trust A", "Sample Family Trust B"),
        ("Sample 2003 Trust", "Sample 2004 Trust"),
    ],
)
def test_two_entities_have_two_keys(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


def test_legal_form_is_the_end_of_a_name() -> None:
    assert [find_legal_form(text) for text in ("Sample L.L.C.", "Sample Limited Partnership", "Co", "Ada Sample")] == [
        "llc", "lp", None, None,
    ]  # fmt: skip


def test_word_of_organizations_is_no_sign_in_the_place_of_the_given_name() -> None:
    assert sounds_like_organization("Sample Holdings")
    assert not sounds_like_organization("Brothers Sample")


def test_trust_company_of_a_place_sounds_like_an_organization() -> None:
    assert sounds_like_organization("Trust Company of Specimen")


def test_date_of_a_trust_is_read_in_digits_and_in_words() -> None:
    texts = (
        "Sample Trust U/A DTD 04/02/90",
        "Sample Trust dated April 2, 1990",
        "Sample Trust dtd 4-2-1990",
        "Sample Trust",
    )
    assert [date_of(text) for text in texts] == ["19900402", "19900402", "19900402", None]
