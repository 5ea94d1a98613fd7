"""The same account at several vendors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from include.identity.account import link_accounts
from include.identity.record import ACCOUNTS, DECISIONS
from include.identity.resolve import find_copies

MANAGED = {
    "account_id": 1, "vendor": "portfolio", "priority": 0, "number_hash": "a" * 64, "number_last4": "4321",
    "institution": "Sample Brothers & Co., Inc.", "owners": [10, 11], "value_usd": Decimal("250000.00"),
}  # fmt: skip
HELD = {
    "account_id": 2, "vendor": "planning", "priority": 1, "number_last4": "4321", "institution": "Sample Brothers Institutional",
    "owners": [10], "value_usd": Decimal("246100.00"),
}  # fmt: skip


def copies(*rows: dict[str, Any]) -> list[tuple[int, int, bool]]:
    table = link_accounts(pa.Table.from_pylist(list(rows), schema=ACCOUNTS))
    return [(row["account_id"], row["original_id"], row["is_sure"]) for row in table.to_pylist()]


def test_same_number_is_a_copy() -> None:
    assert copies(MANAGED, {**HELD, "number_hash": "a" * 64, "institution": None}) == [(2, 1, True)]


def test_last_four_institution_owner_and_value_make_a_copy() -> None:
    assert copies(MANAGED, HELD) == [(2, 1, True)]


def test_copy_lists_agreeing_features() -> None:
    [row] = link_accounts(pa.Table.from_pylist([MANAGED, HELD], schema=ACCOUNTS)).to_pylist()
    assert row["agreed"] == ["last four", "institution", "owner", "value"]
    assert row["how"] == "rule"


def test_value_far_away_needs_a_person() -> None:
    assert copies(MANAGED, {**HELD, "value_usd": Decimal("90000.00")}) == [(2, 1, False)]


@pytest.mark.parametrize("frozen", [{"is_unused": True}, {"is_absent": True, "value_usd": None}])
def test_copy_stays_one_after_the_last_value_of_its_vendor(frozen: dict[str, Any]) -> None:
    """The other vendor's value keeps changing, so the two values can no longer be compared."""
    moved = HELD | {"value_usd": Decimal("90000.00")} | frozen
    assert copies(MANAGED, moved) == [(2, 1, False)]
    assert copies(MANAGED | {"known_id": 1}, moved | {"known_id": 1}) == [(2, 1, True)]
    assert copies(MANAGED | frozen | {"known_id": 1}, HELD | {"value_usd": Decimal(1), "known_id": 1}) == [(2, 1, True)]
    assert copies(MANAGED | {"known_id": 1}, HELD | {"value_usd": Decimal(1), "known_id": 1}) == [(2, 1, False)]


def test_copy_stays_one_while_one_vendor_has_another_number() -> None:
    old, new = (
        {"number_hash": "a" * 64},
        {"number_hash": "b" * 64, "number_last4": "8765", "former_numbers": ["a" * 64, "4321"]},
    )
    for managed, held in ((MANAGED | new, HELD | old), (MANAGED | new, HELD), (MANAGED | old, HELD | new)):
        assert copies(managed, held) == [], "the last run did not join them"
        known = {"known_id": 1}
        assert copies(managed | known, held | known) == [(2, 1, True)]
        assert copies(managed | known, held | known | {"owners": [99]}) == [(2, 1, False)]


def test_number_that_another_account_of_the_vendor_has_now_is_of_that_account() -> None:
    renumbered = {"number_hash": "b" * 64, "number_last4": "8765", "former_numbers": ["a" * 64], "known_id": 1}
    other, held = MANAGED | {"account_id": 3}, HELD | {"number_hash": "a" * 64, "known_id": 1}
    assert copies(MANAGED | renumbered, other, held) == [(2, 3, True)]


def test_same_number_with_another_owner_needs_a_person() -> None:
    assert copies(MANAGED, {**HELD, "number_hash": "a" * 64, "owners": [99]}) == [(2, 1, False)]


def test_another_number_is_another_account() -> None:
    assert copies(MANAGED, {**HELD, "number_hash": "b" * 64}) == []


def test_another_institution_and_value_is_another_account() -> None:
    assert copies(MANAGED, {**HELD, "institution": "Specimen Savings", "value_usd": Decimal("10.00")}) == []


def test_another_persons_account_is_no_copy() -> None:
    assert copies(MANAGED, {**HELD, "owners": [99]}) == []


def test_two_vendors_copies_have_one_original() -> None:
    assert copies(MANAGED, HELD, {**HELD, "account_id": 3, "vendor": "goals"}) == [(2, 1, True), (3, 1, True)]


def test_two_accounts_of_one_vendor_are_not_copies_of_one() -> None:
    assert copies(MANAGED, HELD, {**HELD, "account_id": 3, "value_usd": Decimal("249000.00")}) == [(2, 1, True)]


def test_accounts_of_one_vendor_are_no_copies_of_each_other() -> None:
    assert copies(HELD, {**HELD, "account_id": 3}) == []


GOALS = {**HELD, "account_id": 3, "vendor": "goals"}


def originals(rows: list[dict[str, Any]], *decisions: tuple[int, int, bool]) -> dict[int, int]:
    """Map each copy to its original, as a run stores them."""
    decided = [dict(zip(DECISIONS.names, each, strict=True)) for each in decisions]
    found, _ = find_copies(pa.Table.from_pylist(rows, schema=ACCOUNTS), pa.Table.from_pylist(decided, schema=DECISIONS))
    return dict(zip(found["right"].to_pylist(), found["left"].to_pylist(), strict=True))


def test_copy_of_a_copy_has_the_first_original() -> None:
    """Two planners have the number, which the portfolio system masks."""
    numbered = {"number_hash": "a" * 64}
    assert originals([{**MANAGED, "number_hash": None}, HELD | numbered, GOALS | numbered]) == {2: 1, 3: 1}


def test_decision_different_counts_against_the_copies_of_a_decision_same() -> None:
    """Account 2 matches 1 by the rules, but a reviewer decided that it is account 3, which is not 1."""
    assert originals([MANAGED, HELD, GOALS], (1, 3, False), (2, 3, True)) == {3: 2}


def test_decision_same_takes_no_copy_along_that_another_decision_separates() -> None:
    """Account 3 matches 2 by the rules. A reviewer decided that 2 is 1, and that 3 is not 1."""
    other = {**MANAGED, "number_last4": "9999", "institution": "Specimen Savings"}
    assert originals(
        [other, {**MANAGED, "account_id": 2, "vendor": "custody"}, GOALS], (1, 2, True), (1, 3, False)
    ) == {2: 1}


def test_account_that_a_vendor_lists_again_under_another_key_is_a_copy() -> None:
    gone = {**HELD, "is_absent": True}
    assert copies(MANAGED, gone, {**HELD, "account_id": 3}) == [(2, 1, True), (3, 1, True)]
