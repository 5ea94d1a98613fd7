"""Resolve identities in the warehouse: read the vendors' persons, accounts and securities, match them, and store the result."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from include.contract import Vendor
from include.database import statistics
from include.identity import store
from include.identity.account import link_accounts
from include.identity.household import link_households
from include.identity.link import Linked, link, link_entities
from include.identity.policy import Policy
from include.identity.record import CLUSTERS, KNOWN, LINKS, REVIEW, conform
from include.identity.security import link_securities

ENTITIES = ("person", "legal_entity", "account")
"""Entities that reviewers decide on. Households follow from their members."""

_LAST = sa.text("select fingerprint from control.identity_run order by ended_at desc limit 1")
_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('identity'))")
_RECORD = sa.text("""
insert into control.identity_run (run_id, fingerprint, records, people, households, copies, review, changed, seconds)
values (:run_id, :fingerprint, :records, :people, :households, :copies, :review, :changed, :seconds)
on conflict (run_id) do update
set fingerprint = excluded.fingerprint, records = excluded.records, people = excluded.people, households = excluded.households,
    copies = excluded.copies, review = excluded.review, changed = excluded.changed, seconds = excluded.seconds,
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


def resolve(
    engine: sa.Engine, vendors: Sequence[Vendor], run_id: str, on: date, policy: Policy | None = None
) -> Resolved | None:
    """Match the persons, households, accounts and securities of all vendors. Return None if nothing changed since the last run.

    Args:
        engine: As the loading role.
        vendors: The declarations. They rank the vendors for each attribute.
        run_id: Id of the run.
        on: Day for which ages are computed; later birth dates are ignored.
        policy: Thresholds; None for the default.
    """
    statistics.refresh(engine)
    with engine.begin() as db:  # in one transaction, so that an earlier run can't overwrite the result of a later one
        return resolve_within(db, vendors, run_id, on, policy)


def resolve_within(
    db: sa.Connection, vendors: Sequence[Vendor], run_id: str, on: date, policy: Policy | None = None
) -> Resolved | None:
    """Do the same as `resolve`, in a transaction that the caller commits or rolls back; return None if nothing changed."""
    started, policy = time.perf_counter(), policy or Policy()
    db.execute(_ONE_AT_A_TIME)
    store.rank_vendors(db, vendors)
    securities = store.read_securities(db)
    persons, organizations = store.read_persons(db), store.read_legal_entities(db)
    decisions = {entity: store.read_decisions(db, entity) for entity in ENTITIES}
    settings = pa.Table.from_pylist([asdict(policy) | {"trusted": sorted(policy.trusted)}])
    # Without the accounts' owners: their person ids are results of matching, and depend only on the other inputs.
    fingerprint = store.fingerprint(
        [
            persons,
            organizations,
            store.read_accounts(db).drop_columns(["owners"]),
            securities,
            *decisions.values(),
            settings,
        ]
    )
    if db.scalar(_LAST) == fingerprint:
        return None
    linked = link(persons, decisions["person"], policy, known=store.read_known(db, "person"), on=on)
    changed = store.store_identities(db, "person", map_people(linked.clusters), "link", run_id)
    store.store_reasons(db, "person", linked.links, linked.review, run_id)
    entities = link_entities(organizations, decisions["legal_entity"], policy, store.read_known(db, "legal_entity"))
    changed += store.store_identities(db, "legal_entity", map_people(entities.clusters), "link", run_id)
    store.store_reasons(db, "legal_entity", entities.links, entities.review, run_id)
    homes = link_households(persons, linked.clusters, on)
    ids = store.read_household_ids(db)
    households = _map_households(homes, ids, store.read_known(db, "household"))
    changed += store.store_identities(db, "household", households, "members", run_id)
    store.store_reasons(
        db, "household", _explain_households(persons, linked, households, ids), REVIEW.empty_table(), run_id
    )
    accounts = store.read_accounts(db)
    copies, doubtful = find_copies(accounts, decisions["account"])
    originals = dict(zip(copies["right"].to_pylist(), copies["left"].to_pylist(), strict=True))
    changed += store.store_identities(db, "account", originals, "copy", run_id)
    store.store_reasons(db, "account", copies, doubtful, run_id)
    same, conflicts = link_securities(securities, _to_mapping(store.read_known(db, "security")))
    changed += store.store_identities(db, "security", same, "number", run_id)
    store.store_conflicts(db, conflicts, run_id)
    resolved = Resolved(
        records=persons.num_rows,
        people=len(set(linked.clusters["person_id"].to_pylist())),
        households=homes.num_rows - len(households),
        copies=copies.num_rows,
        securities=len(same),
        conflicts=len(conflicts),
        review=linked.review.num_rows + entities.review.num_rows + doubtful.num_rows,
        left_over=linked.left_over + entities.left_over,
        changed=changed,
    )
    seconds = round(time.perf_counter() - started, 3)
    db.execute(_RECORD, asdict(resolved) | {"run_id": run_id, "fingerprint": fingerprint, "seconds": seconds})
    return resolved


def _to_mapping(known: pa.Table) -> dict[int, int]:
    return dict(zip(*(known[name].to_pylist() for name in KNOWN.names), strict=True))


def map_people(clusters: pa.Table) -> dict[int, int]:
    """Return the id of the record that represents each record, by record id; records that represent themselves are left out.

    The second person of a joint record has no record of its own, and is also left out.
    """
    people: dict[int, list[int]] = defaultdict(list)
    for record, person in zip(*(clusters[name].to_pylist() for name in ("record_id", "person_id")), strict=True):
        if record > 0:
            people[person].append(record)
    anchors = {person: person if person > 0 else min(records) for person, records in people.items()}
    return {each: anchors[person] for person, records in people.items() for each in records if each != anchors[person]}


def _map_households(homes: pa.Table, ids: dict[tuple[str, str], int], known: pa.Table) -> dict[int, int]:
    """Return the id of the household that represents each household, by household id; without those that represent themselves.

    The household with the smallest id represents the others. A household that represented one of them before continues to do so, even if
    the vendor no longer lists it.

    Args:
        homes: HOUSEHOLDS from `link_households`.
        ids: (vendor, household key) -> our household id.
        known: KNOWN: the representing household of each household before this run.
    """
    same: dict[int, list[int]] = defaultdict(list)
    for row in homes.to_pylist():
        same[row["household_id"]].append(ids[row["vendor"], row["household"]])
    before = _to_mapping(known)
    taken, anchors = set(ids.values()), dict[int, int]()
    for one in sorted(same.values(), key=min):
        anchor = min({*one, *(before[each] for each in one if before.get(each, each) not in taken)})
        taken.add(anchor)
        anchors |= {each: anchor for each in one if each != anchor}
    return anchors


def _explain_households(
    persons: pa.Table, linked: Linked, households: dict[int, int], ids: dict[tuple[str, str], int]
) -> pa.Table:
    """Return the reasons for matched households, as LINKS.

    A household's people are counted in two groups: `agreed` has the number of those who also belong to a household that it was matched
    with, `differed` the number of the rest.
    """
    person_of = dict(zip(*(linked.clusters[name].to_pylist() for name in CLUSTERS.names), strict=True))
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
    return _build_links(rows)


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
