"""A sensitive value becomes a keyed hash and its last four characters, nothing else."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.errors import ConfigurationError
from include.sensitive import Redactor, find_form

REDACTOR = Redactor(b"only for tests")
CLEAR = st.text(string.ascii_uppercase.replace("X", "") + string.digits, min_size=9, max_size=20)


def test_separators_and_case_do_not_count() -> None:
    assert REDACTOR.split("123-45-6789") == REDACTOR.split(" 123 456789 ")
    assert REDACTOR.split("ab-12345") == REDACTOR.split("AB12345")


def test_hash_is_64_hex_digits_beside_the_last_four() -> None:
    hashed, last4 = REDACTOR.split("123-45-6789")
    assert hashed is not None
    assert len(hashed) == 64
    assert int(hashed, 16)
    assert last4 == "6789"


def test_another_key_gives_another_hash() -> None:
    assert Redactor(b"another firm").split("123-45-6789")[0] != REDACTOR.split("123-45-6789")[0]


def test_nothing_has_neither_hash_nor_end() -> None:
    assert [REDACTOR.split(value) for value in (None, "", " - ")] == [(None, None)] * 3


def test_masked_value_has_no_hash_and_keeps_its_visible_end() -> None:
    assert REDACTOR.split("XXX-XX-6789") == (None, "6789")
    assert REDACTOR.split("***-**-6789") == (None, "6789")
    assert REDACTOR.split("*********") == (None, None)


@pytest.mark.parametrize("short", ["A12", "1234", "12-34", "123-4567"])
def test_short_value_shows_no_end(short: str) -> None:
    assert REDACTOR.split(short)[1] is None
    assert REDACTOR.token(short).endswith(":")


@pytest.mark.parametrize("value", ["12345678", "AB345678", "1234-5678"])
def test_value_of_eight_characters_shows_its_last_four(value: str) -> None:
    assert REDACTOR.split(value)[1] == "5678"


@settings(deadline=None)
@given(st.text("0123456789AXx*- ", max_size=20))
def test_shown_end_is_the_last_four_at_most_and_leaves_four_hidden(value: str) -> None:
    plain, (hashed, last4) = re.sub(r"[\s-]", "", value).upper(), REDACTOR.split(value)
    assert plain.endswith(last4 or "")
    assert last4 is None or (len(last4) <= 4 and "*" not in last4)
    assert hashed is None or last4 is None or len(plain) - len(last4) >= 4
    if len(plain) >= 8 and plain[-4:].isdigit():
        assert last4 == plain[-4:]


@settings(deadline=None)
@given(
    st.sampled_from(["...", "..", "\u2026", "x", "X", "xx", "XXXX-", "XXXX XXXX ", "*", "****", "****-", "\u2022\u2022\u2022\u2022 ", "\u00b7\u00b7\u00b7\u00b7",
                     "\u25cf\u25cf", "Ending in ", "ending in: ", "Account ending in ", "Acct. ending ", "ends with ", "Ends in x", "12...", "12**"]),
    st.text(string.digits, min_size=4, max_size=4), st.sampled_from(["", " "]),
)  # fmt: skip
def test_mask_of_any_form_has_no_hash_and_keeps_its_visible_end(mask: str, last4: str, behind: str) -> None:
    assert REDACTOR.split(f"{mask}{last4}{behind}") == (None, last4)


@given(st.sampled_from(["1234****", "1234XXXX", "1234...", "ending in XXXX"]))
def test_visible_beginning_is_no_end(masked: str) -> None:
    assert REDACTOR.split(masked) == (None, None)


@settings(deadline=None)
@given(st.from_regex(r"[A-Z0-9]{2}\.?[0-9]{3}\.?[0-9]{4}", fullmatch=True).filter(lambda text: "XX" not in text))
@example("X1234567")
@example("X12345")
@example("1234X")
@example("12.345.678")
@example("LEGENDS1234")
def test_number_that_is_whole_is_no_mask(number: str) -> None:
    assert REDACTOR.split(number)[0] is not None


@settings(deadline=None)
@given(CLEAR)
def test_token_splits_as_its_value_does_and_never_holds_it(value: str) -> None:
    token = REDACTOR.token(value)
    assert REDACTOR.split(token) == REDACTOR.split(value)
    assert value not in token


def test_token_of_a_masked_value_splits_as_it_does() -> None:
    assert REDACTOR.split(REDACTOR.token("XXX-XX-6789")) == (None, "6789")


def test_token_keeps_the_form_of_a_tax_id_if_it_is_asked_for() -> None:
    token = REDACTOR.token("12-3456789", has_form=True)
    assert (find_form(token), REDACTOR.split(token)) == ("ein", REDACTOR.split("12-3456789"))
    assert find_form(REDACTOR.token("12-3456789")) is None
    assert find_form(REDACTOR.token("XXX-XX-6789", has_form=True)) is None


def test_number_and_text_have_one_token() -> None:
    assert REDACTOR.token(123456789) == REDACTOR.token("123-45-6789")


KEYS = st.lists(st.binary(min_size=1, max_size=32), min_size=1, max_size=4)


@settings(deadline=None)
@given(KEYS, st.data(), CLEAR)
def test_lifting_commutes_with_hashing(keys: list[bytes], data: st.DataObject, value: str) -> None:
    fewer, all_keys = Redactor(*keys[: data.draw(st.integers(1, len(keys)))]), Redactor(*keys)
    assert all_keys.lift(fewer.hash(value)) == all_keys.hash(value)
    assert all_keys.lift(fewer.token(value)) == all_keys.token(value)
    assert all_keys.lift(f"{fewer.hash(value)}:IBM") == f"{all_keys.hash(value)}:IBM"
    assert all_keys.split(fewer.token(value)) == all_keys.split(value)
    assert all_keys.hash_key(fewer.token_key(value)) == all_keys.hash_key(value)


def test_hash_under_two_keys_is_an_hmac_of_the_digits_and_says_so() -> None:
    digits = Redactor(b"old").hash("123456789")
    assert Redactor(b"old", b"new").hash("123456789") == f"{Redactor(b'new').hash(digits)}~2"


@pytest.mark.parametrize(
    "text", ["", "x", "a" * 63, "a" * 65, f"{'a' * 64}b:c", f"/{'a' * 64}", "A" * 64, f"{'a' * 64} "]
)
def test_other_texts_are_not_lifted(text: str) -> None:
    assert Redactor(b"old", b"new").lift(text) == text


def test_hash_under_more_keys_than_known_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"more hash keys.*used=2 keys=1"):
        REDACTOR.lift(Redactor(b"old", b"new").hash("123456789"))
