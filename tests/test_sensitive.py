"""Sensitive values become a keyed hash and four characters, and nothing else."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.sensitive import Redactor

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


@pytest.mark.parametrize("short", ["A12", "1234", "12-34", "123-4567", "*1234", "XX 1234"])
def test_short_value_shows_no_end(short: str) -> None:
    assert REDACTOR.split(short)[1] is None
    assert REDACTOR.token(short).endswith(":")


@settings(deadline=None)
@given(st.text("0123456789AXx*- ", max_size=20))
def test_shown_end_is_the_last_four_at_most_and_leaves_four_hidden(value: str) -> None:
    plain, (_, last4) = re.sub(r"[\s-]", "", value).upper(), REDACTOR.split(value)
    assert plain.endswith(last4 or "")
    assert last4 is None or (len(last4) <= 4 and "*" not in last4 and len(plain) - len(last4) >= 4)
    if len(plain) >= 8 and plain[-4:].isdigit():
        assert last4 == plain[-4:]


def test_single_x_is_no_mask() -> None:
    assert REDACTOR.split("X1234567")[0] is not None


@settings(deadline=None)
@given(CLEAR)
def test_token_splits_as_its_value_does_and_never_holds_it(value: str) -> None:
    token = REDACTOR.token(value)
    assert REDACTOR.split(token) == REDACTOR.split(value)
    assert value not in token


def test_token_of_a_masked_value_splits_as_it_does() -> None:
    assert REDACTOR.split(REDACTOR.token("XXX-XX-6789")) == (None, "6789")


def test_number_and_text_have_one_token() -> None:
    assert REDACTOR.token(123456789) == REDACTOR.token("123-45-6789")
