"""The inbox key: who receives can seal and not open; a sealed message opens in its own place only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import ConfigurationError, DataQualityError
from include.keys.inbox import Opener, ReceivingKey

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
KEY = ReceivingKey.derive("new", NEW)
OPENER = Opener({"old": OLD, "new": NEW})


@given(st.binary(), st.text())
def test_what_was_sealed_opens_in_its_place(content: bytes, place: str) -> None:
    assert OPENER.open(KEY.seal(content, place), place) == content


def test_same_content_is_sealed_differently_each_time_and_is_unreadable() -> None:
    one, another = KEY.seal(b"clear text", "p"), KEY.seal(b"clear text", "p")
    assert one[20:] != another[20:]
    assert b"clear" not in one + another


def test_receiving_key_is_its_text_and_reveals_no_inbox_key() -> None:
    assert ReceivingKey.parse(KEY.text) == KEY
    assert NEW.hex() not in KEY.text
    assert KEY.digest_key.hex() not in repr(KEY)


@pytest.mark.parametrize(
    "text", ["", "receive:", f"inbox:new:{NEW.hex()}", KEY.text[:-1], KEY.text.upper(), f"{KEY.text}0"]
)
def test_malformed_receiving_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="receiving-key") as refused:
        ReceivingKey.parse(text)
    assert KEY.public.hex() not in str(refused.value)


def test_an_older_key_still_opens() -> None:
    assert OPENER.open(ReceivingKey.derive("old", OLD).seal(b"x", "p"), "p") == b"x"


def test_message_of_a_removed_key_names_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"not in the keyring.*tributary_keys.*place=p"):
        Opener({"old": OLD}).open(KEY.seal(b"x", "p"), "p")


def test_message_that_was_moved_does_not_open() -> None:
    with pytest.raises(DataQualityError, match=r"moved.*place=another"):
        OPENER.open(KEY.seal(b"x", "one"), "another")


@pytest.mark.parametrize("place", [20, 52, -1], ids=["ephemeral key", "content", "tag"])
def test_altered_message_does_not_open(place: int) -> None:
    sealed = bytearray(KEY.seal(b"a message", "p"))
    sealed[place] ^= 1
    with pytest.raises(DataQualityError, match="altered"):
        OPENER.open(bytes(sealed), "p")


@pytest.mark.parametrize("content", [b"", b"{}", b"TRB1" + bytes(80)])
def test_message_that_was_not_sealed_does_not_open(content: bytes) -> None:
    with pytest.raises(DataQualityError, match="not sealed"):
        OPENER.open(content, "p")


def test_digests_are_equal_for_equal_content_under_one_key() -> None:
    assert KEY.digest(b"x") == ReceivingKey.parse(KEY.text).digest(b"x") != KEY.digest(b"y")
    assert KEY.digest(b"x") != ReceivingKey.derive("new", OLD).digest(b"x")


def test_fingerprint_depends_on_the_key_and_its_id() -> None:
    keys = [KEY, ReceivingKey.derive("new", OLD), ReceivingKey.derive("old", NEW)]
    assert len({key.fingerprint for key in keys}) == len(keys)
