"""Use a second core: compute the next item of a sequence in a thread while the caller works on the current one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the result of a function for each item, in order, computing one result ahead.

    An error of the function is raised when its result is due.
    """
    if len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        following: Future[Result] | None = None
        for item in items:
            current, following = following, pool.submit(function, item)
            if current is not None:
                yield current.result()
        assert following is not None
        yield following.result()
