"""Match the org's persons and legal entities with ours, with the engine that matches the vendors' records (`include.identity`).

The org is treated as one more vendor. The vendors' records keep their identities, and org records are attached to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from include.crm.adoption.candidates import Candidate, Decisions, Unit
from include.crm.adoption.legal_entities import Named
from include.crm.adoption.traits import Traits, read_traits
from include.crm.salesforce import VENDOR
from include.database.columns import read_table
from include.identity import inputs
from include.identity.link import Linked, link_entities, match_all
from include.identity.policy import Policy
from include.identity.record import DECISIONS, PERSONS, conform

FIRST_ID = 1 << 40
"""Lowest record id of org records, above all ids of the warehouse."""

SURE_SCORE = 8.0
"""A pair with this score, or a higher one, needs no reviewer: the odds are 256 to one. Pairs of vendors link at lower scores, because a wrong
link of two vendors can be undone; a key in the wrong record lets two clients' data meet there."""

_VAGUE = ("first name", "last name", "home (street", "home (zip", "home (city")
"""Values that never suffice without a reviewer: a rare name in one street may be a misspelled frequent one."""

SURE_ENTITY_SCORE = 6.0
"""The same threshold for legal entities: name and home agree."""

# A person is an account, its contact, or both. The contact of an account is the one that it names, or the first below it.
_PERSONS = """
with membership as (
    select links ->> 'Contact' as contact_id, min(links ->> 'Account') as household_id
    from control.org_record r where sobject = 'AccountContactRelation'
      and exists (select from control.org_record h where h.sobject = 'Account' and h.entity = 'household' and h.salesforce_id = r.links ->> 'Account')
    group by 1
), half as (
    select a.salesforce_id as account_id, c.salesforce_id as contact_id, a.external_key as account_key, c.external_key as contact_key,
           a.name, coalesce(c.first_name, a.first_name) as first_name, coalesce(c.last_name, a.last_name) as last_name,
           coalesce(c.birth_date, a.birth_date) as birth_date, coalesce(c.email, a.email) as email, coalesce(c.phone, a.phone) as phone,
           coalesce(c.street, a.street) as street, coalesce(c.city, a.city) as city, coalesce(c.state_code, a.state_code) as state_code,
           coalesce(c.postal_code, a.postal_code) as postal_code, coalesce(c.salesforce_id, a.links ->> 'PrimaryContact') as related_by,
           null as household_id
    from control.org_record a left join lateral (
        select * from control.org_record c where c.sobject = 'Contact' and c.links ->> 'Account' = a.salesforce_id
        order by c.salesforce_id is distinct from a.links ->> 'PrimaryContact', c.salesforce_id limit 1) c on true
    where a.sobject = 'Account' and a.entity = 'person'
), alone as (
    select null as account_id, c.salesforce_id as contact_id, null as account_key, c.external_key as contact_key, c.name, c.first_name,
           c.last_name, c.birth_date, c.email, c.phone, c.street, c.city, c.state_code, c.postal_code, c.salesforce_id as related_by,
           h.salesforce_id as household_id
    from control.org_record c
    left join control.org_record h on h.sobject = 'Account' and h.entity = 'household' and h.salesforce_id = c.links ->> 'Account'
    where c.sobject = 'Contact' and not exists (select from half where half.contact_id = c.salesforce_id)
)
select row_number() over (order by coalesce(account_id, p.contact_id)) + %(first)s as record_id, account_id, p.contact_id,
       account_key, contact_key,
       coalesce(account_key, contact_key) is null or exists (
           select from control.adopted d where d.salesforce_id in (account_id, p.contact_id) and d.state = 'written') as is_foreign,
       coalesce(m.household_id, p.household_id) as household, first_name, last_name, name, birth_date, email,
       phone, street, city, state_code, postal_code
from (select * from half union all select * from alone) p left join membership m on m.contact_id = p.related_by
order by 1
"""
_ENTITIES = """
select row_number() over (order by salesforce_id) + %(first)s as record_id, salesforce_id as account_id, null as contact_id, external_key as account_key,
       null as contact_key, external_key is null or exists (
           select from control.adopted d where d.salesforce_id = r.salesforce_id and d.state = 'written') as is_foreign, null as household, null as first_name, null as last_name, name, null::date as birth_date,
       email, phone, street, city, state_code, postal_code
from control.org_record r where sobject = 'Account' and entity = 'legal_entity' order by 1
"""
_ORG = pa.schema(
    {"record_id": pa.int64(), "account_id": pa.string(), "contact_id": pa.string(), "account_key": pa.string()}
    | {
        "contact_key": pa.string(),
        "is_foreign": pa.bool_(),
        "household": pa.string(),
        "first_name": pa.string(),
        "last_name": pa.string(),
    }
    | {
        "name": pa.string(),
        "birth_date": pa.date32(),
        "email": pa.string(),
        "phone": pa.string(),
        "street": pa.string(),
    }
    | {"city": pa.string(), "state_code": pa.string(), "postal_code": pa.string()}
)


_IDS = ["record_id", "account_id", "contact_id", "account_key", "contact_key"]


def match_persons(
    db: sa.Connection, keys: Mapping[int, str], decided: Decisions, policy: Policy, on: date
) -> tuple[list[Unit], dict[int, Traits]]:
    """Match the org's persons with our persons; return the units, and the traits of the persons on both sides.

    Args:
        db: The database, in a transaction, after the org was read.
        keys: Our person id -> our key.
        decided: The reviewers' decisions.
        policy: Thresholds of matching.
        on: Today.
    """
    known = _map_identities(db, "person")
    ours = conform(inputs.read_persons(db), PERSONS)
    rows = _read(db, _PERSONS)
    decisions = pa.concat_tables([inputs.read_decisions(db, "person"), _translate(rows, keys, decided)])
    matching = match_all(_join(ours, rows), decisions, policy, on=on)
    linked = matching.linked
    doubts = pa.concat_tables([matching.natural.doubts, matching.entities.doubts])
    return _collect(rows, linked, doubts, known, keys), read_traits(matching.features, known)


def match_entities(
    db: sa.Connection, keys: Mapping[int, str], decided: Decisions, policy: Policy
) -> tuple[list[Unit], dict[int, Named]]:
    """Match the org's business accounts with our legal entities; return the units, and the names and addresses of both sides.

    The arguments are those of `match_persons`.
    """
    known = _map_identities(db, "legal_entity")
    rows = _read(db, _ENTITIES)
    decisions = pa.concat_tables([inputs.read_decisions(db, "legal_entity"), _translate(rows, keys, decided)])
    ours = conform(inputs.read_legal_entities(db), PERSONS)
    columns = ["record_id", "name", "street", "postal_code"]
    named = {
        record: Named.read(*values)
        for table in (ours, rows)
        for record, *values in zip(*(table[name].to_pylist() for name in columns), strict=True)
    }
    linked = link_entities(_join(ours, rows), decisions, policy)
    return _collect(rows, linked, linked.review, known, keys, SURE_ENTITY_SCORE), named


def _read(db: sa.Connection, query: str) -> pa.Table:
    return read_table(db, query, _ORG, {"first": FIRST_ID})


def _join(ours: pa.Table, rows: pa.Table) -> pa.Table:
    theirs = rows.append_column("vendor", pa.array([VENDOR] * len(rows), pa.string()))
    return pa.concat_tables([ours, conform(theirs, PERSONS)])


def _map_identities(db: sa.Connection, entity: str) -> dict[int, int]:
    known = inputs.read_known(db, entity)
    return dict(zip(*(known[name].to_pylist() for name in ("record_id", "person_id")), strict=True))


def _translate(rows: pa.Table, keys: Mapping[int, str], decided: Decisions) -> pa.Table:
    """Return the reviewers' decisions and the keys that org records have already, as decisions about pairs of records."""
    identity = {key: of for of, key in keys.items()}
    pairs: dict[tuple[int, int], bool] = {}
    places: dict[str, int] = {}
    for row in rows.select(_IDS).to_pylist():
        places |= {each: row["record_id"] for each in (row["account_id"], row["contact_id"]) if each}
        key = row["account_key"] or row["contact_key"]
        if key in identity:
            pairs[identity[key], row["record_id"]] = True
    for salesforce_id in decided.keys() & places.keys():
        for key, is_same in decided[salesforce_id].items():
            if key in identity:
                pairs[identity[key], places[salesforce_id]] = is_same
    rows_of = [{"left": left, "right": right, "is_same": is_same} for (left, right), is_same in sorted(pairs.items())]
    return pa.Table.from_pylist(rows_of, schema=DECISIONS)


def _collect(
    rows: pa.Table,
    linked: Linked,
    doubts: pa.Table,
    known: Mapping[int, int],
    keys: Mapping[int, str],
    sure_score: float = SURE_SCORE,
) -> list[Unit]:
    """Return the org's units with their matches.

    Args:
        rows: The org's records, as `_ORG`.
        linked: The result of matching.
        doubts: The doubtful pairs, with the schema `REVIEW`.
        known: Record id -> our id; a record whose own id is that id may be missing.
        keys: Our id -> our key.
        sure_score: Score from which a link needs no reviewer.
    """
    links, open_pairs = _index(linked.links), _index(doubts)
    clusters: dict[int, list[int]] = defaultdict(list)
    members: dict[int, list[int]] = defaultdict(list)
    for record, cluster in zip(
        *(linked.clusters[name].to_pylist() for name in ("record_id", "person_id")), strict=True
    ):
        clusters[abs(record)].append(cluster)
        if 0 < record < FIRST_ID:  # the second person of one of our joint records has no record of its own
            members[cluster].append(record)
    units = []
    for row in rows.select([*_IDS, "household", "is_foreign"]).to_pylist():
        record, halves = row["record_id"], {"Account": row["account_id"], "Contact": row["contact_id"]}
        of = {"Account": row["account_key"], "Contact": row["contact_key"]}
        unit = Unit(
            {name: each for name, each in halves.items() if each},
            row["account_key"] or row["contact_key"],
            frozenset(name for name, key in of.items() if key),
            row["household"],
            record,
            row["is_foreign"],
        )
        unit.matches.is_joint = len(clusters[record]) > 1
        found = {known.get(each, each) for cluster in clusters[record] for each in members[cluster]}
        for identity in sorted(found):
            unit.matches.add(_describe(links.get(record, ()), identity, known, keys, sure_score, is_same=True))
        near = {known.get(other, other) for other, _ in open_pairs.get(record, ())} - found
        for identity in sorted(near):
            unit.matches.add(_describe(open_pairs[record], identity, known, keys, sure_score, is_same=False))
        units.append(unit)
    return units


def _index(pairs: pa.Table) -> dict[int, list[tuple[int, dict[str, Any]]]]:
    """Return the pairs of an org record and one of our records: org record -> (our record, the row)."""
    index: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for row in pairs.select(["left", "right", "score", "agreed", "differed", "how", "rule"]).to_pylist():
        for ours, theirs in ((row["left"], row["right"]), (row["right"], row["left"])):
            if 0 < ours < FIRST_ID <= abs(theirs):
                index[abs(theirs)].append((ours, row))
    return index


def _describe(
    pairs: Iterable[tuple[int, dict[str, Any]]],
    identity: int,
    known: Mapping[int, int],
    keys: Mapping[int, str],
    sure_score: float,
    *,
    is_same: bool,
) -> Candidate | None:
    """Return a unit's best pair with the records of one identity as a candidate; None if that identity is not sent to Salesforce."""
    if identity not in keys:
        return None
    of = [row for other, row in pairs if known.get(other, other) == identity]
    best = max(of, key=lambda row: (row["how"] == "person", row["score"]), default=None)
    if best is None:  # linked through another record of the org
        return Candidate(keys[identity], identity, 0.0, (), (), is_same=is_same, is_sure=False)
    is_settled = best["how"] == "person"
    agreed = tuple(best["agreed"])
    is_firm = any(
        (row["score"] or 0.0) >= sure_score and not all(each.startswith(_VAGUE) for each in row["agreed"]) for row in of
    )
    is_sure = is_same and (is_settled or best["how"] == "key" or is_firm)
    differed = (*best["differed"], *((best["rule"],) if best["rule"] else ()))
    return Candidate(
        keys[identity], identity, best["score"] or 0.0, agreed, differed, is_same=is_same, is_sure=is_sure,
        is_settled=is_same and is_settled,
    )  # fmt: skip
