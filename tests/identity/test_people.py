"""Ids of people from run to run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from include.identity.people import assign_ids, represent, select_distinct_pairs, sort_by_rank
from include.identity.record import CLUSTERS, KNOWN


def named(groups: list[list[int]], before: list[list[int]]) -> dict[int, int]:
    """Map each record to its person, given the people `before` (each named by its smallest record)."""
    ids = sort_by_rank(np.array([record for group in groups for record in group], dtype=np.int64))
    place = {record: at for at, record in enumerate(ids.tolist())}
    first = {record: min(map(place.__getitem__, group)) for group in groups for record in group}
    roots = np.array([first[record] for record in ids.tolist()], dtype=np.int64)
    clusters = [{"record_id": record, "person_id": min(group)} for group in before for record in group]
    table = assign_ids(ids, roots, pa.Table.from_pylist(clusters, schema=KNOWN))
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_second_person_of_a_joint_record_comes_after_the_first() -> None:
    assert sort_by_rank(np.array([3, -3, -1, 2, 1])).tolist() == [1, -1, 2, 3, -3]


def test_person_keeps_the_id_when_an_older_record_joins() -> None:
    assert named([[1, 5, 6]], [[5, 6]]) == {1: 5, 5: 5, 6: 5}


def test_of_two_people_that_become_one_the_smaller_id_stays() -> None:
    assert named([[4, 5, 8, 9]], [[4, 9], [5, 8]]) == dict.fromkeys([4, 5, 8, 9], 4)


def test_of_one_that_becomes_two_the_record_that_names_it_keeps_the_id() -> None:
    assert named([[4], [5, 8, 9]], [[4, 5, 8, 9]]) == {4: 4, 5: 5, 8: 5, 9: 5}


def test_without_that_record_most_of_the_others_keep_it() -> None:
    assert named([[5], [8, 9]], [[4, 5, 8, 9]]) == {5: 5, 8: 4, 9: 4}


def test_a_person_is_represented_by_the_record_of_its_id_or_else_by_its_smallest_record() -> None:
    """Person -3 is the second person of record 3, and has the records 9 and 8; person 4 was named after a record that no longer exists."""
    clusters = pa.table([[9, 3, -3, 8, 5, 7], [-3, 3, -3, -3, 4, 4]], schema=CLUSTERS)
    represented = represent(clusters).to_pylist()
    assert [(row["record_id"], row["person_id"]) for row in represented] == [(3, 3), (5, 4), (7, 4), (8, 8), (9, 8)]


LABELS = st.lists(st.integers(0, 4), min_size=8, max_size=8)


def group(labels: list[int]) -> list[list[int]]:
    return [[at + 1 for at, label in enumerate(labels) if label == each] for each in sorted(set(labels))]


@given(now=LABELS, then=LABELS)
def test_two_people_never_share_an_id(now: list[int], then: list[int]) -> None:
    who = named(group(now), group(then))
    for records in group(now):
        assert len({who[record] for record in records}) == 1
    assert len(set(who.values())) == len(group(now))


@given(now=LABELS, then=LABELS)
def test_ids_of_people_do_not_depend_on_changes_of_others(now: list[int], then: list[int]) -> None:
    """Records 1 to 8 and 1001 to 1008 are of different people, who are named together as they are alone."""
    one, other = ([([record + by for record in each], each) for each in group(now)] for by in (0, 1000))
    before = [[record + by for record in each] for by in (0, 1000) for each in group(then)]
    together = named([each for each, _ in (*one, *other)], before)
    alone = named(group(now), group(then))
    assert together == alone | {record + 1000: person + 1000 for record, person in alone.items()}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_of_equal_pairs_the_last_one_is_selected(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    last = {pair: at for at, pair in enumerate(pairs)}
    assert select_distinct_pairs(left, right).tolist() == [last[pair] for pair in sorted(last)]
