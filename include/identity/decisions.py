"""What persons say of who is who: the pairs that wait for them, the links that they may take apart, and their word, kept.

A word is never changed and never overruled; a newer one on the same pair takes its place. It counts from the next run on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from include.errors import FatalError

REASON_LENGTH = 500

# Evidence on pairs, with the newest word on each.
_PAIRS = """
select r.entity, r.left_id, r.right_id, r.score, r.agreed, r.differed, r.how,
       s.decision_id, s.is_same, s.reason, s.decided_by, s.decided_at, count(*) over () as total
from control.{} r
left join control.identity_said s on s.entity = r.entity and s.left_id = least(r.left_id, r.right_id)
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
# A run that began before a decision has not used it: until one does, the decision may be taken back.
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

# What an advisor may see: nothing of a tax id, and of an account's number its end.
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
    "select * from control.identity_said where entity = :entity and left_id = :left and right_id = :right"
)
_INSERT = sa.text("""
insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by, is_withdrawn, replaces)
values (:entity, :left, :right, :is_same, :reason, :by, :is_withdrawn,
        (select max(decision_id) from control.identity_decision where entity = :entity and left_id = :left and right_id = :right))
returning *
""")

# Words on other pairs that this one can't stand beside: whom persons called the same as either record, up to a word that
# keeps two of them apart; or, for "not the same", a chain that leads from one record to the other.
_CONTRADICTED = sa.text("""
with recursive other as (
    select * from control.identity_said where entity = :entity and not (left_id = :left and right_id = :right)
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
        id: Ours; negative for the second person of a record that names two.
        vendor: Whose; empty where the record is no longer known.
        key: The vendor's own.
        facts: Name of an attribute -> its value, None where the vendor does not say.
    """

    id: int
    vendor: str
    key: str
    facts: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's word on a pair; `left` is the smaller id."""

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
    """A decision with its records, and whether it may be taken back: no run has used it yet."""

    decision: Decision
    left: Record
    right: Record
    is_pending: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records, what speaks for one and against it, and the newest word on them.

    Attributes:
        entity: `person`, `account` or `household`; of the last nobody decides, it follows from the people in it.
        left: A record.
        right: Another.
        score: log2 of the odds that they are one; None where a rule decided.
        agreed: Names of what agreed.
        differed: Names of what did not.
        how: `key`, `model`, `rule`, `members` or `person`.
        said: The newest word on them.
    """

    entity: str
    left: Record
    right: Record
    score: float | None
    agreed: list[str]
    differed: list[str]
    how: str
    said: Decision | None


class DecisionRefused(FatalError):
    """A word that can't be kept.

    Args:
        message: Why, and what to do next.
        known: The word that stands in its way; None where it is of records that nobody knows.
    """

    def __init__(self, message: str, known: Decision | None = None) -> None:
        self.known = known
        super().__init__(message)


def list_open(connection: sa.Connection, limit: int = 50, offset: int = 0) -> tuple[int, list[Pair]]:
    """Returns how many pairs wait for a person, and a page of them, the likeliest first."""
    return _read_pairs(connection, _OPEN, {"limit": limit, "offset": offset})


def list_links(connection: sa.Connection, name: str = "", limit: int = 50, offset: int = 0) -> tuple[int, list[Pair]]:
    """Returns how many links there are, and a page of them, the least sure first.

    Args:
        connection: Of the loading role, or the reading one.
        name: A part of the name of a person, or of an account; empty for all.
        limit: At most so many.
        offset: Left out before them.
    """
    return _read_pairs(connection, _LINKS, {"name": name, "limit": limit, "offset": offset})


def list_decisions(connection: sa.Connection, limit: int = 50, offset: int = 0) -> list[Decision]:
    """Returns what persons said, the newest first, replaced words too."""
    return [_decision(row) for row in connection.execute(_DECIDED, {"limit": limit, "offset": offset}).mappings()]


def list_decided(connection: sa.Connection, limit: int = 50, offset: int = 0) -> list[Decided]:
    """Returns the same with the records that each decision is about."""
    rows = connection.execute(_DECIDED, {"limit": limit, "offset": offset}).mappings().all()
    known = {
        entity: _read_records(
            connection, entity, {abs(row[side]) for row in rows if row["entity"] == entity for side in _SIDES}
        )
        for entity in _RECORDS
    }
    decided = []
    for row in rows:
        left, right = (_record(row[side], known[row["entity"]].get(abs(row[side]), {})) for side in _SIDES)
        decided.append(Decided(_decision(row), left, right, row["is_pending"]))
    return decided


def undo(engine: sa.Engine, decision_id: int, decided_by: str) -> Decision:
    """Takes back the newest decision on a pair that no run has used yet: what was decided before counts again, or nothing.

    Args:
        engine: As the loading role.
        decision_id: Names the decision.
        decided_by: Who takes it back.

    Returns:
        The decision that says so; the one that was taken back stays on record.

    Raises:
        DecisionRefused: There is no such decision, a newer one took its place, or a run has used it.
    """
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        row = db.execute(_UNDOABLE, {"id": decision_id}).mappings().first()
        if row is None or row["is_withdrawn"]:
            raise DecisionRefused("There is no such decision; look at the decisions again")
        of = {"entity": row["entity"], "left": row["left_id"], "right": row["right_id"]}
        newer = db.execute(_NEWER, of | {"id": decision_id}).mappings().first()
        if newer is not None:
            raise DecisionRefused("A newer decision took its place; look at the decisions again", _decision(newer))
        if not row["is_pending"]:
            raise DecisionRefused("A run has used this decision: decide anew on the page of links", _decision(row))
        before = db.execute(_BEFORE, {"id": row["replaces"]}).mappings().first()
        is_same = row["is_same"] if before is None else before["is_same"]
        values = of | {"is_same": is_same, "reason": f"Undo of decision {decision_id}", "by": decided_by}
        return _decision(db.execute(_INSERT, values | {"is_withdrawn": before is None}).mappings().one())


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
    """Keeps a person's word on a pair; the same word of the same person again changes nothing.

    Args:
        engine: As the loading role.
        entity: `person` or `account`.
        left: A record.
        right: Another, in either order.
        is_same: Whether both are one; False also takes a link apart.
        reason: Why; up to `REASON_LENGTH` characters.
        decided_by: Who says so.
        seen: `decision_id` of the newest word that this person saw on the pair; None where there was none.

    Raises:
        DecisionRefused: There are no such records, somebody else decided in the meantime, or the word contradicts
            another pair's.
    """
    low, high = sorted((left, right))
    of = {"entity": entity, "left": low, "right": high, "is_same": is_same}
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        _require_records(db, entity, low, high)
        row = db.execute(_NEWEST, of).mappings().first()
        last = None if row is None else _decision(row)
        if last is not None and last.is_same == is_same and (last.decided_by == decided_by or last.decision_id == seen):
            return last
        if (last.decision_id if last else None) != seen:
            raise DecisionRefused(f"In the meantime {_tell(last)}; look again", last)
        row = db.execute(_CONTRADICTED, of).mappings().first()
        if row is not None:
            other = _decision(row)
            raise DecisionRefused(
                f"This contradicts another pair, of which {_tell(other)}; change that word first", other
            )
        values = of | {"reason": reason.strip(), "by": decided_by, "is_withdrawn": False}
        return _decision(db.execute(_INSERT, values).mappings().one())


def _require_records(db: sa.Connection, entity: str, left: int, right: int) -> None:
    is_person = entity == "person"
    ids = {abs(left), abs(right)} if is_person else {left, right}
    if len(ids) < 2 or len(_read_records(db, entity, ids)) < 2:
        raise DecisionRefused("These are no two records that are known; look at the queue again")


def _tell(decision: Decision | None) -> str:
    if decision is None:
        return "nobody has decided on this pair"
    word = "the same" if decision.is_same else "not the same"
    at = f"{decision.decided_at:%Y-%m-%d %H:%M} UTC"
    return f"{decision.decided_by} said at {at} that {decision.left} and {decision.right} are {word}"


def _read_pairs(db: sa.Connection, query: sa.TextClause, values: dict[str, Any]) -> tuple[int, list[Pair]]:
    rows = db.execute(query, values).mappings().all()
    known: dict[str, dict[int, dict[str, Any]]] = {}
    for entity in _RECORDS:
        ends = {row[side] for row in rows if row["entity"] == entity for side in ("left_id", "right_id")}
        known[entity] = _read_records(db, entity, {abs(end) for end in ends})
    return rows[0]["total"] if rows else 0, [_pair(row, known[row["entity"]]) for row in rows]


def _read_records(db: sa.Connection, entity: str, ids: set[int]) -> dict[int, dict[str, Any]]:
    found = db.execute(_RECORDS[entity], {"ids": sorted(ids)}).mappings() if ids else ()
    return {row["id"]: dict(row) for row in found}


def _pair(row: sa.RowMapping, known: dict[int, dict[str, Any]]) -> Pair:
    left, right = (_record(row[side], known.get(abs(row[side]), {})) for side in ("left_id", "right_id"))
    said = None if row["decision_id"] is None else _decision(row)
    evidence = (row["score"], list(row["agreed"]), list(row["differed"]), row["how"])
    return Pair(row["entity"], left, right, *evidence, said)


def _record(record_id: int, row: dict[str, Any]) -> Record:
    facts = {name: value or None for name, value in row.items() if name not in ("id", "vendor", "key")}
    return Record(record_id, row.get("vendor", ""), row.get("key", ""), facts)


def _decision(row: sa.RowMapping) -> Decision:
    left, right = sorted((row["left_id"], row["right_id"]))
    return Decision(
        row["decision_id"], row["entity"], left, right, row["is_same"], row["reason"], row["decided_by"], row["decided_at"],
        row.get("is_withdrawn", False),
    )  # fmt: skip
