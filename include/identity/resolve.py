"""Who is who, in the warehouse: reads what vendors say of persons, accounts and securities, links it, and keeps the result."""

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
from include.identity import store as kept
from include.identity.account import link_accounts
from include.identity.household import link_households
from include.identity.link import Linked, link
from include.identity.policy import Policy
from include.identity.record import CLUSTERS, KNOWN, LINKS
from include.identity.security import link_securities

ENTITIES = ("person", "account")
"""What persons decide on; whose household is whose follows from the people in it."""

_LAST = sa.text("select fingerprint from control.identity_run order by ended_at desc limit 1")
_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('identity'))")
_NOTE = sa.text("""
insert into control.identity_run (run_id, fingerprint, records, people, households, copies, review, changed, seconds)
values (:run_id, :fingerprint, :records, :people, :households, :copies, :review, :changed, :seconds)
on conflict (run_id) do update
set fingerprint = excluded.fingerprint, records = excluded.records, people = excluded.people, households = excluded.households,
    copies = excluded.copies, review = excluded.review, changed = excluded.changed, seconds = excluded.seconds,
    ended_at = clock_timestamp()
""")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a run found.

    Attributes:
        records: Of persons, of all vendors.
        people: Who they are.
        households: Which the vendors' households are.
        copies: Accounts that are another vendor's, listed again.
        securities: Securities that another one identifies.
        conflicts: Numbers of securities that vendors use for different kinds of thing.
        review: Pairs that a person should look at.
        left_over: Further such pairs of persons, for which the queue has no room.
        changed: Records that are of another than before.
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
    """Links the persons, households, accounts and securities of all vendors; None where nothing changed since the last time.

    Args:
        engine: As the loading role.
        vendors: Say whose word counts first.
        run_id: Names the run.
        on: Day for which age is reckoned, and after which nobody is born.
        policy: Thresholds; the default where None.
    """
    statistics.refresh(engine)
    with engine.begin() as db:  # one: a run that began earlier must not write over what a later one found
        return resolve_within(db, vendors, run_id, on, policy)


def resolve_within(
    db: sa.Connection, vendors: Sequence[Vendor], run_id: str, on: date, policy: Policy | None = None
) -> Resolved | None:
    """Does as `resolve` within a transaction, which the caller commits or rolls back."""
    started, policy = time.perf_counter(), policy or Policy()
    db.execute(_ONE_AT_A_TIME)
    kept.rank_vendors(db, vendors)
    securities = kept.read_securities(db)
    persons, said = kept.read_persons(db), {entity: kept.read_decisions(db, entity) for entity in ENTITIES}
    chosen = pa.Table.from_pylist([asdict(policy) | {"trusted": sorted(policy.trusted)}])
    # Owners are people, so they follow from the rest.
    seen = kept.fingerprint(
        [persons, kept.read_accounts(db).drop_columns(["owners"]), securities, *said.values(), chosen]
    )
    if db.scalar(_LAST) == seen:
        return None
    linked = link(persons, said["person"], policy, known=kept.read_known(db, "person"), on=on)
    changed = kept.store(db, "person", _people(linked), "link", run_id)
    kept.store_reasons(db, "person", linked.links, linked.review, run_id)
    homes = link_households(persons, linked.clusters, on)
    ids = kept.household_ids(db)
    households = _households(homes, ids, kept.read_known(db, "household"))
    changed += kept.store(db, "household", households, "members", run_id)
    kept.store_reasons(db, "household", _why(persons, linked, households, ids), LINKS.empty_table(), run_id)
    accounts = kept.read_accounts(db)
    copies, doubtful = _copies(accounts, said["account"])
    changed += kept.store(db, "account", dict(zip(*_ends(copies), strict=True)), "copy", run_id)
    kept.store_reasons(db, "account", copies, doubtful, run_id)
    same, conflicts = link_securities(securities, _as_mapping(kept.read_known(db, "security")))
    changed += kept.store(db, "security", same, "number", run_id)
    kept.store_conflicts(db, conflicts, run_id)
    found = Resolved(
        records=persons.num_rows,
        people=len(set(linked.clusters["person_id"].to_pylist())),
        households=homes.num_rows - len(households),
        copies=copies.num_rows,
        securities=len(same),
        conflicts=len(conflicts),
        review=linked.review.num_rows + doubtful.num_rows,
        left_over=linked.left_over,
        changed=changed,
    )
    seconds = round(time.perf_counter() - started, 3)
    db.execute(_NOTE, asdict(found) | {"run_id": run_id, "fingerprint": seen, "seconds": seconds})
    return found


def _as_mapping(known: pa.Table) -> dict[int, int]:
    return dict(zip(*(known[name].to_pylist() for name in KNOWN.names), strict=True))


def _people(linked: Linked) -> dict[int, int]:
    """Records that another stands for. The second person of a record that names two has no record of its own."""
    people: dict[int, list[int]] = defaultdict(list)
    for record, person in zip(*(linked.clusters[name].to_pylist() for name in ("record_id", "person_id")), strict=True):
        if record > 0:
            people[person].append(record)
    anchors = {person: person if person > 0 else min(records) for person, records in people.items()}
    return {each: anchors[person] for person, records in people.items() for each in records if each != anchors[person]}


def _households(homes: pa.Table, ids: dict[tuple[str, str], int], known: pa.Table) -> dict[int, int]:
    """Households that another stands for: of those that are one, the one that we knew first, also if it is gone by now."""
    same: dict[int, list[int]] = defaultdict(list)
    for row in homes.to_pylist():
        same[row["household_id"]].append(ids[row["vendor"], row["household"]])
    before = _as_mapping(known)
    taken, found = set(ids.values()), dict[int, int]()
    for one in sorted(same.values(), key=min):
        anchor = min({*one, *(before[each] for each in one if before.get(each, each) not in taken)})
        taken.add(anchor)
        found |= {each: anchor for each in one if each != anchor}
    return found


def _why(persons: pa.Table, linked: Linked, households: dict[int, int], ids: dict[tuple[str, str], int]) -> pa.Table:
    """Why households are one, as LINKS: how many people each shares with the others, and how many it has for itself."""
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
        said = {name: [f"people ({count})"] if count else [] for name, count in counts.items()}
        how = "members" if counts["agreed"] else "key"
        rows.append({"left": anchor, "right": each, "score": None, "how": how} | said)
    return _links(rows)


def _copies(accounts: pa.Table, decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Copies of accounts, and pairs that a person should look at, as LINKS: the original left, the copy right."""
    said = {frozenset((row["left"], row["right"])): row["is_same"] for row in decisions.to_pylist()}
    apart = {pair for pair, is_same in said.items() if not is_same}
    sure, doubtful = {}, []
    for copy in link_accounts(accounts, apart).to_pylist():
        pair = {"left": copy["original_id"], "right": copy["account_id"], "score": None} | copy
        is_same = said.pop(frozenset((pair["left"], pair["right"])), None)
        if is_same is None and not copy["is_sure"]:
            doubtful.append(pair)
        else:
            sure[pair["right"]] = pair | ({"how": "person"} if is_same else {})
    rank = {row["account_id"]: (row["priority"], row["account_id"]) for row in accounts.to_pylist()}
    for one in (pair for pair, is_same in said.items() if is_same and pair <= rank.keys()):
        original, copy = sorted(one, key=rank.__getitem__)
        original = sure[original]["left"] if original in sure else original  # a copy stands for nobody
        sure |= {each: pair | {"left": original} for each, pair in sure.items() if pair["left"] == copy}
        sure[copy] = {"left": original, "right": copy, "score": None, "agreed": [], "differed": [], "how": "person"}
    return _links(list(sure.values())), _links(doubtful)


def _links(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{name: row[name] for name in LINKS.names} for row in rows], schema=LINKS)


def _ends(copies: pa.Table) -> tuple[list[int], list[int]]:
    return copies["right"].to_pylist(), copies["left"].to_pylist()
