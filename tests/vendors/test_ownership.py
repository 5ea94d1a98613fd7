"""Shares of accounts: several households, nested groups and parts never add up to more than the whole."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.vendors.ownership import Edge, shares_of

ACCOUNTS, GROUPS, HOUSEHOLDS = ("A1", "A2", "A3"), ("G1", "G2", "G3"), ("H1", "H2", "H3", "H4", "H5", "H6")
PARTS = st.sampled_from([Decimal(1), Decimal("0.6"), Decimal("0.5"), Decimal("0.3333"), Decimal("0.000001")])
EDGES = st.lists(
    st.one_of(
        st.builds(Edge, st.sampled_from(ACCOUNTS), st.just(True), PARTS),
        st.builds(Edge, st.sampled_from(GROUPS), st.just(False), PARTS),
    ),
    max_size=4,
)
HELD = st.dictionaries(st.sampled_from(HOUSEHOLDS), EDGES, max_size=6)
GROUPED = st.dictionaries(st.sampled_from(GROUPS), EDGES, max_size=3)
ONE = Decimal(1)


def account(name: str, part: str = "1") -> Edge:
    return Edge(name, True, Decimal(part))


def group(name: str, part: str = "1") -> Edge:
    return Edge(name, False, Decimal(part))


@settings(max_examples=300, deadline=None)
@given(HELD, GROUPED)
def test_nothing_is_owned_more_than_once(households: dict[str, Any], groups: dict[str, Any]) -> None:
    for shares in shares_of(households, groups).values():
        assert sum(shares.values()) <= ONE
        assert all(0 <= share <= ONE for share in shares.values())


@settings(max_examples=200, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=6))
def test_shares_come_to_what_the_parts_do_and_at_most_to_the_whole(parts: list[Decimal]) -> None:
    accounts = {household: [account("A", str(part))] for household, part in zip(HOUSEHOLDS, parts, strict=False)}
    [shares] = shares_of(accounts, {}).values()
    assert sum(shares.values()) == min(sum(parts), ONE)
    # Owners with the same stated part have the same share, up to rounding of the last digit.
    for one, part in zip(HOUSEHOLDS, parts, strict=False):
        for other, same in zip(HOUSEHOLDS, parts, strict=False):
            assert part != same or abs(shares[one] - shares[other]) <= Decimal("0.00000006")


@settings(max_examples=200, deadline=None)
@given(HELD, GROUPED)
def test_shares_fit_eight_digits(households: dict[str, Any], groups: dict[str, Any]) -> None:
    for shares in shares_of(households, groups).values():
        assert all(share == round(share, 8) for share in shares.values())


@settings(max_examples=200, deadline=None)
@given(HELD, GROUPED, st.randoms(use_true_random=False))
def test_order_does_not_matter(households: dict[str, Any], groups: dict[str, Any], draw: Any) -> None:
    def mixed(edges: dict[str, Any]) -> dict[str, Any]:
        names = draw.sample(list(edges), len(edges))
        return {name: draw.sample(edges[name], len(edges[name])) for name in names}

    assert shares_of(mixed(households), mixed(groups)) == shares_of(households, groups)


@settings(max_examples=200, deadline=None)
@given(HELD, GROUPED)
def test_repeated_membership_counts_once(households: dict[str, Any], groups: dict[str, Any]) -> None:
    def twice(edges: dict[str, Any]) -> dict[str, Any]:
        return {name: [*accounts, *accounts] for name, accounts in edges.items()}

    assert shares_of(twice(households), twice(groups)) == shares_of(households, groups)


@settings(max_examples=200, deadline=None)
@given(HELD, GROUPED)
def test_groups_that_no_household_holds_change_nothing(households: dict[str, Any], groups: dict[str, Any]) -> None:
    beside = groups | {"of billing": [account(name, "0.5") for name in ACCOUNTS]}
    assert shares_of(households, beside) == shares_of(households, groups)


def test_group_within_a_group_reaches_its_accounts() -> None:
    groups = {"G1": [account("A1"), group("G2")], "G2": [account("A2")]}
    assert shares_of({"H": [group("G1")]}, groups) == {"A1": {"H": ONE}, "A2": {"H": ONE}}


def test_parts_on_the_way_are_multiplied() -> None:
    groups = {"G1": [group("G2", "0.5")], "G2": [account("A", "0.6")]}
    assert shares_of({"H": [group("G1", "0.5")]}, groups) == {"A": {"H": Decimal("0.15")}}


@pytest.mark.parametrize("ways", [["0.4", "0.7"], ["0.7", "0.4"]])
def test_of_several_ways_the_largest_counts(ways: list[str]) -> None:
    assert shares_of({"H": [account("A", way) for way in ways]}, {}) == {"A": {"H": Decimal("0.7")}}


def test_two_households_that_both_claim_the_whole_share_it() -> None:
    half = Decimal("0.5")
    assert shares_of({"H1": [account("A")], "H2": [account("A")]}, {}) == {"A": {"H1": half, "H2": half}}


def test_what_is_owned_in_part_stays_a_part() -> None:
    assert shares_of({"H1": [account("A", "0.3")]}, {}) == {"A": {"H1": Decimal("0.3")}}


def test_groups_that_hold_each_other_end() -> None:
    groups = {"G1": [group("G2"), account("A1")], "G2": [group("G1"), account("A2")]}
    assert shares_of({"H": [group("G1")]}, groups) == {"A1": {"H": ONE}, "A2": {"H": ONE}}


def test_unknown_group_holds_nothing() -> None:
    assert shares_of({"H": [group("gone")]}, {}) == {}
