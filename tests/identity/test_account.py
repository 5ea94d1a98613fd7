"""The same account at several vendors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.identity.account import link_accounts
from include.identity.record import ACCOUNTS

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
