"""Preview the effect of a decision: which people, households and accounts become one or are separated, and what each household is worth.

The preview clusters the neighborhood of the pair again, with the functions of a run and the links of the last run. It first does so without
the decision. If the result differs from what the last run stored, for example because data changed since, there is no preview.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.identity.account import find_copies
from include.identity.household import link_households
from include.identity.neighborhood import MOST, Held, Neighborhood, read_neighborhood
from include.identity.policy import Policy
from include.identity.recluster import Reclustering
from include.identity.record import ACCOUNTS, DECISIONS
from include.identity.resolve import map_people

Group = frozenset[int]

_HOMES_OF_ACCOUNTS = sa.text("""
select household_id from warehouse.account_owner where account_id = any(:ids) and recorded_to is null and valid_to is null
union select household_id from warehouse.outside_account where outside_account_id = any(:ids) and recorded_to is null and valid_to is null
""")
_SALESFORCE = sa.text("""
select s.sobject, s.salesforce_id, k.entity, k.id
from unnest(cast(:entities as text[]), cast(:ids as bigint[])) t(entity, id)
join warehouse.source_key k on k.entity = t.entity and k.id = t.id
join control.salesforce_record s on s.external_key = (select split_part(external_key, ':', 1) from control.salesforce_record limit 1)
                                    || ':' || k.vendor || ':' || k.entity || ':' || control.first_key(k.source_key)
order by 1, 2
""")


@dataclass(frozen=True, slots=True)
class Home:
    """One household: the names of the vendors' households that it consists of, and its net worth in dollars."""

    names: tuple[str, ...]
    net_worth_usd: Decimal


@dataclass(frozen=True, slots=True)
class Effect:
    """The changes that a decision causes; unchanged records are left out.

    Attributes:
        people_before: Names of the records of each person, before the decision.
        people_after: The same after it.
        homes_before: Households before the decision.
        homes_after: Households after it.
        copies: Names of accounts that no longer count, because they are a copy of another account.
        counted: Names of accounts that count again.
        salesforce: Object and id of each record in Salesforce whose content may change.
    """

    people_before: Sequence[tuple[str, ...]]
    people_after: Sequence[tuple[str, ...]]
    homes_before: Sequence[Home]
    homes_after: Sequence[Home]
    copies: Sequence[str]
    counted: Sequence[str]
    salesforce: Sequence[tuple[str, str]]

    @property
    def is_empty(self) -> bool:
        """Whether the decision changes nothing, except that the pair leaves the queue."""
        return not (self.people_after or self.homes_after or self.copies or self.counted)


@dataclass(frozen=True, slots=True)
class Preview:
    """The effects of both decisions on a pair; if `problem` is not empty, it is the reason why there are none."""

    same: Effect | None = None
    different: Effect | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _State:
    """People and households as groups of ids, copy -> original of accounts, and the net worth of each household."""

    people: frozenset[Group]
    homes: frozenset[Group]
    copies: dict[int, int]
    worth: dict[Group, Decimal]


def preview(db: sa.Connection, entity: str, left: int, right: int, on: date, policy: Policy | None = None) -> Preview:
    """Return the effects that each decision on a pair will have in the next run.

    Args:
        db: The database, as the role of the pages or of loads.
        entity: `person`, `legal_entity` or `account`.
        left: Id of a record; negative for the second person of a joint record.
        right: Id of another record.
        on: Day for which ages are computed.
        policy: Thresholds; None for the default.
    """
    if entity == "legal_entity":
        return Preview(problem="A decision on legal entities changes no household and no value.")
    if entity == "account":
        around = read_neighborhood(db, set(), set(db.scalars(_HOMES_OF_ACCOUNTS, {"ids": [left, right]})) - {None})
    else:
        around = read_neighborhood(db, {abs(left), abs(right)}, set())
    if around is None:
        return Preview(problem=f"There is no preview: more than {MOST} persons are connected with this pair.")
    if not len(around.persons):
        return Preview(problem="There is no preview: the records' households list no person.")
    matcher = _Matcher(around, policy or Policy(), on)
    stored = matcher.match(around.used, around.used_account_decisions)
    if not matcher.is_stored(stored):
        return Preview(
            problem="There is no preview: data changed since the last run. The next run of the DAG salesforce makes it available."
        )
    before = matcher.match(_leave_out(around.decisions, left, right), _leave_out(around.account_decisions, left, right))
    effects = []
    for is_same in (True, False):
        people, accounts = around.decisions, around.account_decisions
        if entity == "person":
            people = _add(people, left, right, is_same)
        else:
            accounts = _add(accounts, left, right, is_same)
        effects.append(_compare(db, around, before, matcher.match(people, accounts)))
    return Preview(effects[0], effects[1])


class _Matcher:
    """Matches a neighborhood as a run does."""

    def __init__(self, around: Neighborhood, policy: Policy, on: date) -> None:
        self._around, self._on = around, on
        self._reclustering = Reclustering(around.persons, around.links, policy, on)

    def match(self, decisions: pa.Table, account_decisions: pa.Table) -> _State:
        """Return the state that these decisions lead to."""
        clusters = self._reclustering.cluster(decisions, self._around.known)
        homes: dict[int, set[int]] = defaultdict(set)
        for row in link_households(self._around.persons, clusters, self._on).to_pylist():
            if known := self._around.homes.get((row["vendor"], row["household"])):
                homes[row["household_id"]].add(known[0])
        groups = [*map(frozenset, homes.values())]
        alone = {home for home, _ in self._around.homes.values()} - set().union(*groups)
        groups += [frozenset([home]) for home in alone]
        anchors = map_people(clusters)
        found, _ = find_copies(_rename_owners(self._around.accounts, anchors), account_decisions)
        copies = dict(zip(found["right"].to_pylist(), found["left"].to_pylist(), strict=True))
        return _State(_group(clusters), frozenset(groups), copies, _sum_worth(self._around.held, groups, copies))

    def is_stored(self, state: _State) -> bool:
        """Return whether the last run stored this state."""
        known = {row["record_id"]: row["person_id"] for row in self._around.known.to_pylist()}
        stored: dict[int, set[int]] = defaultdict(set)
        for record in self._around.persons["record_id"].to_pylist():
            stored[known.get(record, record)].add(record)
        people = {frozenset(each for each in group if each > 0) for group in state.people} - {frozenset()}
        return people == set(map(frozenset, stored.values())) and state.copies == self._around.copies


def _rename_owners(accounts: pa.Table, anchors: Mapping[int, int]) -> pa.Table:
    owners = [[anchors.get(each, each) for each in owners or ()] for owners in accounts["owners"].to_pylist()]
    return accounts.set_column(
        ACCOUNTS.get_field_index("owners"), ACCOUNTS.field("owners"), pa.array(owners, ACCOUNTS.field("owners").type)
    )


def _group(clusters: pa.Table) -> frozenset[Group]:
    people: dict[int, set[int]] = defaultdict(set)
    for row in clusters.to_pylist():
        people[row["person_id"]].add(row["record_id"])
    return frozenset(map(frozenset, people.values()))


def _sum_worth(held: Sequence[Held], homes: Iterable[Group], copies: Mapping[int, int]) -> dict[Group, Decimal]:
    """Return the net worth of each household, as `mart.net_worth` computes it: of the records of one account, one counts."""
    rank = {
        each.account_id: (each.is_unused, each.account_id in copies, not each.is_managed, each.account_id)
        for each in held
        if each.value_usd is not None
    }
    counted: dict[int, int] = {}
    for account in sorted(rank, key=rank.__getitem__):
        counted.setdefault(copies.get(account, account), account)
    worth = {}
    for home in homes:
        mine = (
            each.value_usd
            for each in held
            if each.household_id in home
            and each.is_counted
            and each.value_usd is not None
            and counted[copies.get(each.account_id, each.account_id)] == each.account_id
        )
        worth[home] = round(sum(mine, Decimal(0)), 2)
    return worth


def _leave_out(decisions: pa.Table, left: int, right: int) -> pa.Table:
    low, high = sorted((left, right))
    is_it = pc.and_(pc.equal(decisions["left"], low), pc.equal(decisions["right"], high))
    return decisions.filter(pc.invert(is_it))


def _add(decisions: pa.Table, left: int, right: int, is_same: bool) -> pa.Table:
    low, high = sorted((left, right))
    added = pa.Table.from_pylist([{"left": low, "right": high, "is_same": is_same}], schema=DECISIONS)
    return pa.concat_tables([_leave_out(decisions, left, right), added])


def _compare(db: sa.Connection, around: Neighborhood, before: _State, after: _State) -> Effect:
    is_moved = {home for home in before.worth if after.worth.get(home) != before.worth[home]}
    is_new = {home for home in after.worth if before.worth.get(home) != after.worth[home]}
    copies, counted = after.copies.keys() - before.copies.keys(), before.copies.keys() - after.copies.keys()
    people = (before.people - after.people, after.people - before.people)
    changed = [("person", abs(each)) for group in people[0] | people[1] for each in group]
    changed += [("household", each) for group in is_moved | is_new for each in group]
    changed += [(entity, each) for each in copies | counted for entity in ("account", "outside_account")]
    names = {each.account_id: each.name for each in around.held}
    return Effect(
        people_before=_name_people(around, people[0]),
        people_after=_name_people(around, people[1]),
        homes_before=_name_homes(around, is_moved, before),
        homes_after=_name_homes(around, is_new, after),
        copies=sorted(names[each] for each in copies),
        counted=sorted(names[each] for each in counted),
        salesforce=_read_salesforce(db, changed),
    )


def _name_people(around: Neighborhood, groups: Iterable[Group]) -> list[tuple[str, ...]]:
    rows = {row["record_id"]: row for row in around.persons.to_pylist()}
    return sorted(tuple(_name_person(rows[abs(each)], each) for each in sorted(group, key=abs)) for group in groups)


def _name_person(row: Mapping[str, object], record: int) -> str:
    name = row["name"] or f"{row['first_name'] or ''} {row['last_name'] or ''}".strip() or f"person {abs(record)}"
    return f"{name}{', second person' if record < 0 else ''} ({row['vendor']})"


def _name_homes(around: Neighborhood, homes: Iterable[Group], state: _State) -> list[Home]:
    names = {home: f"{name} ({vendor})" for (vendor, _), (home, name) in around.homes.items()}
    return sorted(
        (Home(tuple(names[each] for each in sorted(home)), state.worth[home]) for home in homes),
        key=lambda home: home.names,
    )


def _read_salesforce(db: sa.Connection, changed: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
    entities, ids = [entity for entity, _ in changed], [record for _, record in changed]
    rows = db.execute(_SALESFORCE, {"entities": entities, "ids": ids})
    return list(dict.fromkeys((row.sobject, row.salesforce_id) for row in rows))
