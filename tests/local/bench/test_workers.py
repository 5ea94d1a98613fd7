"""What the benchmark of workers measures, and which results it refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from include.errors import BalanceError
from local.bench.workers import Round, _check

PULLS = [
    {"start_date": "2026-11-20T23:00:10Z", "end_date": "2026-11-20T23:00:14Z"},
    {"start_date": "2026-11-20T23:00:11Z", "end_date": "2026-11-20T23:00:20.5Z"},
]
ONE = Round(2.0, 1, 1, PULLS, 10, {}, {("a", "rows"): 8}, {"warehouse.position": Counter({(("units", 5),): 1})}, 0.5)
FOUR = replace(ONE, workers=4, answered=11)


def test_the_time_is_from_the_first_start_to_the_last_end() -> None:
    assert ONE.seconds == 10.5
    assert ONE.pulling_s == 4 + 9.5


def test_equal_rounds_pass_whatever_their_logins() -> None:
    _check([ONE, FOUR])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"violations": {"a minute": 1}}, "rate limit"),
        ({"calls": {("a", "rows"): 9}}, "different calls"),
        ({"warehouse": {"warehouse.position": Counter({(("units", 6),): 1})}}, "different rows"),
    ],
)
def test_a_round_that_differs_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BalanceError, match=message):
        _check([ONE, replace(FOUR, **change)])
