"""What reviewers' answers teach about the rules."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.identity.learning import ANSWERS, LEAST_ANSWERS, LESSONS, MOST_BITS, learn
from include.identity.link import link
from include.identity.policy import Policy
from tests.identity.rows import ADAM, Row, decisions, pairs, people, persons
from tests.identity.test_misstated import number

COUPLES = 60


def answers(same: int, different: int, score: float = 2.8) -> pa.Table:
    rows = [{"rule": "only an initial", "score": score, "is_same": at < same} for at in range(same + different)]
    return pa.Table.from_pylist(random.Random(1).sample(rows, len(rows)), schema=ANSWERS)


def bits(same: int, different: int, score: float = 2.8) -> float:
    [lesson] = learn(answers(same, different, score)).to_pylist()
    assert (lesson["answers"], lesson["same"]) == (same + different, same)
    return float(lesson["bits"])


def write_initials(count: int, extra: Row | None = None) -> pa.Table:
    """Return records 2n and 2n + 1 of one person each, of whom the second one has only an initial."""
    rows = []
    for at in range(count):
        name = "".join("bdfgklmnrst"[int(digit)] + "aeiou"[int(digit) % 5] for digit in f"{at:03d}")
        one = {
            **ADAM,
            "last_name": name,
            "birth_date": None,
            "email": f"{name}@mail.example",
            "street": f"{at} {name} St",
        }
        rows += [one, one | {"first_name": "A."} | (extra or {})]
    return persons(*rows)


@given(same=st.integers(0, LEAST_ANSWERS - 1), score=st.floats(0, 3))
def test_few_answers_teach_nothing(same: int, score: float) -> None:
    assert bits(same, LEAST_ANSWERS - 1 - same, score) == 0


@pytest.mark.parametrize(("same", "different"), [(35, 5), (26, 4), (175, 25)])
def test_answers_as_expected_teach_nothing(same: int, different: int) -> None:
    assert bits(same, different) == 0


@given(same=st.integers(0, 300), different=st.integers(0, 300), score=st.floats(0, 3))
def test_answers_move_the_score_towards_their_share(same: int, different: int, score: float) -> None:
    if same + different:
        expected = 1 / (1 + 2**-score)
        added = bits(same, different, score)
        assert abs(added) <= MOST_BITS
        assert added * (same / (same + different) - expected) >= 0


def test_more_answers_teach_more() -> None:
    assert 0 < bits(40, 0) < bits(100, 0) <= MOST_BITS
    assert 0 > bits(10, 10) > bits(50, 50) > bits(0, 100) >= -MOST_BITS


def test_rule_that_is_always_right_links_the_other_pairs() -> None:
    records = write_initials(COUPLES)
    answered = decisions(*((2 * at + 1, 2 * at + 2, True) for at in range(COUPLES - 1)))
    taught = link(records, answered)
    assert people(taught)[2 * COUPLES] == 2 * COUPLES - 1
    assert people(link(records, answered, lessons=LESSONS.empty_table()))[2 * COUPLES] == 2 * COUPLES
    assert people(link(records, lessons=taught.lessons))[2] == 1


def test_contradictory_answers_teach_nothing() -> None:
    decided = [(2 * at + 1, 2 * at + 2) for at in range(COUPLES - 1)]
    both = decisions(*((*pair, is_same) for pair in decided for is_same in (True, False)))
    assert len(link(write_initials(COUPLES), both).lessons) == 0


def test_no_answers_join_people_with_other_tax_ids() -> None:
    rows = write_initials(COUPLES, {"first_name": "Adam"}).to_pylist()
    records = pa.Table.from_pylist(
        [row | dict(number(f"9{at * 7919 % 10**8:08d}")) for at, row in enumerate(rows, start=1)],
        schema=persons().schema,
    )
    answered = decisions(*((2 * at + 1, 2 * at + 2, True) for at in range(COUPLES - 1)))
    taught = link(records, answered)
    [lesson] = taught.lessons.to_pylist()
    assert lesson["rule"] == "other tax id"
    assert lesson["bits"] > 0
    assert people(taught)[2 * COUPLES] == 2 * COUPLES
    assert (2 * COUPLES - 1, 2 * COUPLES) in pairs(taught.review)
    assert max(taught.review["score"].to_pylist()) < Policy().link_score
