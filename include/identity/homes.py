"""Match the households of matched persons in the warehouse, and store the result with its reasons."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.errors import TargetUnavailable
from include.identity import inputs, people, store
from include.identity.graph import Mask, grow
from include.identity.household import KEY_START, link_households, list_people
from include.identity.link import Matching
from include.identity.record import KNOWN, LINKS, REVIEW, TEXTS, conform
from include.identity.state import write_ids

Home = tuple[str, str]


def store_all_homes(
    db: sa.Connection, persons: pa.Table, clusters: pa.Table, linking: Future[pa.Table], run_id: str
) -> int:
    """Store all households as `link_households` matched them; return the number of households whose identity changed."""
    ids, known = inputs.read_households(db), inputs.read_known(db, "household")
    return _store(db, persons, clusters, linking.result(), ids, known, run_id)


def resolve_touched_homes(
    db: sa.Connection, graph: Homes, after: Matching, again: people.Ints | None, run_id: str
) -> int:
    """Match the households of the records that were matched again, and all that can depend on them; store them like `store_all_homes`.

    Two households can become one only through persons and household keys that they share, or if they were one before.

    Args:
        db: The database.
        graph: The households of the full run and of this run.
        after: The matching of persons of this run.
        again: Ids of households whose stored result may differ from that of the full run: those that the runs since then matched again.
        run_id: The run.
    """
    assert after.touched is not None
    stored = set() if again is None else set(again.tolist())
    marked, ids, known = graph.grow(graph.mark(after.touched)), pa.table({}), pa.table({})
    while True:
        ids = inputs.read_households(db, graph.list_homes(marked), stored)
        known = inputs.read_known(db, "household", ids["household_id"].to_pylist())
        others = set(known["record_id"].to_pylist()) - set(ids["household_id"].to_pylist())
        ids = pa.concat_tables([ids, inputs.read_households(db, (), others)])
        grown = graph.grow(marked | graph.mark_homes(ids))
        if (grown == marked).all():
            break
        marked = grown
    records = graph.list_records(marked)
    persons = inputs.read_persons(db, records)
    clusters = after.linked.clusters
    clusters = clusters.filter(pc.is_in(pc.abs(clusters["record_id"]), value_set=pa.array(records, pa.int64())))
    homes = link_households(persons, clusters, after.conventions.on)
    within = {*ids["household_id"].to_pylist(), *known["record_id"].to_pylist(), *stored}
    write_ids(db, "homes", np.array(sorted(within), np.int64))
    return _store(db, persons, clusters, homes, ids, known, run_id, within)


def _store(
    db: sa.Connection,
    persons: pa.Table,
    clusters: pa.Table,
    homes: pa.Table,
    ids: pa.Table,
    known: pa.Table,
    run_id: str,
    within: set[int] | None = None,
) -> int:
    own = _identify(homes, ids)
    if not own.all():
        raise TargetUnavailable(
            "Another load changed households meanwhile; try again", households=np.count_nonzero(own == 0)
        )
    taken = set(ids["household_id"].to_pylist())
    anchors = _map_households(homes["household_id"].to_numpy(), own, known, taken)
    changed = store.store_identities(db, "household", anchors, "members", run_id, within)
    links = _explain_households(persons, clusters, anchors, ids)
    store.store_reasons(db, "household", links, REVIEW.empty_table(), run_id, within)
    return changed


def _identify(rows: pa.Table, ids: pa.Table) -> people.Ints:
    """Return our id of the household of each row with `vendor` and `household`; 0 if there is none in `ids`."""
    names, known = (pc.binary_join_element_wise(each["vendor"], each["household"], ":") for each in (rows, ids))
    at = pc.index_in(names, value_set=known.combine_chunks()).fill_null(len(ids)).to_numpy()
    own: people.Ints = np.append(ids["household_id"].to_numpy(), 0)[at]
    return own


def _map_households(households: people.Ints, own: people.Ints, known: pa.Table, taken: set[int]) -> dict[int, int]:
    """Return the id of the household that represents each household, by household id; without those that represent themselves.

    The household with the smallest id represents the others. A household that represented one of them before continues to do so, even if
    the vendor no longer lists it.

    Args:
        households: Id of the matched household of each vendor's household, from `link_households`.
        own: Our id of each vendor's household.
        known: Table with the schema KNOWN: the representing household of each household before this run.
        taken: Our ids of all households; changed.
    """
    same: dict[int, list[int]] = defaultdict(list)
    for household, each in zip(households.tolist(), own.tolist(), strict=True):
        same[household].append(each)
    before = dict(zip(*(known[name].to_pylist() for name in KNOWN.names), strict=True))
    anchors: dict[int, int] = {}
    for one in sorted(same.values(), key=min):
        anchor = min({*one, *(before[each] for each in one if before.get(each, each) not in taken)})
        taken.add(anchor)
        anchors |= {each: anchor for each in one if each != anchor}
    return anchors


def _explain_households(persons: pa.Table, clusters: pa.Table, anchors: dict[int, int], ids: pa.Table) -> pa.Table:
    """Return the reasons for matched households, as LINKS.

    A household's people are counted in two groups: `agreed` has the number of those who also belong to a household that it was matched
    with, `differed` the number of the rest.
    """
    right, left = (np.array(list(each), np.int64) for each in (anchors, anchors.values()))
    lists = list_people(persons["record_id"], clusters)
    members = _identify(persons, ids)[pc.list_parent_indices(lists).to_numpy()]
    groups = np.append(left, 0)[people.find_positions(right, members)]
    groups = np.where(groups > 0, groups, members)
    agreed, differed = _count_shared(right, members, groups, lists.flatten().to_numpy())
    links = {
        "left": left,
        "right": right,
        "agreed": _describe(agreed),
        "differed": _describe(differed),
        "how": pa.array(np.where(agreed > 0, "members", "key"), pa.string()),
    }
    return conform(pa.table(links), LINKS)


def _count_shared(
    ids: people.Ints, members: people.Ints, groups: people.Ints, persons: people.Ints
) -> tuple[people.Ints, people.Ints]:
    """Return for each household how many of its persons also belong to another household of its group, and how many do not.

    Args:
        ids: Ids of the households to count.
        members: Household of each member.
        groups: Group of each member's household.
        persons: Person of each member.
    """
    pairs = people.select_distinct_pairs(members, persons)
    pairs = pairs[np.lexsort((persons[pairs], groups[pairs]))]
    one, person = groups[pairs], persons[pairs]
    is_next = (one[1:] == one[:-1]) & (person[1:] == person[:-1])  # another household of the group has the same person
    is_shared = (np.append(False, is_next) | np.append(is_next, False))[: len(pairs)]
    at = people.find_positions(ids, members[pairs])
    agreed, differed = (np.bincount(at[is_of & (at >= 0)], minlength=len(ids)) for is_of in (is_shared, ~is_shared))
    return agreed, differed


def _describe(counts: people.Ints) -> pa.Array:
    """Return numbers of people as reasons; an empty list for none."""
    coded = pa.array(counts).dictionary_encode()
    reasons = [[f"people ({count})"] if count else [] for count in coded.dictionary.to_pylist()]
    return pa.array(reasons, TEXTS).take(coded.indices)


class Homes:
    """The households of two runs, and the persons and keys that connect them.

    The first nodes are the households, including those that only a key names. The others are persons.
    """

    def __init__(self, before: Matching) -> None:
        none = np.array([], np.int64)
        self._names, self._persons = pa.array([], pa.string()), pa.array([], pa.int64())
        self._records = self._homes = self._members = self._holders = self._named = none
        self._add(_list_members(before))

    def add(self, after: Matching) -> None:
        """Add the records that were matched again, as they are now. All others are as they were."""
        assert after.touched is not None
        self._add(_list_members(after, pa.array(after.touched, pa.int64())))

    def _add(self, rows: pa.Table) -> None:
        rows = rows.filter(pc.fill_null(pc.match_substring(rows["home"], ":"), False)).combine_chunks()
        keys = rows["keys"].combine_chunks()
        listed, holders = pc.list_flatten(keys), pc.list_parent_indices(keys).to_numpy()
        # Most keys are of accounts, and the pattern is slow.
        is_home = pc.match_substring(listed, ":household:")
        is_home = pc.if_else(is_home, pc.match_substring_regex(pc.if_else(is_home, listed, None), KEY_START), False)
        named = pc.replace_substring(listed.filter(is_home), ":household:", ":", max_replacements=1)
        self._names, places = _number(self._names, pa.concat_arrays([rows["home"].combine_chunks(), named]))
        self._persons, members = _number(self._persons, rows["person_id"].combine_chunks())
        homes, named_homes = places[: len(rows)], places[len(rows) :]
        holders = homes[holders[is_home.to_numpy(zero_copy_only=False)]]
        self._records = np.concatenate([self._records, rows["record_id"].to_numpy()])
        self._homes = np.concatenate([self._homes, homes])
        self._members = np.concatenate([self._members, members])
        self._holders = np.concatenate([self._holders, holders])
        self._named = np.concatenate([self._named, named_homes])

    def mark(self, records: people.Ints) -> Mask:
        """Mark the households of some records."""
        marked = np.zeros(len(self._names) + len(self._persons), np.bool_)
        marked[self._homes[np.isin(self._records, records)]] = True
        return marked

    def mark_homes(self, households: pa.Table) -> Mask:
        """Mark HOUSEHOLDS."""
        names = pc.binary_join_element_wise(households["vendor"], households["household"], ":")
        marked = np.zeros(len(self._names) + len(self._persons), np.bool_)
        at = pc.drop_null(pc.index_in(names, value_set=self._names)).to_numpy()
        marked[at] = True
        return marked

    def grow(self, marked: Mask) -> Mask:
        """Return the marked nodes with all that may be one with them."""
        left = np.concatenate([self._homes, self._holders])
        right = np.concatenate([len(self._names) + self._members, self._named])
        return grow(marked, (left, right))

    def list_homes(self, marked: Mask) -> list[Home]:
        """Return the vendors and keys of the marked households."""
        names = self._names.filter(pa.array(marked[: len(self._names)])).to_pylist()
        return [(vendor, key) for vendor, _, key in (name.partition(":") for name in names)]

    def list_records(self, marked: Mask) -> list[int]:
        """Return the ids of the records in marked households."""
        return sorted({abs(record) for record in self._records[marked[self._homes]].tolist()})


def _number(known: pa.Array, values: pa.Array) -> tuple[pa.Array, people.Ints]:
    """Return the known values, which are distinct, followed by the new ones, and the position of each value in them."""
    coded = values.dictionary_encode()
    # To look up the known values among the new ones takes an index of the new ones only: few if many are known.
    at = pc.index_in(known, value_set=coded.dictionary)
    places = np.full(len(coded.dictionary), -1)
    places[pc.drop_null(at).to_numpy()] = np.flatnonzero(at.is_valid())
    is_new = places < 0
    places[is_new] = len(known) + np.arange(np.count_nonzero(is_new))
    known = pa.concat_arrays([known, coded.dictionary.filter(pa.array(is_new))])
    return known, places[coded.indices.to_numpy()]


def _list_members(matching: Matching, within: pa.Array | None = None) -> pa.Table:
    """Return the records with `home` (`<vendor>:<household>`), `person_id` and `keys`, which may be those of a household.

    Args:
        matching: The matching of the records.
        within: Ids of the records; None for all.
    """
    found, rows = matching.features, matching.organizations
    if within is not None:
        found, rows = (each.filter(pc.is_in(each["record_id"], value_set=within)) for each in (found, rows))
    homes = [found["household"], pc.binary_join_element_wise(rows["vendor"], rows["household"], ":")]
    keys = [found["shared_keys"], rows["strong_keys"]]
    ids = [found["record_id"], rows["record_id"]]
    record, home, key = (
        pa.chunked_array([c for each in columns for c in each.chunks], columns[0].type)
        for columns in (ids, homes, keys)
    )
    clusters = pa.concat_tables([matching.natural.clusters, matching.entities.clusters])
    at = people.find_positions(clusters["record_id"].to_numpy(), record.to_numpy())
    return pa.table(
        {"record_id": record, "home": home, "keys": key, "person_id": clusters["person_id"].take(pa.array(at))}
    )
