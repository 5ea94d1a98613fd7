"""Review of identities: the queue of doubtful pairs, the links that a reviewer may separate, and the reviewers' decisions.

A stored decision never changes, and the matching never overrules it; a newer decision on the same pair replaces it. A decision takes
effect in the next run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from include.errors import FatalError

REASON_LENGTH = 500

# Pairs with the evidence, and the newest decision on each pair.
_PAIRS = """
select r.entity, r.left_id, r.right_id, r.score, r.agreed, r.differed, r.how,
       s.decision_id, s.is_same, s.reason, s.decided_by, s.decided_at, count(*) over () as total
from control.{} r
left join control.identity_decision_in_force s on s.entity = r.entity and s.left_id = least(r.left_id, r.right_id)
                                 and s.right_id = greatest(r.left_id, r.right_id)
"""
_PAGE = "order by r.score {} nulls last, r.entity, r.left_id, r.right_id limit :limit offset :offset"
_OPEN = sa.text(f"{_PAIRS} where s.decision_id is null {_PAGE}".format("identity_review", "desc"))
_NAMED = "position(lower(:name) in lower({})) > 0 and recorded_to is null"
_LINKS = sa.text(
    f"""
with named as (
    select 'person' as entity, person_id as id from warehouse.person
    where {_NAMED.format("coalesce(name, concat_ws(' ', first_name, last_name))")}
    union all
    select 'household', household_id from warehouse.household where {_NAMED.format("name")}
    union all
    select 'account', account_id from warehouse.account where {_NAMED.format("name")}
)
{_PAIRS} where :name = '' or (r.entity, abs(r.left_id)) in (select entity, id from named)
    or (r.entity, abs(r.right_id)) in (select entity, id from named)
{_PAGE}""".format("identity_link", "asc")  # noqa: S608
)
# A run that began before a decision has not used it. Until a run does, the decision can be undone.
_IS_PENDING = """
d.decided_at > coalesce((select max(ended_at - make_interval(secs => seconds)) from control.identity_run), '-infinity')
"""
_DECIDED = sa.text(f"""
select d.*, not d.is_withdrawn and {_IS_PENDING} and not exists (
    select from control.identity_decision n
    where (n.entity, n.left_id, n.right_id) = (d.entity, d.left_id, d.right_id) and n.decision_id > d.decision_id) as is_pending
from control.identity_decision d order by d.decision_id desc limit :limit offset :offset
""")  # noqa: S608
_UNDOABLE = sa.text(f"select d.*, {_IS_PENDING} as is_pending from control.identity_decision d where decision_id = :id")  # noqa: S608
_NEWER = sa.text("""
select * from control.identity_decision
where entity = :entity and left_id = :left and right_id = :right and decision_id > :id order by decision_id limit 1
""")
_BEFORE = sa.text("select * from control.identity_decision where decision_id = :id and not is_withdrawn")

# Fields that an advisor may see: no tax id, and only the last four digits of an account number.
_PERSONS = sa.text("""
select distinct on (p.person_id) p.person_id as id, p.vendor, p.person_key as key,
       coalesce(p.name, concat_ws(' ', p.first_name, p.last_name)) as name, cast(p.birth_date as text) as "birth date",
       p.email as "e-mail", h.email as "household's e-mail", coalesce(p.phone, h.phone) as telephone,
       case when p.street is null then concat_ws(', ', h.street, h.city, h.state_code, h.postal_code)
            else concat_ws(', ', p.street, p.city, p.state_code, p.postal_code) end as address, h.name as household
from warehouse.person p
left join warehouse.household h on h.household_id = p.household_id and h.recorded_to is null and h.valid_to is null
where p.person_id = any(:ids) and p.recorded_to is null
order by p.person_id, p.valid_from desc
""")
_ACCOUNTS = sa.text("""
select distinct on (a.id) a.id, a.vendor, a.key, a.name, 'xxxx' || a.last4 as number, a.institution, a.type, h.name as household
from (
    select account_id as id, vendor, account_key as key, name, account_number_last4 as last4, custodian as institution,
           account_type as type, household_id, valid_from
    from warehouse.account where account_id = any(:ids) and recorded_to is null
    union all
    select outside_account_id, vendor, outside_account_key, name, account_number_last4, institution, account_type, household_id, valid_from
    from warehouse.outside_account where outside_account_id = any(:ids) and recorded_to is null
) a
left join warehouse.household h on h.household_id = a.household_id and h.recorded_to is null and h.valid_to is null
order by a.id, a.valid_from desc
""")
_HOUSEHOLDS = sa.text("""
select distinct on (household_id) household_id as id, vendor, household_key as key, name, email as "e-mail", phone as telephone,
       concat_ws(', ', street, city, state_code, postal_code) as address
from warehouse.household where household_id = any(:ids) and recorded_to is null
order by household_id, valid_from desc
""")
_SIDES = ("left_id", "right_id")
_RECORDS = {"person": _PERSONS, "household": _HOUSEHOLDS, "account": _ACCOUNTS}

_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('identity_decision'))")
_NEWEST = sa.text(
    "select * from control.identity_decision_in_force where entity = :entity and left_id = :left and right_id = :right"
)
_INSERT = sa.text("""
insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by, is_withdrawn, replaces)
values (:entity, :left, :right, :is_same, :reason, :by, :is_withdrawn,
        (select max(decision_id) from control.identity_decision where entity = :entity and left_id = :left and right_id = :right))
returning *
""")

# A decision on another pair that contradicts the new one. The new decision is "same": a "not the same" between a record that "same"
# decisions join to the left and one that they join to the right. It is "not the same": a chain of "same" decisions from left to right.
_CONTRADICTED = sa.text("""
with recursive other as (
    select * from control.identity_decision_in_force where entity = :entity and not (left_id = :left and right_id = :right)
), alike (root, id) as (
    values (cast(:left as bigint), cast(:left as bigint)), (:right, :right)
    union
    select a.root, case when o.left_id = a.id then o.right_id else o.left_id end
    from alike a join other o on o.is_same and a.id in (o.left_id, o.right_id)
)
select o.* from other o
where :is_same and not o.is_same
      and exists (select from alike a join alike b on a.root <> b.root and a.id = o.left_id and b.id = o.right_id)
   or not :is_same and o.is_same and o.left_id in (select id from alike where root = :left)
      and :right in (select id from alike where root = :left)
order by o.decision_id desc limit 1
""")


@dataclass(frozen=True, slots=True)
class Record:
    """A vendor's record as an advisor may see it.

    Attributes:
        id: Our surrogate id; negative for the second person of a joint record.
        vendor: Name of the vendor; empty if the record no longer exists.
        key: The vendor's key.
        facts: Attribute -> value, None if the vendor does not state it.
    """

    id: int
    vendor: str
    key: str
    facts: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Decision:
    """A reviewer's decision on a pair; `left` is the smaller id."""

    decision_id: int
    entity: str
    left: int
    right: int
    is_same: bool
    reason: str
    decided_by: str
    decided_at: datetime
    is_withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with its records. `is_pending` is true while no run has used the decision, so that it can be undone."""

    decision: Decision
    left: Record
    right: Record
    is_pending: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records, the evidence for and against a match, and the newest decision on them.

    Attributes:
        entity: `person`, `account` or `household`. Households are not reviewed: they follow from their members.
        left: A record.
        right: Another record.
        score: log2 of the odds that they are one; None if a rule matched them.
        agreed: Names of the comparisons that agreed.
        differed: Names of the comparisons that differed.
        how: What matched them: `key` (a shared number or key), `model` (the score), `rule` (the rules for accounts), `members` (the
            members of two households), or `person` (a reviewer).
        decision: The newest decision on them.
    """

    entity: str
    left: Record
    right: Record
    score: float | None
    agreed: list[str]
    differed: list[str]
    how: str
    decision: Decision | None


class DecisionRefused(FatalError):
    """A decision that was rejected.

    Args:
        message: Why, and what to do next.
        known: The existing decision that conflicts with the rejected one; None if there is none.
    """

    def __init__(self, message: str, known: Decision | None = None) -> None:
        self.known = known
        super().__init__(message)


def list_records(shown: Iterable[Pair | Decision | Decided]) -> list[str]:
    """Return the records that pairs or decisions are about, as sorted texts `<entity> <id>`. The second person of a joint record has its id."""
    about = [each.decision if isinstance(each, Decided) else each for each in shown]
    ids = {
        (each.entity, abs(side if isinstance(side, int) else side.id))
        for each in about
        for side in (each.left, each.right)
    }
    return [f"{entity} {id}" for entity, id in sorted(ids)]


def list_open(connection: sa.Connection, limit: int = 50, offset: int = 0) -> tuple[int, list[Pair]]:
    """Return the number of all pairs to review, and one page of the pairs, the most certain first."""
    return _read_pairs(connection, _OPEN, {"limit": limit, "offset": offset})


def list_links(connection: sa.Connection, name: str = "", limit: int = 50, offset: int = 0) -> tuple[int, list[Pair]]:
    """Return the number of all links, and one page of the links, the least certain first.

    Args:
        connection: A connection of the loading or the reading role.
        name: Part of the name of a person, household or account; empty for all.
        limit: Maximum number of pairs.
        offset: Number of pairs to skip.
    """
    return _read_pairs(connection, _LINKS, {"name": name, "limit": limit, "offset": offset})


def list_decisions(connection: sa.Connection, limit: int = 50, offset: int = 0) -> list[Decision]:
    """Return the decisions, the newest first, including replaced ones."""
    return [_read_decision(row) for row in connection.execute(_DECIDED, {"limit": limit, "offset": offset}).mappings()]


def list_decided(connection: sa.Connection, limit: int = 50, offset: int = 0) -> list[Decided]:
    """Return the decisions, the newest first, including replaced ones, each with its two records."""
    rows = connection.execute(_DECIDED, {"limit": limit, "offset": offset}).mappings().all()
    known = {
        entity: _read_records(
            connection, entity, {abs(row[side]) for row in rows if row["entity"] == entity for side in _SIDES}
        )
        for entity in _RECORDS
    }
    decided = []
    for row in rows:
        left, right = (_build_record(row[side], known[row["entity"]].get(abs(row[side]), {})) for side in _SIDES)
        decided.append(Decided(_read_decision(row), left, right, row["is_pending"]))
    return decided


def undo(engine: sa.Engine, decision_id: int, decided_by: str) -> Decision:
    """Undo the newest decision on a pair, if no run has used it yet. The previous decision, if any, applies again.

    Args:
        engine: Engine of the loading role.
        decision_id: The decision to undo.
        decided_by: The reviewer who undoes it.

    Returns:
        The new decision that records the undo; the undone one stays on record.

    Raises:
        DecisionRefused: The decision does not exist, a newer decision replaced it, or a run has used it.
    """
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        row = db.execute(_UNDOABLE, {"id": decision_id}).mappings().first()
        if row is None or row["is_withdrawn"]:
            raise DecisionRefused("Decision not found; reload the list of decisions")
        of = {"entity": row["entity"], "left": row["left_id"], "right": row["right_id"]}
        newer = db.execute(_NEWER, of | {"id": decision_id}).mappings().first()
        if newer is not None:
            raise DecisionRefused(
                "A newer decision replaced this one; reload the list of decisions", _read_decision(newer)
            )
        if not row["is_pending"]:
            raise DecisionRefused(
                "A run has used this decision: make a new decision on the page Links", _read_decision(row)
            )
        before = db.execute(_BEFORE, {"id": row["replaces"]}).mappings().first()
        is_same = row["is_same"] if before is None else before["is_same"]
        values = of | {"is_same": is_same, "reason": f"Undo of decision {decision_id}", "by": decided_by}
        return _read_decision(db.execute(_INSERT, values | {"is_withdrawn": before is None}).mappings().one())


def decide(
    engine: sa.Engine,
    entity: str,
    left: int,
    right: int,
    is_same: bool,
    reason: str,
    decided_by: str,
    seen: int | None = None,
) -> Decision:
    """Record a reviewer's decision on a pair. Repeating the same decision changes nothing.

    Args:
        engine: Engine of the loading role.
        entity: `person` or `account`.
        left: Id of a record.
        right: Id of another record; the order does not matter.
        is_same: Whether both describe the same person or account. False also separates two linked records.
        reason: The reason; up to `REASON_LENGTH` characters.
        decided_by: The reviewer.
        seen: `decision_id` of the newest decision on the pair that the reviewer saw; None if there was none.

    Raises:
        DecisionRefused: A record does not exist, the newest decision on the pair is not the one that the reviewer saw, or the decision
            contradicts a decision on another pair.
    """
    low, high = sorted((left, right))
    of = {"entity": entity, "left": low, "right": high, "is_same": is_same}
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        _require_records(db, entity, low, high)
        row = db.execute(_NEWEST, of).mappings().first()
        last = None if row is None else _read_decision(row)
        if last is not None and last.is_same == is_same and (last.decided_by == decided_by or last.decision_id == seen):
            return last
        if (last.decision_id if last else None) != seen:
            raise DecisionRefused(f"The pair has changed: {_describe(last)}; reload the page", last)
        row = db.execute(_CONTRADICTED, of).mappings().first()
        if row is not None:
            other = _read_decision(row)
            raise DecisionRefused(
                f"This contradicts the decision on another pair: {_describe(other)}; change that decision first", other
            )
        values = of | {"reason": reason.strip(), "by": decided_by, "is_withdrawn": False}
        return _read_decision(db.execute(_INSERT, values).mappings().one())


def _require_records(db: sa.Connection, entity: str, left: int, right: int) -> None:
    is_person = entity == "person"
    ids = {abs(left), abs(right)} if is_person else {left, right}
    if len(ids) < 2 or len(_read_records(db, entity, ids)) < 2:
        raise DecisionRefused("The two records were not found; reload the queue")


def _describe(decision: Decision | None) -> str:
    if decision is None:
        return "there is no decision on it"
    word = "the same" if decision.is_same else "not the same"
    at = f"{decision.decided_at:%Y-%m-%d %H:%M} UTC"
    return f"{decision.decided_by} decided at {at} that {decision.left} and {decision.right} are {word}"


def _read_pairs(db: sa.Connection, query: sa.TextClause, values: dict[str, Any]) -> tuple[int, list[Pair]]:
    rows = db.execute(query, values).mappings().all()
    known: dict[str, dict[int, dict[str, Any]]] = {}
    for entity in _RECORDS:
        ends = {row[side] for row in rows if row["entity"] == entity for side in ("left_id", "right_id")}
        known[entity] = _read_records(db, entity, {abs(end) for end in ends})
    return rows[0]["total"] if rows else 0, [_build_pair(row, known[row["entity"]]) for row in rows]


def _read_records(db: sa.Connection, entity: str, ids: set[int]) -> dict[int, dict[str, Any]]:
    rows = db.execute(_RECORDS[entity], {"ids": sorted(ids)}).mappings() if ids else ()
    return {row["id"]: dict(row) for row in rows}


def _build_pair(row: sa.RowMapping, known: dict[int, dict[str, Any]]) -> Pair:
    left, right = (_build_record(row[side], known.get(abs(row[side]), {})) for side in ("left_id", "right_id"))
    decision = None if row["decision_id"] is None else _read_decision(row)
    evidence = (row["score"], list(row["agreed"]), list(row["differed"]), row["how"])
    return Pair(row["entity"], left, right, *evidence, decision)


def _build_record(record_id: int, row: dict[str, Any]) -> Record:
    facts = {name: value or None for name, value in row.items() if name not in ("id", "vendor", "key")}
    return Record(record_id, row.get("vendor", ""), row.get("key", ""), facts)


def _read_decision(row: sa.RowMapping) -> Decision:
    left, right = sorted((row["left_id"], row["right_id"]))
    return Decision(
        row["decision_id"], row["entity"], left, right, row["is_same"], row["reason"], row["decided_by"], row["decided_at"],
        row.get("is_withdrawn", False),
    )  # fmt: skip
