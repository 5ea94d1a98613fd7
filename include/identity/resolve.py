"""Resolve identities in the warehouse: read the vendors' persons, accounts and securities, match them, and store the result."""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.contract import Vendor
from include.database import statistics
from include.identity import inputs, people, store
from include.identity.account import find_copies, identify_owners
from include.identity.homes import Homes, resolve_touched_homes, store_all_homes
from include.identity.household import MEMBERS, link_households
from include.identity.link import Matching, link_entities, match_all
from include.identity.policy import Policy
from include.identity.record import KNOWN
from include.identity.relink import relink
from include.identity.security import link_securities
from include.identity.state import State, decode_state, fetch_state, write_ids, write_state

ENTITIES = ("person", "legal_entity", "account")
"""Entities that reviewers decide on. Households follow from their members."""

_MatchPersons = Callable[[], tuple[Matching, Callable[[str], int]]]
"""Returns the matching of persons, and the function that stores their households.

The second function gets the id of the run, and returns the number of households whose identity changed.
"""

MOST_CHANGED = 0.02
"""If a larger share of the persons changed, all records are matched."""

LEAST_CHANGED = 20
"""So many persons may change, however small the firm."""

_COUNT_JOINED = sa.text("select count(*) from warehouse.identity where entity = 'household' and recorded_to is null")
_LAST = sa.text("select fingerprint from control.identity_run order by ended_at desc limit 1")
_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('identity'))")
# Otherwise, the joins of all persons with their households and accounts are written to disk.
_MEMORY = sa.text("set local work_mem = '128MB'")
# Tables that this run has read are in memory, where a search by index is cheap. With the default cost, PostgreSQL reads a whole table instead
# to find a day's few thousand households.
_SEARCH = sa.text("set local random_page_cost = 1.1")
_RECORD = sa.text("""
insert into control.identity_run (run_id, fingerprint, records, people, households, copies, review, changed, matched, crowded, seconds)
values (:run_id, :fingerprint, :records, :people, :households, :copies, :review, :changed, :matched, :crowded, :seconds)
on conflict (run_id) do update
set fingerprint = excluded.fingerprint, records = excluded.records, people = excluded.people, households = excluded.households,
    copies = excluded.copies, review = excluded.review, changed = excluded.changed, matched = excluded.matched, crowded = excluded.crowded, seconds = excluded.seconds,
    ended_at = clock_timestamp()
""")


@dataclass(frozen=True, slots=True)
class Resolved:
    """Counts of a run.

    Attributes:
        records: Records of persons, of all vendors.
        people: People to whom these records belong.
        households: Distinct households.
        copies: Accounts that are copies of another vendor's account.
        securities: Securities that are represented by another vendor's record of the same security.
        conflicts: Security numbers that vendors use for different kinds of security.
        review: Pairs to review.
        left_over: Further pairs of persons and legal entities to review that did not fit into the queue.
        changed: Records whose identity changed.
        matched: Records of persons that were matched again; None if all were.
        crowded: Blocks of records of persons that were not compared with each other, because too many share their values.
    """

    records: int
    people: int
    households: int
    copies: int
    securities: int
    conflicts: int
    review: int
    left_over: int
    changed: int
    matched: int | None
    crowded: int


def resolve(
    engine: sa.Engine,
    vendors: Sequence[Vendor],
    run_id: str,
    on: date,
    policy: Policy | None = None,
    *,
    is_full: bool = False,
) -> Resolved | None:
    """Match the persons, households, accounts and securities of all vendors.

    If few persons changed, only these and their neighborhood are matched. All are matched if `is_full`, once a week, if many changed, and
    if the code or the thresholds changed. Return None if nothing changed since the last run and not all must be matched.

    Args:
        engine: As the loading role.
        vendors: The declarations. They rank the vendors for each attribute.
        run_id: Id of the run.
        on: Day for which ages are computed; later birth dates are ignored.
        policy: Thresholds; None for the default.
        is_full: Whether to match all records.
    """
    statistics.refresh(engine)
    # In one transaction, so that an earlier run can't overwrite the result of a later one.
    with engine.begin() as db, _pause_collector():
        return resolve_within(db, vendors, run_id, on, policy, is_full=is_full)


@contextmanager
def _pause_collector() -> Iterator[None]:
    """Pause the collection of cycles: matching makes millions of small objects without cycles, which the collector reads again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def resolve_within(
    db: sa.Connection,
    vendors: Sequence[Vendor],
    run_id: str,
    on: date,
    policy: Policy | None = None,
    *,
    is_full: bool = False,
) -> Resolved | None:
    """Do the same as `resolve`, in a transaction that the caller commits or rolls back."""
    started, policy = time.perf_counter(), policy or Policy()
    db.execute(_ONE_AT_A_TIME)
    db.execute(_MEMORY)
    store.rank_vendors(db, vendors)
    decisions = {entity: inputs.read_decisions(db, entity) for entity in ENTITIES}
    # One thread matches while this one reads from the database or writes to it.
    with ThreadPoolExecutor(1) as beside:
        contents = None if is_full else fetch_state(db, policy, on)
        is_daily = contents is not None
        digests, households, match_persons = _begin_persons(db, beside, contents, decisions["person"], policy, on)
        organizations, securities = inputs.read_legal_entities(db), inputs.read_securities(db)
        settings = pa.Table.from_pylist([asdict(policy) | {"trusted": sorted(policy.trusted)}])
        accounts = inputs.read_accounts(db)
        others = [organizations, securities, *decisions.values(), settings, accounts.drop_columns("known_id")]
        fingerprint = _fingerprint([digests, *others])
        if is_daily and db.scalar(_LAST) == fingerprint:
            return None
        if is_daily:
            db.execute(_SEARCH)
        matching, store_homes = match_persons()
        del match_persons  # it refers to what it matched
        linked = matching.linked
        copying = beside.submit(find_copies, identify_owners(accounts, linked.clusters), decisions["account"])
        changed = _store_persons(db, matching, run_id)
        entities = link_entities(
            organizations, decisions["legal_entity"], policy, inputs.read_known(db, "legal_entity")
        )
        changed += store.store_identities(db, "legal_entity", map_people(entities.clusters), "link", run_id)
        store.store_reasons(db, "legal_entity", entities.links, entities.review, run_id)
        same, conflicts = link_securities(securities, _to_mapping(inputs.read_known(db, "security")))
        changed += store.store_identities(db, "security", same, "number", run_id)
        store.store_conflicts(db, conflicts, run_id)
        changed += store_homes(run_id)
        del store_homes  # it refers to all households
        _store_state(db, matching, digests, run_id)
        copies, doubtful = copying.result()
    changed += _store_copies(db, copies, doubtful, run_id)
    resolved = Resolved(
        records=digests.num_rows,
        people=pc.count_distinct(linked.clusters["person_id"]).as_py(),
        households=households - (db.scalar(_COUNT_JOINED) or 0),
        copies=copies.num_rows,
        securities=len(same),
        conflicts=len(conflicts),
        review=linked.review.num_rows + entities.review.num_rows + doubtful.num_rows,
        left_over=linked.left_over + entities.left_over,
        changed=changed,
        matched=matching.count_matched(),
        crowded=len(matching.counts.crowded),
    )
    seconds = round(time.perf_counter() - started, 3)
    db.execute(_RECORD, asdict(resolved) | {"run_id": run_id, "fingerprint": fingerprint, "seconds": seconds})
    return resolved


def _begin_persons(
    db: sa.Connection,
    beside: Executor,
    contents: dict[str, bytes] | None,
    decisions: pa.Table,
    policy: Policy,
    on: date,
) -> tuple[pa.Table, int, _MatchPersons]:
    """Begin to match persons in another thread: those that changed since a full run, or all.

    Args:
        db: The database.
        beside: The other thread.
        contents: The state that a full run stored; None to match all persons.
        decisions: The reviewers' decisions on persons (schema DECISIONS).
        policy: The thresholds.
        on: Today's date.

    Returns:
        The digests of all persons, the number of their households, and the function that returns the matching.
    """
    decoding = beside.submit(decode_state, contents, policy) if contents else None
    graph = beside.submit(lambda: Homes(decoding.result().matching)) if decoding else None
    # Digests are read before the persons: a person that a load changes in between is matched again by the next run.
    (digests, households), known = inputs.read_digests(db), inputs.read_known(db, "person")
    if decoding and graph and (changes := _read_changes(db, before := decoding.result(), digests)):
        relinking = beside.submit(_relink, before, graph, *changes, decisions, known)
        return digests, households, partial(_end_relinking, db, relinking, before.homes)
    persons = [inputs.read_persons(db)]
    members = persons[0].select(MEMBERS)
    # Without a reference here, `match_all` frees what households don't need.
    matching = beside.submit(lambda: match_all(persons.pop(), decisions, policy, known=known, on=on))
    return digests, households, partial(_end_matching, db, beside, members, matching, on)


def _relink(
    before: State,
    graph: Future[Homes],
    changed: pa.Table,
    removed: Sequence[int],
    decisions: pa.Table,
    known: pa.Table,
) -> tuple[Matching, Homes]:
    after, homes = relink(before.matching, changed, removed, decisions, known=known, again=before.core), graph.result()
    homes.add(after)
    return after, homes


def _end_relinking(
    db: sa.Connection, relinking: Future[tuple[Matching, Homes]], again: people.Ints | None
) -> tuple[Matching, Callable[[str], int]]:
    matching, homes = relinking.result()
    return matching, partial(resolve_touched_homes, db, homes, matching, again)


def _end_matching(
    db: sa.Connection, beside: Executor, members: pa.Table, matching: Future[Matching], on: date
) -> tuple[Matching, Callable[[str], int]]:
    result = matching.result()
    clusters = result.linked.clusters
    linking = beside.submit(link_households, members, clusters, on)
    return result, partial(store_all_homes, db, members, clusters, linking)


def _read_changes(db: sa.Connection, before: State, digests: pa.Table) -> tuple[pa.Table, Sequence[int]] | None:
    """Return the persons that are new or changed, and the ids of those that no longer exist; None if all must be matched."""
    changes = _compare(before.digests, digests)
    if changes is None:
        return None
    altered, removed = changes
    changed = inputs.read_persons(db, altered)
    # The order of names of a vendor, and whether it lists registrations, are found by a full run.
    known = pa.array(before.matching.conventions.vendors, pa.string())
    is_known = pc.is_in(changed["vendor"], value_set=known)
    return (changed, removed) if pc.all(is_known, min_count=0).as_py() else None


def _store_persons(db: sa.Connection, matching: Matching, run_id: str) -> int:
    linked = matching.order(inputs.read_weights(db, matching.list_doubtful()))
    within = None if matching.touched is None else matching.touched.tolist()
    clusters = linked.clusters
    if matching.touched is not None:
        clusters = clusters.filter(pc.is_in(clusters["record_id"], value_set=pa.array(matching.touched)))
    changed = store.store_identities(db, "person", map_people(clusters), "link", run_id, within)
    store.store_reasons(db, "person", linked.links, linked.review, run_id, within)
    return changed


def _store_copies(db: sa.Connection, copies: pa.Table, doubtful: pa.Table, run_id: str) -> int:
    originals = dict(zip(copies["right"].to_pylist(), copies["left"].to_pylist(), strict=True))
    changed = store.store_identities(db, "account", originals, "copy", run_id)
    store.store_reasons(db, "account", copies, doubtful, run_id)
    return changed


def _store_state(db: sa.Connection, matching: Matching, digests: pa.Table, run_id: str) -> None:
    """Store what the next run needs of this one: all of a full run, or else the records whose result differs from it."""
    if matching.core is None:
        write_state(db, State(matching, digests))
        store.store_lessons(db, matching.natural.lessons, run_id)
    else:
        write_ids(db, "core", matching.core)


def _compare(before: pa.Table, after: pa.Table) -> tuple[list[int], list[int]] | None:
    """Return the ids of the new and changed persons, and of those that no longer exist; None if too many changed."""
    (old, was), (new, now) = ([table[name].to_numpy() for name in ("record_id", "digest")] for table in (before, after))
    at = people.find_positions(old, new)
    altered = new[(at < 0) | (was[at] != now)] if len(old) else new
    removed = old[people.find_positions(new, old) < 0]
    is_much = len(altered) + len(removed) > max(MOST_CHANGED * len(new), LEAST_CHANGED)
    return None if is_much else (altered.tolist(), removed.tolist())


def _fingerprint(tables: Sequence[pa.Table]) -> str:
    """Return a hash of all inputs, by which a run detects that no input has changed."""
    digest = hashlib.sha256()
    for table in tables:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        digest.update(sink.getvalue())
    return digest.hexdigest()


def _to_mapping(known: pa.Table) -> dict[int, int]:
    return dict(zip(*(known[name].to_pylist() for name in KNOWN.names), strict=True))


def map_people(clusters: pa.Table) -> dict[int, int]:
    """Return the id of the record that represents each record, by record id; records that represent themselves are left out."""
    known = people.represent(clusters)
    return _to_mapping(known.filter(pc.not_equal(known["record_id"], known["person_id"])))
