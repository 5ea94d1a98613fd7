"""Results come in order, and one is computed ahead."""

from __future__ import annotations

import threading

import pytest

from include.staging.ahead import map_ahead


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(map_ahead(str, range(5))) == ["0", "1", "2", "3", "4"]
    assert list(map_ahead(str, [])) == []


def test_next_result_is_computed_while_the_caller_works_and_no_more_than_that() -> None:
    begun = [threading.Event() for _ in range(3)]

    def begin(place: int) -> int:
        begun[place].set()
        return place

    results = map_ahead(begin, range(3))
    assert next(results) == 0
    assert begun[1].wait(10)
    assert not begun[2].is_set()
    assert list(results) == [1, 2]


def test_error_is_raised_when_its_result_is_due() -> None:
    results = map_ahead(lambda n: 6 // n, [3, 2, 0, 1])
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
