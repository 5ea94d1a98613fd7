"""Find copies of accounts: an account that one vendor manages and another vendor's plan also lists must count once."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.identity.record import ACCOUNTS, COPIES, LINKS, REVIEW, conform
from include.names.words import lexicon, plain

VALUE_RATIO = Decimal("0.1")
"""Allowed difference between two values of one account, because vendors price it on different days."""

_COMMON_WORDS = lexicon(
    "inc llc lp llp co company corp corporation na the and of services service brokerage investments investment institutional "
    "financial advisor advisors group bank trust retirement wealth management securities clearing custody"
)

# Accounts of different vendors that share a number, an owner and the last four digits, or an owner and a word of the institution. The
# smaller place is the original. A comparison is null if one of the values is unknown.
_MATCHES = """
with account as (
    select row_number() over (order by priority, account_id) as place, * from given
), key as (
    select place, vendor, hash('number', number_hash) as key from account where number_hash is not null
    union all select place, vendor, hash('last four', unnest(owners), number_last4) from account where number_last4 is not null
    union all select place, vendor, hash('word', owner, unnest(words)) from (select place, vendor, words, unnest(owners) as owner from account)
), pair as (
    select distinct l.place as original, r.place as copy from key l join key r on l.key = r.key and l.place < r.place and l.vendor <> r.vendor
), compared as (
    select l.account_id as original_id, r.account_id, l.place, r.place as copy_place, r.vendor,
           l.number_hash = r.number_hash as number, l.number_last4 = r.number_last4 as last_four,
           case when len(l.words) > 0 and len(r.words) > 0 then list_has_any(l.words, r.words) end as institution,
           case when len(l.owners) > 0 and len(r.owners) > 0 then list_has_any(l.owners, r.owners) end as owner,
           abs(l.value_usd - r.value_usd) <= {ratio} * greatest(abs(l.value_usd), abs(r.value_usd)) as value
    from pair join account l on l.place = pair.original join account r on r.place = pair.copy
), judged as (
    select *, case when number then 'key' else 'rule' end as how,
           case when number then owner is distinct from false
                when last_four and institution and owner then coalesce(value, false)
                else false end as is_sure
    from compared
    where number or (number is distinct from false and last_four is distinct from false
                     and owner and (last_four and institution or value and (last_four or institution)))
)
select account_id, original_id, {agreed} as agreed, {differed} as differed, how, is_sure, vendor
from judged order by not is_sure, -len(agreed), place, copy_place
"""
_COMPARED = {
    "number": "number",
    "last four": "last_four",
    "institution": "institution",
    "owner": "owner",
    "value": "value",
}
"""Name of a comparison, as reviewers read it -> column of the query."""


def link_accounts(accounts: pa.Table, apart: Collection[frozenset[int]] = ()) -> pa.Table:
    """Find the accounts that are copies of others.

    Args:
        accounts: Table with the schema `include.identity.record.ACCOUNTS`. Among copies, the account with the smallest `priority` (then id)
            is the original.
        apart: Pairs of account ids that a reviewer decided are two different accounts.

    Returns:
        COPIES: one row per copy, with its original and the reasons. If `is_sure` is false, a reviewer must decide; until then, both
        accounts count.
    """
    copies: dict[int, dict[str, Any]] = {}
    taken: set[tuple[int, str]] = set()
    for match in _find_matches(conform(accounts, ACCOUNTS)):
        copy, original = match["account_id"], match["original_id"]
        place = (original, match["vendor"])
        if frozenset((copy, original)) in apart:
            continue
        # An original has at most one copy per vendor, unless the account numbers are the same.
        if copy in copies or original in copies or (match["how"] != "key" and place in taken):
            continue
        copies[copy] = match
        taken.add(place)
    rows = [{name: match[name] for name in COPIES.names} for match in copies.values()]
    return pa.Table.from_pylist(sorted(rows, key=lambda match: match["account_id"]), schema=COPIES)


def _find_matches(accounts: pa.Table) -> list[dict[str, Any]]:
    """Return the pairs of accounts that are or may be copies, the most certain first."""
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
        matches = db.sql(_MATCHES.format(ratio=VALUE_RATIO, agreed=agreed, differed=differed)).to_arrow_table()
        return list(matches.to_pylist())


def read_words(institution: str | None) -> set[str]:
    """Return the distinctive words of an institution's name, such as `charles` and `schwab` for `Charles Schwab & Co., Inc.`."""
    words = re.split(r"[\s,&+-]+", plain(institution))
    return {word for word in words if word and word not in _COMMON_WORDS} or {word for word in words if word}


def find_copies(accounts: pa.Table, decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the copies of accounts, and the pairs to review, as LINKS and REVIEW: `left` is the original, `right` the copy.

    A reviewer's decision on a pair (`decisions`) overrides the rules.
    """
    decided = {frozenset((row["left"], row["right"])): row["is_same"] for row in decisions.to_pylist()}
    apart = {pair for pair, is_same in decided.items() if not is_same}
    sure, doubtful = {}, []
    for copy in link_accounts(accounts, apart).to_pylist():
        pair = {"left": copy["original_id"], "right": copy["account_id"], "score": None} | copy
        is_same = decided.pop(frozenset((pair["left"], pair["right"])), None)
        if is_same is None and not copy["is_sure"]:
            doubtful.append(pair)
        else:
            sure[pair["right"]] = pair | ({"how": "person"} if is_same else {})
    rank = {row["account_id"]: (row["priority"], row["account_id"]) for row in accounts.to_pylist()}
    for one in (pair for pair, is_same in decided.items() if is_same and pair <= rank.keys()):
        original, copy = sorted(one, key=rank.__getitem__)
        original = sure[original]["left"] if original in sure else original  # a copy is never an original
        sure |= {each: pair | {"left": original} for each, pair in sure.items() if pair["left"] == copy}
        sure[copy] = {"left": original, "right": copy, "score": None, "agreed": [], "differed": [], "how": "person"}
    return _build_links(list(sure.values())), conform(_build_links(doubtful), REVIEW)


def _build_links(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{name: row.get(name) for name in LINKS.names} for row in rows], schema=LINKS)
