"""Sealed secrets: they open under their own key, in their own place, unaltered, and nowhere else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigurationError
from include.keys.sealer import Sealer

OLD, NEW = bytes(32), bytes(range(32))
SEALER = Sealer({"old": OLD, "new": NEW})


@given(st.text(), st.text())
def test_what_was_sealed_opens_in_its_place(plain: str, place: str) -> None:
    assert SEALER.open(SEALER.seal(plain, place), place) == plain


def test_same_secret_is_sealed_differently_each_time_and_never_readable() -> None:
    one, another = SEALER.seal("n3xt é", "p"), SEALER.seal("n3xt é", "p")
    assert one != another
    assert b"n3xt" not in base64.b64decode(one.partition(":")[2])


def test_the_last_key_seals_and_an_older_one_still_opens() -> None:
    older = Sealer({"old": OLD}).seal("n3xt", "p")
    assert SEALER.open(older, "p") == "n3xt"
    assert SEALER.seal("n3xt", "p").startswith("new:")


def test_secret_of_a_removed_key_names_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"not in the keyring.*tributary_keys.*place=p"):
        Sealer({"new": NEW}).open(Sealer({"old": OLD}).seal("n3xt", "p"), "p")


def test_key_of_the_same_id_that_differs_opens_nothing() -> None:
    with pytest.raises(ConfigurationError, match="altered"):
        Sealer({"old": NEW}).open(Sealer({"old": OLD}).seal("n3xt", "p"), "p")


def test_sealed_secret_that_was_moved_does_not_open() -> None:
    with pytest.raises(ConfigurationError, match="another place"):
        SEALER.open(SEALER.seal("n3xt", "one"), "another")


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-4], lambda t: t[:6] + "A" + t[7:], lambda t: t + "é", lambda _: "new:", lambda _: "new:x"]
)
def test_altered_secret_does_not_open_and_is_not_shown(spoil: object) -> None:
    sealed = SEALER.seal("n3xt", "p")
    altered = spoil(sealed)  # type: ignore[operator]
    if altered == sealed:
        altered = sealed[:6] + "B" + sealed[7:]
    with pytest.raises(ConfigurationError, match="altered") as refused:
        SEALER.open(altered, "p")
    assert "n3xt" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "x", "gAAAAA", "é"])
def test_text_without_a_key_id_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not in the keyring"):
        SEALER.open(text, "p")
