"""The policy for local users' passwords."""

from __future__ import annotations

import pytest

from include.sign_on.passwords import find_fault, split_host


@pytest.mark.parametrize(
    "password", ["an orchard of plums", "ghzqvxmwkpjt", "ÄÖÜ äöü ß ÄÖÜ", "x" * 4 + " plum " + "y" * 200]
)
def test_a_password_is_accepted(password: str) -> None:
    assert find_fault(password, ["marianne", "sample-wealth"]) is None


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "at least 12"),
        ("ghzqvxmwkpj", "at least 12"),
        ("password1234", "most common"),
        ("PassWord1234", "most common"),
        ("qwertyuiop123", "most common"),
        ("marianne by the sea", "must not contain"),
        ("the sea and MARIANNE", "must not contain"),
        ("our tributary flows", "must not contain"),
        ("airflow in the lungs", "must not contain"),
        ("sample-wealth for all", "must not contain"),
    ],
)
def test_a_password_is_refused(password: str, reason: str) -> None:
    fault = find_fault(password, ["marianne", "sample-wealth"])
    assert fault
    assert reason in fault


def test_a_short_name_is_no_reason() -> None:
    assert find_fault("an orchard of plums", ["or", "an", ""]) is None


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("data.sample-wealth.com", ["data", "sample-wealth"]),
        ("www.sample-wealth.com", ["sample-wealth"]),
        ("localhost", ["localhost"]),
        ("", [""]),
    ],
)
def test_words_of_a_host(host: str, words: list[str]) -> None:
    assert split_host(host) == words
