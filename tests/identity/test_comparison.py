"""The verdict on two values agrees with the evidence of the matching."""

from __future__ import annotations

import pytest

from include.identity.comparison import compare
from include.identity.pairs import Pair, Record


def _compare(name: str, left: str | None, right: str | None, agreed: str = "", differed: str = "") -> str:
    records = [Record(id, "orion", f"k{id}", {name: value}) for id, value in ((1, left), (2, right))]
    pair = Pair(
        "person", *records, 1.0, [agreed] if agreed else [], [differed] if differed else [], "model", None, None
    )
    [fact] = compare(pair)
    return fact.verdict


@pytest.mark.parametrize(
    ("name", "left", "right", "agreed", "differed", "verdict"),
    [
        ("name", "Pat", "Pat", "", "first name", "equal"),
        ("telephone", "860-555-0172", "8605550172", "home (telephone)", "", "equal, written differently"),
        ("telephone", "+1 860 555 0172", "(860) 555-0172", "", "", "equal, written differently"),
        ("address", "12 Example St.", "12 EXAMPLE ST", "", "", "equal, written differently"),
        ("name", "Cleo Sample", "Cleopatra Sample", "first name (initial or short)", "", "close"),
        ("birth date", "1960-01-02", "1960-02-01", "birth date (day and month swapped)", "", "close"),
        ("birth date", "1960-01-02", "1971-02-01", "", "birth date", "different"),
        ("telephone", "860-555-0172", "860-555-0199", "home (address)", "", "not compared"),
        ("e-mail", "a@example.org", None, "", "", "only one"),
    ],
)
def test_a_verdict_matches_the_evidence(
    name: str, left: str, right: str | None, agreed: str, differed: str, verdict: str
) -> None:
    assert _compare(name, left, right, agreed, differed) == verdict


def test_what_neither_record_states_is_left_out() -> None:
    records = [Record(id, "orion", f"k{id}", {"name": "Pat", "e-mail": None}) for id in (1, 2)]
    assert [fact.name for fact in compare(Pair("person", *records, 1.0, [], [], "model", None, None))] == ["name"]
