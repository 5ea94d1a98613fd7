"""Find copies of accounts: an account that one vendor manages and another vendor's plan also lists must count once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.identity import people
from include.identity.cluster import Clusters
from include.identity.people import Ints
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

_MATCHED = pa.schema(
    {"left_id": pa.int64(), "right_id": pa.int64(), **{name: COPIES.field(name).type for name in COPIES.names[2:]}}
)


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
    rows = _select_compared(accounts, found, decisions)
    ids = rows["account_id"].to_numpy()
    decided = _place_decisions(decisions, ids)
    matches = pa.concat_tables([_explain_decisions(ids[decided[True]], found), found])
    copy, original, match = _join(rows, matches, decided[False]).T
    reasons = matches.select(COPIES.names[2:]).take(pa.array(match))
    copies = pa.table([pa.array(ids[copy]), pa.array(ids[original]), *reasons.columns], schema=COPIES)
    return copies.sort_by("account_id")


def _select_compared(accounts: pa.Table, found: pa.Table, decisions: Iterable[frozenset[int]]) -> pa.Table:
    """Return the accounts that have a match or a decision, by priority and id. The position of an account in them is its place."""
    decided = np.array(list(itertools.chain(*decisions)), np.int64)
    ids = np.concatenate([found["left_id"].to_numpy(), found["right_id"].to_numpy(), decided])
    rows = accounts.filter(pc.is_in(accounts["account_id"], pa.array(ids)))
    return rows.sort_by([("priority", "ascending"), ("account_id", "ascending")])


def _place_decisions(decisions: Mapping[frozenset[int], bool], ids: Ints) -> dict[bool, Ints]:
    """Return the pairs of places of the decisions "same" (true) and "different", each sorted; without decisions on other accounts."""
    pairs = np.array([sorted(pair) for pair in decisions], np.int64).reshape(-1, 2)
    places = np.sort(people.find_positions(ids, pairs.ravel()).reshape(-1, 2))
    is_same, is_known = np.array(list(decisions.values()), np.bool_), places[:, 0] >= 0
    return {each: np.unique(places[is_known & (is_same == each)], axis=0) for each in (True, False)}


def _explain_decisions(pairs: Ints, found: pa.Table) -> pa.Table:
    """Return the pairs of account ids that a reviewer decided are one account as matches, with the reasons for which they were found."""
    wanted = dict.fromkeys(map(tuple, pairs.tolist()))
    ends = zip(found["left_id"].to_pylist(), found["right_id"].to_pylist(), strict=True) if wanted else ()
    at = {pair: at for at, pair in enumerate(ends) if pair in wanted}
    rows = [
        {"agreed": [], "differed": []}
        | (found.slice(at[pair], 1).to_pylist()[0] if pair in at else {})
        | {"left_id": pair[0], "right_id": pair[1], "how": "person", "is_sure": True}
        for pair in wanted
    ]
    return pa.Table.from_pylist(rows, schema=_MATCHED)


def _join(rows: pa.Table, matches: pa.Table, apart: Ints) -> Ints:
    """Join the records of each account in the order of the matches, of which the sure ones come first.

    Args:
        rows: The accounts that are compared, in the order of their places.
        matches: The matches, by account ids.
        apart: Pairs of places that a reviewer decided are different accounts.

    Returns:
        A row per copy: its place, that of its original, and the position of the match that made it a copy.
    """
    ids, records = rows["account_id"].to_numpy(), _Records(rows, apart.tolist())
    left, right = (people.find_positions(ids, matches[side].to_numpy()).tolist() for side in ("left_id", "right_id"))
    how, sure = matches["how"].to_pylist(), np.count_nonzero(matches["is_sure"].to_numpy())
    match_of = {copy: at for at in range(sure) if (copy := records.join(left[at], right[at], how[at])) is not None}
    copies = [(copy, records.find(copy), at) for copy, at in match_of.items()]
    doubtful = range(sure, len(matches))
    copies += [(right[at], left[at], at) for at in doubtful if records.join(left[at], right[at], how[at]) is not None]
    return np.array(copies, np.int64).reshape(-1, 3)


class _Records:
    """The records of each account. The first record of an account, by place, is the original.

    Args:
        rows: The accounts that are compared, in the order of their places.
        apart: Pairs of places that a reviewer decided are different accounts.
    """

    def __init__(self, rows: pa.Table, apart: Sequence[tuple[int, int]]) -> None:
        self._sets = Clusters(len(rows), (), apart)
        # A bit per vendor. A vendor lists an account once, but may list it under another key if it no longer lists the first record.
        coded = rows["vendor"].combine_chunks().dictionary_encode().indices.to_pylist()
        absent = rows["is_absent"].to_pylist()
        self._vendors = [0 if is_absent else 1 << code for code, is_absent in zip(coded, absent, strict=True)]

    def find(self, place: int) -> int:
        """Return the original of a record."""
        return self._sets.find(place)

    def join(self, left: int, right: int, how: str) -> int | None:
        """Make two records one account, and return the one that is a copy now.

        Return None if they are one already, or if a decision or a vendor's list keeps them apart.
        """
        original, copy = sorted((self.find(left), self.find(right)))
        is_listed_twice = how == "rule" and self._vendors[original] & self._vendors[copy]
        if original == copy or is_listed_twice or not self._sets.join(original, copy):
            return None
        if how != "person":
            self._vendors[original] |= self._vendors[copy]
        return copy


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
        found = db.sql(_MATCHES.format(ratio=VALUE_RATIO, agreed=agreed, differed=differed)).to_arrow_table()
        return found.cast(_MATCHED)


def read_words(institution: str | None) -> set[str]:
    """Return the distinctive words of an institution's name, such as `charles` and `schwab` for `Charles Schwab & Co., Inc.`."""
    words = re.split(r"[\s,&+-]+", plain(institution))
    return {word for word in words if word and word not in _COMMON_WORDS} or {word for word in words if word}


def identify_owners(accounts: pa.Table, clusters: pa.Table) -> pa.Table:
    """Return ACCOUNTS with each owner replaced by the record that represents the owner's person in CLUSTERS."""
    known, owners = people.represent(clusters), accounts["owners"].combine_chunks()
    ids, record = accounts["account_id"].to_numpy(), pc.list_flatten(owners).to_numpy()
    at = people.find_positions(known["record_id"].to_numpy(), record)
    person = np.where(at < 0, record, np.append(known["person_id"].to_numpy(), 0)[at])
    lists = list_owners(ids, ids[pc.list_parent_indices(owners).to_numpy()], person)
    return accounts.set_column(accounts.column_names.index("owners"), ACCOUNTS.field("owners"), lists)


def list_owners(ids: Ints, account: Ints, person: Ints) -> pa.ListArray:
    """Return the distinct owners of each of some accounts, from pairs of an account and a person. Pairs of other accounts are left out."""
    at = people.find_positions(ids, account)
    pairs = people.select_distinct_pairs(at, person)
    pairs = pairs[at[pairs] >= 0]
    ends = np.cumsum(np.bincount(at[pairs], minlength=len(ids)))
    return pa.ListArray.from_arrays(np.append(0, ends).astype(np.int32), pa.array(person[pairs]))


def find_copies(accounts: pa.Table, decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the copies of accounts, and the pairs to review, as LINKS and REVIEW: `left` is the original, `right` the copy.

    A reviewer's decision on a pair (`decisions`, with the schema DECISIONS) overrides the rules.
    """
    decided = {frozenset((row["left"], row["right"])): row["is_same"] for row in decisions.to_pylist()}
    copies = link_accounts(accounts, decided).rename_columns({"original_id": "left", "account_id": "right"})
    doubtful = copies.filter(pc.invert(copies["is_sure"]))
    return conform(copies.filter(copies["is_sure"]), LINKS), conform(doubtful, REVIEW)
