"""Clusters under constraints, whatever the chain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.identity.cluster import Clusters, Evidence, is_same_day, is_slip
from include.identity.graph import label

COUNT = 12
EDGES = st.lists(
    st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)).filter(lambda edge: edge[0] != edge[1]), max_size=40
)
TAX_IDS = st.lists(
    st.sampled_from([None, None, "900010001", "900010002", "901234567", "978112233"]), min_size=COUNT, max_size=COUNT
)
DATES = st.lists(
    st.sampled_from([None, None, "19510314", "19510315", "19530210", "19531002"]), min_size=COUNT, max_size=COUNT
)


@given(edges=EDGES, apart=EDGES, tax_ids=TAX_IDS, dates=DATES)
def test_no_chain_joins_what_cannot_be_one_person(
    edges: list[tuple[int, int]], apart: list[tuple[int, int]], tax_ids: list[str | None], dates: list[str | None]
) -> None:
    clusters = Clusters(
        COUNT, [Evidence("tax id", tax_ids, is_slip), Evidence("birth date", dates, is_same_day)], apart
    )
    for left, right in edges:
        joined = clusters.join(left, right)
        assert joined == (clusters.find(left) == clusters.find(right))
    for a, b in itertools.combinations(range(COUNT), 2):
        if clusters.find(a) == clusters.find(b):
            assert (
                tax_ids[a] is None
                or tax_ids[b] is None
                or tax_ids[a] == tax_ids[b]
                or is_slip(str(tax_ids[a]), str(tax_ids[b]))
            )
            assert (
                dates[a] is None
                or dates[b] is None
                or dates[a] == dates[b]
                or is_same_day(str(dates[a]), str(dates[b]))
            )
    assert all(clusters.find(a) != clusters.find(b) for a, b in apart)


@given(edges=EDGES, words=EDGES, tax_ids=TAX_IDS, dates=DATES)
def test_decision_against_the_evidence_removes_no_other_link(
    edges: list[tuple[int, int]],
    words: list[tuple[int, int]],
    tax_ids: list[str | None],
    dates: list[str | None],
) -> None:
    evidence = [Evidence("tax id", tax_ids, is_slip), Evidence("birth date", dates, is_same_day)]
    words = [word for word in words if not Clusters(COUNT, evidence).join(*word)]
    before, after = Clusters(COUNT, evidence), Clusters(COUNT, evidence)
    assert all(after.join(*word, is_decided=True) for word in words)
    for edge in edges:
        before.join(*edge)
        after.join(*edge)
    assert all(after.find(a) == after.find(b) for a, b in words)
    for a, b in itertools.combinations(range(COUNT), 2):
        if before.find(a) == before.find(b):
            assert after.find(a) == after.find(b)


@given(edges=EDGES)
def test_without_constraints_clusters_are_the_connected_components(edges: list[tuple[int, int]]) -> None:
    clusters = Clusters(COUNT, [])
    for edge in edges:
        assert clusters.join(*edge)
    for record in range(COUNT):
        assert clusters.find(record) <= record
        assert clusters.find(clusters.find(record)) == clusters.find(record)


def test_only_a_decision_overrides_the_evidence() -> None:
    clusters = Clusters(2, [Evidence("tax id", ["901234567", "978112233"], is_slip)])
    assert not clusters.join(0, 1)
    assert clusters.join(0, 1, is_decided=True)


def test_of_excused_values_that_of_more_records_counts() -> None:
    numbers = ["901234567", "978112233", "978112233", "901234567", "978112233"]
    clusters = Clusters(5, [Evidence("tax id", numbers, is_slip)])
    assert clusters.join(1, 2)
    assert not clusters.join(0, 1, excused=frozenset({"birth date"}))
    assert clusters.join(0, 1, excused=frozenset({"tax id"}))
    assert not clusters.join(0, 3)
    assert clusters.join(0, 4)


def test_of_two_decisions_not_the_same_wins() -> None:
    clusters = Clusters(3, [], apart=[(0, 2)])
    assert clusters.join(0, 1, is_decided=True)
    assert not clusters.join(1, 2, is_decided=True)


@pytest.mark.parametrize(
    ("left", "right", "is_one"),
    [
        ("901234567", "901234561", True),
        ("901234567", "901243567", True),
        ("901234567", "90123456", True),
        ("901234567", "901243576", False),
        ("901234567", "911234561", False),
        ("a" * 64, "a" * 63 + "b", False),
    ],
)
def test_slip_is_one_edit_of_a_number_and_none_of_a_hash(left: str, right: str, is_one: bool) -> None:
    assert is_slip(left, right) is is_slip(right, left) is is_one


@pytest.mark.parametrize(
    ("left", "right", "is_one"),
    [
        ("19510314", "19510315", True),
        ("19510304", "19510403", True),
        ("19510101", "19510314", True),
        ("19510314", "19810314", False),
        ("19510314", "19531002", False),
    ],
)
def test_dates_may_be_one_after_a_slip_but_not_across_a_generation(left: str, right: str, is_one: bool) -> None:
    assert is_same_day(left, right) is is_same_day(right, left) is is_one


MEMBERS = st.lists(
    st.one_of(st.none(), st.tuples(st.integers(0, 2), st.integers(0, 1))), min_size=COUNT, max_size=COUNT
)


@given(first=EDGES, second=EDGES, apart=EDGES, tax_ids=TAX_IDS, members=MEMBERS)
def test_separated_records_are_as_if_they_had_never_been_joined(
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
    apart: list[tuple[int, int]],
    tax_ids: list[str | None],
    members: list[tuple[int, int] | None],
) -> None:
    fresh, again = (Clusters(COUNT, [Evidence("tax id", tax_ids, is_slip)], apart, members) for _ in range(2))
    for at, (left, right) in enumerate(first):
        again.join(left, right, is_decided=at % 2 == 0)
    again.separate(range(COUNT))
    for clusters in (fresh, again):
        for left, right in second:
            clusters.join(left, right)
    for a, b in itertools.combinations(range(COUNT), 2):
        assert (fresh.find(a) == fresh.find(b)) == (again.find(a) == again.find(b))
        assert fresh.find_conflicts(a, b) == again.find_conflicts(a, b)


@given(
    edges=EDGES.map(lambda edges: edges[:12]),
    decided=EDGES.map(lambda edges: edges[:2]),
    apart=EDGES.map(lambda edges: edges[:2]),
    tax_ids=TAX_IDS,
    dates=DATES,
    members=MEMBERS,
)
def test_parts_joined_at_once_are_as_if_their_pairs_had_been_joined_one_by_one(
    edges: list[tuple[int, int]],
    decided: list[tuple[int, int]],
    apart: list[tuple[int, int]],
    tax_ids: list[str | None],
    dates: list[str | None],
    members: list[tuple[int, int] | None],
) -> None:
    evidence = [Evidence("tax id", tax_ids, is_slip), Evidence("birth date", dates, is_same_day)]
    by_pair, at_once = (Clusters(COUNT, evidence, apart, members) for _ in range(2))
    left, right = np.array(edges + decided, np.int64).reshape(-1, 2).T
    rest = at_once.join_parts(label(COUNT, (left, right)), np.array(decided + apart, np.int64).ravel())
    for clusters, chosen in ((by_pair, np.full(COUNT, True)), (at_once, rest)):
        for is_decided, pairs in ((True, decided), (False, edges)):
            for pair in pairs:
                if chosen[pair[0]]:
                    clusters.join(*pair, is_decided=is_decided)
    assert by_pair.find_all().tolist() == at_once.find_all().tolist() == [at_once.find(at) for at in range(COUNT)]
    for a, b in itertools.combinations(range(COUNT), 2):
        assert by_pair.find_conflicts(a, b) == at_once.find_conflicts(a, b)
        assert by_pair.join(a, b) == at_once.join(a, b)


def test_only_parts_that_nothing_separates_are_joined_at_once() -> None:
    clusters = Clusters(
        9, [Evidence("tax id", ["901234567", None, "901234567", "901234567", "978112233", *[None] * 4], is_slip)],
        apart=[(7, 8)], members=[*[None] * 5, (0, 5), (0, 6), None, None],
    )  # fmt: skip
    rest = clusters.join_parts(np.array([0, 0, 0, 3, 3, 5, 5, 7, 8]), np.array([7, 8]))
    assert clusters.find_all().tolist() == [0, 0, 0, 3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(rest).tolist() == [3, 4, 5, 6, 7, 8]
