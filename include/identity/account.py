"""Find copies of accounts: an account that one vendor manages and another vendor's plan also lists must count once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.identity.record import ACCOUNTS, COPIES, conform
from include.names.words import lexicon, plain

VALUE_RATIO = Decimal("0.1")
"""Allowed difference between two values of one account, because vendors price it on different days."""

_COMMON_WORDS = lexicon(
    "inc llc lp llp co company corp corporation na the and of services service brokerage investments investment institutional "
    "financial advisor advisors group bank trust retirement wealth management securities clearing custody"
)

Account = Mapping[str, Any]


def link_accounts(accounts: pa.Table, apart: Collection[frozenset[int]] = ()) -> pa.Table:
    """Find the accounts that are copies of others.

    Args:
        accounts: As `include.identity.record.ACCOUNTS`. Among copies, the account with the smallest `priority` (then id) is the original.
        apart: Pairs of account ids that a reviewer decided are two different accounts.

    Returns:
        COPIES: one row per copy, with its original and the reasons. If `is_sure` is false, a reviewer must decide; until then, both
        accounts count.
    """
    rows = sorted(conform(accounts, ACCOUNTS).to_pylist(), key=lambda row: (row["priority"], row["account_id"]))
    order = {row["account_id"]: at for at, row in enumerate(rows)}
    matches = [
        match
        for left, right in _find_candidates(rows)
        if frozenset((left["account_id"], right["account_id"])) not in apart and (match := _compare(left, right))
    ]
    matches.sort(
        key=lambda match: (
            not match["is_sure"],
            -len(match["agreed"]),
            order[match["original_id"]],
            order[match["account_id"]],
        )
    )
    vendors = {row["account_id"]: row["vendor"] for row in rows}
    copies: dict[int, dict[str, Any]] = {}
    taken: set[tuple[int, str]] = set()
    for match in matches:
        copy, original = match["account_id"], match["original_id"]
        place = (original, vendors[copy])
        # An original has at most one copy per vendor, unless the account numbers are the same.
        if copy in copies or original in copies or (match["how"] != "key" and place in taken):
            continue
        copies[copy] = match
        taken.add(place)
    return pa.Table.from_pylist(sorted(copies.values(), key=lambda match: match["account_id"]), schema=COPIES)


def _find_candidates(rows: list[Account]) -> Iterator[tuple[Account, Account]]:
    """Yield the pairs (original, copy) of accounts of different vendors to compare.

    The two accounts share at least one of these:

    - the account number
    - an owner and the last four digits
    - an owner and a word of the institution's name
    """
    shared: dict[object, list[Account]] = defaultdict(list)
    for row in rows:
        if row["number_hash"]:
            shared[row["number_hash"]].append(row)
        for owner in row["owners"] or ():
            shared[owner, row["number_last4"]].append(row)
            for word in _words(row["institution"]):
                shared[owner, "at", word].append(row)
    seen: set[tuple[int, int]] = set()
    for together in shared.values():
        for at, left in enumerate(together):
            for right in together[at + 1 :]:
                pair = (left["account_id"], right["account_id"])
                if left["vendor"] != right["vendor"] and pair not in seen:
                    seen.add(pair)
                    yield left, right


def _compare(original: Account, copy: Account) -> dict[str, Any] | None:
    verdicts = {
        "number": _same(original["number_hash"], copy["number_hash"]),
        "last four": _same(original["number_last4"], copy["number_last4"]),
        "institution": _meet(_words(original["institution"]), _words(copy["institution"])),
        "owner": _meet(set(original["owners"] or ()), set(copy["owners"] or ())),
        "value": _near(original["value_usd"], copy["value_usd"]),
    }
    agreed = [name for name, verdict in verdicts.items() if verdict]
    differed = [name for name, verdict in verdicts.items() if verdict is False]
    match = {
        "account_id": copy["account_id"], "original_id": original["account_id"], "agreed": agreed, "differed": differed,
    }  # fmt: skip
    if "number" in agreed:
        return match | {"how": "key", "is_sure": "owner" not in differed}
    if "number" in differed or "last four" in differed:
        return None
    if {"last four", "institution", "owner"} <= set(agreed):
        return match | {"how": "rule", "is_sure": "value" in agreed}
    if {"owner", "value"} <= set(agreed) and {"last four", "institution"} & set(agreed):
        return match | {"how": "rule", "is_sure": False}
    return None


def _same(left: object, right: object) -> bool | None:
    return None if left is None or right is None else left == right


def _meet(left: set[Any], right: set[Any]) -> bool | None:
    return None if not left or not right else bool(left & right)


def _near(left: Decimal | None, right: Decimal | None) -> bool | None:
    if left is None or right is None:
        return None
    return abs(left - right) <= VALUE_RATIO * max(abs(left), abs(right))


def _words(institution: str | None) -> set[str]:
    """Return the distinctive words of an institution's name, such as `charles` and `schwab` for `Charles Schwab & Co., Inc.`."""
    words = re.split(r"[\s,&+-]+", plain(institution))
    return {word for word in words if word and word not in _COMMON_WORDS} or {word for word in words if word}
