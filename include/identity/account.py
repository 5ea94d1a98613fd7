"""Find copies of accounts: an account that one vendor manages and another vendor's plan also lists must count once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.identity.cluster import Clusters
from include.identity.record import ACCOUNTS, COPIES, LINKS, REVIEW, conform
from include.names.words import lexicon, plain

VALUE_RATIO = Decimal("0.1")
"""Allowed difference between two values of one account, because vendors price it on different days."""

_COMMON_WORDS = lexicon(
    "inc llc lp llp co company corp corporation na the and of services service brokerage investments investment institutional "
    "financial advisor advisors group bank trust retirement wealth management securities clearing custody"
)

# Accounts of different vendors that share a number, an owner and the last four digits, or an owner and a word of the institution, or that the
# last run joined. A comparison is null if one of the values is unknown. A pair that the last run joined stays joined if one vendor's value no
# longer changes, or if one vendor's earlier number is the other's: at a custodian's conversion, vendors change the numbers on different days.
_MATCHES = """
with key as (
    select priority, account_id, vendor, hash('number', number_hash) as key from given where number_hash is not null
    union all select priority, account_id, vendor, hash('last four', unnest(owners), number_last4) from given where number_last4 is not null
    union all select priority, account_id, vendor, hash('word', owner, unnest(words))
    from (select priority, account_id, vendor, words, unnest(owners) as owner from given)
    union all select priority, account_id, vendor, hash('known', known_id) from given where known_id is not null
), pair as (
    select distinct l.account_id as left_id, r.account_id as right_id
    from key l join key r on l.key = r.key and l.vendor <> r.vendor and (l.priority, l.account_id) < (r.priority, r.account_id)
), compared as (
    select left_id, right_id, (l.priority, left_id, r.priority, right_id) as rank,
           l.number_hash = r.number_hash as number, l.number_last4 = r.number_last4 as last_four,
           case when len(l.words) > 0 and len(r.words) > 0 then list_has_any(l.words, r.words) end as institution,
           case when len(l.owners) > 0 and len(r.owners) > 0 then list_has_any(l.owners, r.owners) end as owner,
           abs(l.value_usd - r.value_usd) <= {ratio} * greatest(abs(l.value_usd), abs(r.value_usd)) as value,
           l.known_id = r.known_id and (l.is_absent or l.is_unused or r.is_absent or r.is_unused) as was_one,
           coalesce(l.known_id = r.known_id and (list_has_any(l.former_numbers, [r.number_hash, r.number_last4])
                                                 or list_has_any(r.former_numbers, [l.number_hash, l.number_last4])), false) as is_renumbered
    from pair join given l on l.account_id = left_id join given r on r.account_id = right_id
), judged as (
    select *, case when number then 'key' else 'rule' end as how,
           case when number or is_renumbered then owner is distinct from false
                when last_four and institution and owner then coalesce(value, false) or coalesce(was_one, false)
                else false end as is_sure
    from compared
    where number or is_renumbered or (number is distinct from false and last_four is distinct from false
                     and owner and (last_four and institution or value and (last_four or institution)))
)
select left_id, right_id, {agreed} as agreed, {differed} as differed, how, is_sure from judged order by not is_sure, -len(agreed), rank
"""
_COMPARED = {
    "number": "number",
    "last four": "last_four",
    "institution": "institution",
    "owner": "owner",
    "value": "value",
}
"""Name of a comparison, as reviewers read it -> column of the query."""

_RANKED = ["account_id", "vendor", "priority", "is_absent"]
_UNEXPLAINED: dict[str, Any] = {"agreed": [], "differed": []}


def link_accounts(accounts: pa.Table, decisions: Mapping[frozenset[int], bool] | None = None) -> pa.Table:
    """Find the accounts that are copies of others.

    Args:
        accounts: Table with the schema `include.identity.record.ACCOUNTS`. Among the records of one account, the one with the smallest
            `priority` (then id) is the original.
        decisions: Pairs of account ids -> whether a reviewer decided that they are one account. "Different" keeps two accounts apart even
            if both match a third one.

    Returns:
        COPIES: one row per copy, with its original and the reasons. If `is_sure` is false, a reviewer must decide; until then, both
        accounts count.
    """
    accounts, decisions = conform(accounts, ACCOUNTS), decisions or {}
    found = _find_matches(accounts)
    compared = {*found["left_id"].to_pylist(), *found["right_id"].to_pylist(), *itertools.chain(*decisions)}
    rows = accounts.select(_RANKED).filter(pc.is_in(accounts["account_id"], pa.array(compared, pa.int64()))).to_pylist()
    rows.sort(key=lambda row: (row["priority"], row["account_id"]))
    places = {row["account_id"]: place for place, row in enumerate(rows)}
    decided = _place_decisions(decisions, places)
    matches = {(places[match["left_id"]], places[match["right_id"]]): match for match in found.to_pylist()}
    records = _Records(rows, [pair for pair, is_same in decided.items() if not is_same])
    for pair in sorted(pair for pair, is_same in decided.items() if is_same):
        records.join(pair, _UNEXPLAINED | matches.get(pair, {}) | {"how": "person", "is_sure": True})
    for pair, match in matches.items():
        if match["is_sure"]:
            records.join(pair, match)
    pairs = [(copy, records.find(copy), match) for copy, match in records.reasons.items()]
    for (left, right), match in matches.items():
        if not match["is_sure"] and records.join((left, right), match):
            pairs.append((right, left, match))
    copies = [
        match | {"account_id": rows[copy]["account_id"], "original_id": rows[original]["account_id"]}
        for copy, original, match in pairs
    ]
    copies.sort(key=lambda copy: copy["account_id"])
    return pa.Table.from_pylist([{name: copy[name] for name in COPIES.names} for copy in copies], schema=COPIES)


class _Records:
    """The records of each account. The first record of an account, by place, is the original.

    Attributes:
        reasons: Copy -> the match that made it one.

    Args:
        rows: The records that are compared, by priority and id.
        apart: Pairs of places that a reviewer decided are different accounts.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], apart: Sequence[tuple[int, int]]) -> None:
        self.reasons: dict[int, dict[str, Any]] = {}
        self._sets = Clusters(len(rows), (), apart)
        # A vendor lists an account once, but may list it under another key if it no longer lists the first record.
        self._vendors = [set() if row["is_absent"] else {row["vendor"]} for row in rows]

    def find(self, place: int) -> int:
        """Return the original of a record."""
        return self._sets.find(place)

    def join(self, pair: tuple[int, int], match: dict[str, Any]) -> bool:
        """Make two records one account; return False if they are already, or if a decision or a vendor's list keeps them apart."""
        original, copy = sorted(map(self.find, pair))
        is_listed_twice = match["how"] == "rule" and self._vendors[original] & self._vendors[copy]
        if original == copy or is_listed_twice or not self._sets.join(original, copy):
            return False
        if match["how"] != "person":
            self._vendors[original] |= self._vendors[copy]
        self.reasons[copy] = match
        return True


def _place_decisions(
    decisions: Mapping[frozenset[int], bool], places: Mapping[int, int]
) -> dict[tuple[int, int], bool]:
    """Return the decisions by the places of their accounts; without decisions on other accounts."""
    at = ((sorted(places.get(each, -1) for each in pair), is_same) for pair, is_same in decisions.items())
    return {(left, right): is_same for (left, right), is_same in at if left >= 0}


def _find_matches(accounts: pa.Table) -> pa.Table:
    """Return the pairs of accounts that are or may be copies, the most certain first. `left_id` comes first by priority and id."""
    import duckdb

    coded = accounts["institution"].combine_chunks().dictionary_encode()
    words = pa.array([sorted(read_words(name)) for name in coded.dictionary.to_pylist()], pa.list_(pa.string()))
    given = accounts.append_column("words", words.take(coded.indices))
    named = {
        verdict: ", ".join(f"case when {column} is {verdict} then '{name}' end" for name, column in _COMPARED.items())
        for verdict in (True, False)
    }
    agreed, differed = (f"list_filter([{names}], lambda x: x is not null)" for names in named.values())
    with duckdb.connect(config={"threads": 2, "temp_directory": ""}) as db:
        db.register("given", given)
        return db.sql(_MATCHES.format(ratio=VALUE_RATIO, agreed=agreed, differed=differed)).to_arrow_table()


def read_words(institution: str | None) -> set[str]:
    """Return the distinctive words of an institution's name, such as `charles` and `schwab` for `Charles Schwab & Co., Inc.`."""
    words = re.split(r"[\s,&+-]+", plain(institution))
    return {word for word in words if word and word not in _COMMON_WORDS} or {word for word in words if word}


def find_copies(accounts: pa.Table, decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the copies of accounts, and the pairs to review, as LINKS and REVIEW: `left` is the original, `right` the copy.

    A reviewer's decision on a pair (`decisions`, with the schema DECISIONS) overrides the rules.
    """
    decided = {frozenset((row["left"], row["right"])): row["is_same"] for row in decisions.to_pylist()}
    copies = link_accounts(accounts, decided).rename_columns({"original_id": "left", "account_id": "right"})
    doubtful = copies.filter(pc.invert(copies["is_sure"]))
    return conform(copies.filter(copies["is_sure"]), LINKS), conform(doubtful, REVIEW)
