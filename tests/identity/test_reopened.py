"""Pairs that a decision "different" leaves undecided."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.identity import link as linking
from include.identity.link import link
from tests.identity.rows import ADAM, Row, decisions, pairs, people, persons

BARE: Row = ADAM | {"birth_date": None, "email": None}


def test_record_that_fits_both_sides_of_a_decision_is_asked_about() -> None:
    """Record 3 equals 1 and 2; it stays with one of them, but the answer does not decide with which."""
    result = link(persons(ADAM, ADAM, ADAM), decisions((1, 2, False)))
    who = people(result)
    assert who[1] != who[2]
    [other] = {1, 2} - {record for record in (1, 2) if who[record] == who[3]}
    assert pairs(result.review) == {(other, 3)}


def test_answers_end_the_questions() -> None:
    records = persons(ADAM, ADAM, ADAM)
    assert pairs(link(records, decisions((1, 2, False), (2, 3, False))).review) == set()
    moved = link(records, decisions((1, 2, False), (2, 3, True)))
    assert people(moved) == {1: 1, 2: 2, 3: 2}
    assert pairs(moved.review) == set()


def test_record_that_clearly_fits_one_side_is_not_asked_about() -> None:
    """Record 3 has the name and home of both, but only the birth date and e-mail of 1."""
    result = link(persons(ADAM, BARE, ADAM), decisions((1, 2, False)))
    assert people(result)[3] == 1
    assert pairs(result.review) == set()


@pytest.fixture(scope="module")
def scored_once() -> Iterator[None]:
    """Score the same records once: scores do not depend on decisions, and take nearly all the time of a run."""
    scores: dict[bytes, Any] = {}

    def score(features: pa.Table, *rest: Any, **options: Any) -> Any:
        key = pickle.dumps((features.to_pylist(), rest))
        if key not in scores:
            scores[key] = original(features, *rest, **options)
        return scores[key]

    original = linking.score
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linking, "score", score)
        yield


@pytest.mark.usefixtures("scored_once")
@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from([ADAM, BARE, ADAM | {"email": None}]), min_size=2, max_size=5),
    answers=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.booleans()), max_size=4),
)
def test_a_steward_who_answers_everything_comes_to_an_end(
    kinds: list[Row], answers: list[tuple[int, int, bool]]
) -> None:
    """No answered pair comes back, and each round has a new pair, so the questions end."""
    records = persons(*kinds)
    known = {frozenset((a, b)): is_same for a, b, is_same in answers if a != b and max(a, b) <= len(kinds)}
    for _ in itertools.combinations(range(len(kinds)), 2):
        given_so_far = decisions(*((*sorted(pair), is_same) for pair, is_same in known.items()))
        result = link(records, given_so_far)
        asked = {frozenset(pair) for pair in pairs(result.review)}
        assert not asked & known.keys()
        who = people(result)
        assert all(
            who[a] != who[b] for (a, b), is_same in ((tuple(pair), same) for pair, same in known.items()) if not is_same
        )
        if not asked:
            return
        known |= dict.fromkeys(asked, False)
