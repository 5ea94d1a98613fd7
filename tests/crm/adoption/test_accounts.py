"""Accounts without a number are the same only if owner, custodian, type and open date agree."""

from __future__ import annotations

import pytest

from include.crm.adoption.accounts import match_accounts
from include.crm.adoption.evidence import Accounts, OurAccount, TheirAccount
from include.names.words import plain

OWNER = "001"


@pytest.mark.parametrize(
    ("theirs", "ours", "is_same"),
    [
        ("Roth IRA", "Roth IRA", True),
        ("Rollover IRA", "IRA Rollover", True),
        ("Roth IRA", "IRA Rollover", False),
        ("Brokerage", "Individual", False),
    ],
)
def test_the_type_of_an_account_without_a_number_agrees_in_each_word(theirs: str, ours: str, is_same: bool) -> None:
    custodian = frozenset(["fidelity"])
    one = OurAccount(7, "key", None, "1400", custodian, plain(ours), "2026-08-06", 3, frozenset(["p1"]))
    other = TheirAccount("a07", None, custodian, None, None, plain(theirs), "2026-08-06", None, (OWNER,))
    [unit] = match_accounts(Accounts([one], [other]), {OWNER: frozenset(["p1"])}, {}, "FinancialAccount", {})
    assert (unit.matches.only is not None) == is_same
