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


def test_an_account_without_a_number_is_a_doubt_if_its_sibling_is_as_likely() -> None:
    """The org may have the sibling twice: once with its number and once without."""
    ours = [
        OurAccount(
            n, f"key{n}", f"hash{n}", f"140{n}", frozenset(["fidelity"]), "roth ira", "2026-08-06", 3, frozenset(["p1"])
        )
        for n in (1, 2)
    ]
    theirs = [
        TheirAccount("a01", None, frozenset(["fidelity"]), hash_, None, "roth ira", "2026-08-06", None, (OWNER,))
        for hash_ in ("hash1", None)
    ]
    accounts = Accounts(ours, theirs, [(theirs[0], ours[0])])
    numbered, other = match_accounts(accounts, {OWNER: frozenset(["p1"])}, {}, "FinancialAccount", {})
    assert numbered.matches.only is not None
    assert (other.matches.same, [each.external_key for each in other.matches.doubts]) == ([], ["key2"])


def test_of_siblings_the_one_that_the_org_lacks_stays_a_candidate() -> None:
    """Otherwise the sync would create it, although the record without a number may be it."""
    ours = [
        OurAccount(n, f"key{n}", f"hash{n}", f"140{n}", frozenset(["fidelity"]), "roth ira", day, 3, frozenset(["p1"]))
        for n, day in ((1, "2026-08-06"), (2, "2026-08-07"))
    ]
    theirs = [
        TheirAccount(id_, None, frozenset(["fidelity"]), hash_, None, "roth ira", "2026-08-06", None, (OWNER,))
        for id_, hash_ in (("a01", "hash1"), ("a02", None))
    ]
    accounts = Accounts(ours, theirs, [(theirs[0], ours[0])])
    _, other = match_accounts(accounts, {OWNER: frozenset(["p1"])}, {}, "FinancialAccount", {})
    assert (other.matches.same, [each.external_key for each in other.matches.doubts]) == ([], ["key2"])
