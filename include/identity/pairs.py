"""Read the pairs of the identity review: the queue of doubtful pairs, the links that a reviewer may separate, and the decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

BANDS = ("3 or more", "2 to 3", "1 to 2", "under 1", "by a rule")
"""Bands of the score, as the view `control.identity_queue` names them."""

_ORDER = "order by r.score {} nulls last, r.entity, r.left_id, r.right_id"
_PAGE = f"{_ORDER} limit :limit offset :offset"
_BY_RANK = "order by r.rank desc nulls last, r.score desc nulls last, r.entity, r.left_id, r.right_id limit :limit offset :offset"
_OPEN = sa.text(f"""
select r.entity, r.left_id, r.right_id, r.score, r.agreed, r.differed, r.how, r.rule, null as decision_id, count(*) over () as total
from control.identity_queue r
where (:entity = '' or r.entity = :entity) and (:band = '' or r.band = :band) and (:vendor = '' or :vendor = any(r.vendors))
  and (:other = '' or :other = any(r.vendors)) and (:household = 0 or :household = any(r.household_ids))
  and position(lower(:name) in r.names) > 0
{_BY_RANK}""")  # noqa: S608
_ONE = sa.text("""
with evidence as (
    select entity, left_id, right_id, score, agreed, differed, how, rule from control.identity_link
    where entity = :entity and ((left_id = :left and right_id = :right) or (left_id = :right and right_id = :left))
    union all
    select entity, left_id, right_id, score, agreed, differed, how, rule from control.identity_review
    where entity = :entity and ((left_id = :left and right_id = :right) or (left_id = :right and right_id = :left))
    limit 1
)
select p.entity, coalesce(r.left_id, p.left_id) as left_id, coalesce(r.right_id, p.right_id) as right_id, r.score,
       coalesce(r.agreed, '{}') as agreed, coalesce(r.differed, '{}') as differed, coalesce(r.how, '') as how, r.rule,
       s.decision_id, s.is_same, s.reason, s.decided_by, s.decided_at, 1 as total
from (select cast(:entity as text) as entity, cast(:left as bigint) as left_id, cast(:right as bigint) as right_id) p
left join evidence r on true
left join control.identity_decision_in_force s on s.entity = p.entity and s.left_id = least(p.left_id, p.right_id)
                                 and s.right_id = greatest(p.left_id, p.right_id)
""")
_HOUSEHOLDS_OF = sa.text("""
select distinct household_id, household from control.identity_record where entity = :entity and id = any(:ids) and household_id is not null
order by household_id
""")
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
), matching as not materialized (
    select r.entity, r.left_id, r.right_id, r.score, r.agreed, r.differed, r.how, r.rule from control.identity_link r
    where :name = '' or (r.entity, abs(r.left_id)) in (select entity, id from named)
        or (r.entity, abs(r.right_id)) in (select entity, id from named)
)
select r.*, s.decision_id, s.is_same, s.reason, s.decided_by, s.decided_at, (select count(*) from matching) as total
from (select * from matching r {_PAGE.format("asc")}) r
left join control.identity_decision_in_force s on s.entity = r.entity and s.left_id = least(r.left_id, r.right_id)
                                 and s.right_id = greatest(r.left_id, r.right_id)
{_ORDER.format("asc")}"""  # noqa: S608
)
IS_PENDING = """
d.decided_at > coalesce((select max(ended_at - make_interval(secs => seconds)) from control.identity_run), '-infinity')
"""
"""SQL condition whether no run has used the decision `d`: a run that began before a decision has not used it."""

_DECIDED = sa.text(f"""
select d.*, {IS_PENDING} as is_pending, not d.is_withdrawn and not exists (
    select from control.identity_decision n
    where (n.entity, n.left_id, n.right_id) = (d.entity, d.left_id, d.right_id) and n.decision_id > d.decision_id) as is_undoable
from control.identity_decision d order by d.decision_id desc limit :limit offset :offset
""")  # noqa: S608
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
_LEGAL_ENTITIES = sa.text("""
select distinct on (l.legal_entity_id) l.legal_entity_id as id, l.vendor, l.legal_entity_key as key, l.name, l.entity_kind as kind,
       concat_ws(', ', h.street, h.city, h.state_code, h.postal_code) as "household's address", h.name as household
from warehouse.legal_entity l
left join warehouse.household h on h.household_id = l.household_id and h.recorded_to is null and h.valid_to is null
where l.legal_entity_id = any(:ids) and l.recorded_to is null
order by l.legal_entity_id, l.valid_from desc
""")
_SIDES = ("left_id", "right_id")
_RECORDS = {"person": _PERSONS, "legal_entity": _LEGAL_ENTITIES, "household": _HOUSEHOLDS, "account": _ACCOUNTS}


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
    """A decision with its records.

    Attributes:
        decision: The decision.
        left: Its first record.
        right: Its second record.
        is_pending: Whether no run has used it yet.
        is_undoable: Whether it is the newest decision on its pair.
    """

    decision: Decision
    left: Record
    right: Record
    is_pending: bool
    is_undoable: bool


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
        rule: The rule that lowered the score, such as `only an initial`; None for none.
        decision: The newest decision on them.
    """

    entity: str
    left: Record
    right: Record
    score: float | None
    agreed: list[str]
    differed: list[str]
    how: str
    rule: str | None
    decision: Decision | None


def list_records(shown: Iterable[Pair | Decision | Decided]) -> list[str]:
    """Return the records that pairs or decisions are about, as sorted texts `<entity> <id>`. The second person of a joint record has its id."""
    about = [each.decision if isinstance(each, Decided) else each for each in shown]
    ids = {
        (each.entity, abs(side if isinstance(side, int) else side.id))
        for each in about
        for side in (each.left, each.right)
    }
    return [f"{entity} {id}" for entity, id in sorted(ids)]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which pairs of the queue to read; an empty value selects all.

    Attributes:
        entity: Kind of the records.
        vendor: Vendor of one of the two records.
        other: Vendor of one of the two records, in addition to `vendor`.
        band: One of `BANDS`.
        household: Id of a household, as one across vendors; 0 for all.
        name: Part of the name of a record or of its household.
    """

    entity: str = ""
    vendor: str = ""
    other: str = ""
    band: str = ""
    household: int = 0
    name: str = ""


def list_open(
    connection: sa.Connection, limit: int = 50, offset: int = 0, selection: Selection | None = None
) -> tuple[int, list[Pair]]:
    """Return the number of the selected pairs to review, and one page of them, those first whose answer matters most."""
    return _read_pairs(connection, _OPEN, asdict(selection or Selection()) | {"limit": limit, "offset": offset})


def read_kinds(connection: sa.Connection) -> list[str]:
    """Return the kinds of records in the queue."""
    return sorted(connection.scalars(sa.text("select distinct entity from control.identity_review")))


def read_pair(connection: sa.Connection, entity: str, left: int, right: int) -> Pair:
    """Return two records with the evidence of the last run, if it linked the pair or queued it for review. `how` is empty if it did neither."""
    return _read_pairs(connection, _ONE, {"entity": entity, "left": left, "right": right})[1][0]


def read_households(connection: sa.Connection, pair: Pair) -> dict[int, str]:
    """Return the households of a pair's records, as one across vendors: id -> name."""
    rows = connection.execute(_HOUSEHOLDS_OF, {"entity": pair.entity, "ids": [abs(pair.left.id), abs(pair.right.id)]})
    return {row.household_id: row.household or "" for row in rows}


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
    return [read_decision(row) for row in connection.execute(_DECIDED, {"limit": limit, "offset": offset}).mappings()]


def list_decided(connection: sa.Connection, limit: int = 50, offset: int = 0) -> list[Decided]:
    """Return the decisions, the newest first, including replaced ones, each with its two records."""
    rows = connection.execute(_DECIDED, {"limit": limit, "offset": offset}).mappings().all()
    known = {
        entity: read_records(
            connection, entity, {abs(row[side]) for row in rows if row["entity"] == entity for side in _SIDES}
        )
        for entity in _RECORDS
    }
    decided = []
    for row in rows:
        left, right = (_build_record(row[side], known[row["entity"]].get(abs(row[side]), {})) for side in _SIDES)
        decided.append(Decided(read_decision(row), left, right, row["is_pending"], row["is_undoable"]))
    return decided


def _read_pairs(db: sa.Connection, query: sa.TextClause, values: dict[str, Any]) -> tuple[int, list[Pair]]:
    rows = db.execute(query, values).mappings().all()
    known: dict[str, dict[int, dict[str, Any]]] = {}
    for entity in _RECORDS:
        ends = {row[side] for row in rows if row["entity"] == entity for side in ("left_id", "right_id")}
        known[entity] = read_records(db, entity, {abs(end) for end in ends})
    return rows[0]["total"] if rows else 0, [_build_pair(row, known[row["entity"]]) for row in rows]


def read_records(db: sa.Connection, entity: str, ids: set[int]) -> dict[int, dict[str, Any]]:
    """Return the facts that a reviewer may see of each record, by id; unknown records are left out."""
    rows = db.execute(_RECORDS[entity], {"ids": sorted(ids)}).mappings() if ids else ()
    return {row["id"]: dict(row) for row in rows}


def _build_pair(row: sa.RowMapping, known: dict[int, dict[str, Any]]) -> Pair:
    left, right = (_build_record(row[side], known.get(abs(row[side]), {})) for side in ("left_id", "right_id"))
    decision = None if row["decision_id"] is None else read_decision(row)
    evidence = (row["score"], list(row["agreed"]), list(row["differed"]), row["how"], row["rule"])
    return Pair(row["entity"], left, right, *evidence, decision)


def _build_record(record_id: int, row: dict[str, Any]) -> Record:
    facts = {name: value or None for name, value in row.items() if name not in ("id", "vendor", "key")}
    return Record(record_id, row.get("vendor", ""), row.get("key", ""), facts)


def read_decision(row: sa.RowMapping) -> Decision:
    """Return the decision in a row of `control.identity_decision`."""
    left, right = sorted((row["left_id"], row["right_id"]))
    return Decision(
        row["decision_id"], row["entity"], left, right, row["is_same"], row["reason"], row["decided_by"], row["decided_at"],
        row.get("is_withdrawn", False),
    )  # fmt: skip
