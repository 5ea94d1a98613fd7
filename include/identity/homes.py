"""Match the households of matched persons in the warehouse, and store the result with its reasons."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.identity import inputs, people, store
from include.identity.graph import Mask, grow
from include.identity.household import link_households
from include.identity.link import Matching
from include.identity.record import CLUSTERS, KNOWN, LINKS, REVIEW

Home = tuple[str, str]


def store_all_homes(
    db: sa.Connection, persons: pa.Table, clusters: pa.Table, linking: Future[pa.Table], run_id: str
) -> int:
    """Store all households as `link_households` matched them; return the number of households whose identity changed."""
    ids, known = inputs.read_households(db), inputs.read_known(db, "household")
    return _store(db, persons, clusters, linking.result(), ids, known, run_id)


def resolve_touched_homes(db: sa.Connection, graph: Homes, after: Matching, run_id: str) -> int:
    """Match the households of the records that were matched again, and all that can depend on them; store them like `store_all_homes`.

    Two households can become one only through persons and household keys that they share, or if they were one before.
    """
    assert after.touched is not None
    marked, ids, known = graph.grow(graph.mark(after.touched)), pa.table({}), pa.table({})
    while True:
        ids = inputs.read_households(db, graph.list_homes(marked))
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
    within = {*ids["household_id"].to_pylist(), *known["record_id"].to_pylist()}
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
    id_of = {(row["vendor"], row["household"]): row["household_id"] for row in ids.to_pylist()}
    households = _map_households(homes, id_of, known)
    changed = store.store_identities(db, "household", households, "members", run_id, within)
    links = _explain_households(persons, clusters, households, id_of)
    store.store_reasons(db, "household", links, REVIEW.empty_table(), run_id, within)
    return changed


def _map_households(homes: pa.Table, ids: dict[tuple[str, str], int], known: pa.Table) -> dict[int, int]:
    """Return the id of the household that represents each household, by household id; without those that represent themselves.

    The household with the smallest id represents the others. A household that represented one of them before continues to do so, even if
    the vendor no longer lists it.

    Args:
        homes: HOUSEHOLDS from `link_households`.
        ids: (vendor, household key) -> our household id.
        known: Table with the schema KNOWN: the representing household of each household before this run.
    """
    same: dict[int, list[int]] = defaultdict(list)
    for row in homes.to_pylist():
        same[row["household_id"]].append(ids[row["vendor"], row["household"]])
    before = dict(zip(*(known[name].to_pylist() for name in KNOWN.names), strict=True))
    taken, anchors = set(ids.values()), dict[int, int]()
    for one in sorted(same.values(), key=min):
        anchor = min({*one, *(before[each] for each in one if before.get(each, each) not in taken)})
        taken.add(anchor)
        anchors |= {each: anchor for each in one if each != anchor}
    return anchors


def _explain_households(
    persons: pa.Table, clusters: pa.Table, households: dict[int, int], ids: dict[tuple[str, str], int]
) -> pa.Table:
    """Return the reasons for matched households, as LINKS.

    A household's people are counted in two groups: `agreed` has the number of those who also belong to a household that it was matched
    with, `differed` the number of the rest.
    """
    person_of = dict(zip(*(clusters[name].to_pylist() for name in CLUSTERS.names), strict=True))
    members: dict[int, set[int]] = defaultdict(set)
    for record, *home in zip(
        *(persons[name].to_pylist() for name in ("record_id", "vendor", "household")), strict=True
    ):
        if tuple(home) in ids:
            members[ids[home[0], home[1]]] |= {person_of[each] for each in (record, -record) if each in person_of}
    together: dict[int, list[int]] = defaultdict(list)
    for each in members:
        together[households.get(each, each)].append(each)
    rows = []
    for each, anchor in households.items():
        others = set[int]().union(*(members[other] for other in together[anchor] if other != each))
        counts = {"agreed": len(members[each] & others), "differed": len(members[each] - others)}
        reasons = {name: [f"people ({count})"] if count else [] for name, count in counts.items()}
        how = "members" if counts["agreed"] else "key"
        rows.append({"left": anchor, "right": each, "score": None, "how": how} | reasons)
    return pa.Table.from_pylist([{name: row.get(name) for name in LINKS.names} for row in rows], schema=LINKS)


class Homes:
    """The households of two runs, and the persons and keys that connect them.

    The first nodes are the households, including those that only a key names. The others are persons.
    """

    def __init__(self, before: Matching, after: Matching) -> None:
        assert after.touched is not None
        touched = pa.array(after.touched, pa.int64())
        earlier = _list_members(before)
        rows = pa.concat_tables(
            [_list_members(after), earlier.filter(pc.is_in(earlier["record_id"], value_set=touched))]
        )
        rows = rows.filter(pc.fill_null(pc.match_substring(rows["home"], ":"), False)).combine_chunks()
        keys = rows["keys"].combine_chunks()
        listed, holders = pc.list_flatten(keys), pc.list_parent_indices(keys).to_numpy()
        is_home = pc.match_substring_regex(listed, "^[^:]*:household:")
        named = pc.replace_substring(listed.filter(is_home), ":household:", ":", max_replacements=1)
        names = pa.concat_arrays([rows["home"].combine_chunks(), named]).dictionary_encode()
        self._names, places = names.dictionary, names.indices.to_numpy()
        self._records, self._homes, named_homes = rows["record_id"].to_numpy(), places[: len(rows)], places[len(rows) :]
        persons = np.unique(rows["person_id"].to_numpy(), return_inverse=True)[1]
        holders = self._homes[holders[is_home.to_numpy(zero_copy_only=False)]]
        self._edges = (
            np.concatenate([self._homes, holders]),
            np.concatenate([len(self._names) + persons, named_homes]),
        )
        self._size = len(self._names) + len(persons)

    def mark(self, records: people.Ints) -> Mask:
        """Mark the households of some records."""
        marked = np.zeros(self._size, np.bool_)
        marked[self._homes[np.isin(self._records, records)]] = True
        return marked

    def mark_homes(self, households: pa.Table) -> Mask:
        """Mark HOUSEHOLDS."""
        names = pc.binary_join_element_wise(households["vendor"], households["household"], ":")
        marked = np.zeros(self._size, np.bool_)
        at = pc.drop_null(pc.index_in(names, value_set=self._names)).to_numpy()
        marked[at] = True
        return marked

    def grow(self, marked: Mask) -> Mask:
        """Return the marked nodes with all that may be one with them."""
        return grow(marked, self._edges)

    def list_homes(self, marked: Mask) -> list[Home]:
        """Return the vendors and keys of the marked households."""
        names = self._names.filter(pa.array(marked[: len(self._names)])).to_pylist()
        return [(vendor, key) for vendor, _, key in (name.partition(":") for name in names)]

    def list_records(self, marked: Mask) -> list[int]:
        """Return the ids of the records in marked households."""
        return sorted({abs(record) for record in self._records[marked[self._homes]].tolist()})


def _list_members(matching: Matching) -> pa.Table:
    """Return all records with `home` (`<vendor>:<household>`), `person_id` and `keys`, which may be those of a household."""
    found, rows = matching.features, matching.organizations
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
