"""Compare the org's records with ours before a sync creates any, and store the adoption findings in `control.adoption_finding`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date

import pyarrow as pa
import sqlalchemy as sa

from include.crm.adoption import accounts, evidence, legal_entities, lookalikes, matching, relations
from include.crm.adoption.accepted import take_keyed
from include.crm.adoption.candidates import Candidate, Decisions, Unit
from include.crm.adoption.first_changes import note_changes
from include.crm.adoption.households import Homes
from include.crm.adoption.members import Members
from include.crm.adoption.org_records import has_foreign, read_org
from include.crm.adoption.outcomes import Finding, classify
from include.crm.objects.mapping import CrmObject, current, is_no_copy
from include.crm.objects.portfolio import SHAPES, list_mappings
from include.crm.run import Org, ReportLine
from include.crm.salesforce import SalesforceSession
from include.database import statistics
from include.database.copy import copy_in

# Entity -> the column with our id; the rows, with the alias that the mappings' keys use; and the description that a reviewer compares with
# the org record.
_OURS = {
    "household": (
        "identity_id",
        "warehouse.known_household h where h.is_anchor",
        "h.name, h.street, h.city, h.postal_code, h.phone, h.email",
    ),
    "person": (
        "identity_id",
        "warehouse.known_person p left join warehouse.known_household h on h.household_id = p.household_id where p.is_anchor",
        "p.name, 'born ' || p.birth_date, h.street, h.city, h.postal_code, p.phone, p.email",
    ),
    "legal_entity": ("identity_id", "warehouse.known_legal_entity l where l.is_anchor", "l.name"),
    "account": (
        "account_id",
        f"warehouse.account a where {current('a')} and {is_no_copy('a.account_id')}",
        "a.name, a.custodian, a.account_type, 'xxxx' || a.account_number_last4, 'opened ' || a.open_date",
    ),
}
_DECISIONS = sa.text("""
select salesforce_id, external_key, is_same from (
    select distinct on (salesforce_id, external_key) * from control.adoption_decision order by salesforce_id, external_key, decision_id desc
) d where is_same is not null
""")
_FINDING = pa.schema(
    {
        name: pa.string()
        for name in ("entity", "sobject", "salesforce_id", "external_key", "outcome", "ours", "candidates")
    }
)
# Records that the org had before us: others of ours may be one of them. A killed run may have written the planned keys.
_HAS_ADOPTED = sa.text("select exists (select from control.adopted where state in ('planned', 'written'))")
_REPLACE = sa.text("delete from control.adoption_finding")
_STORE = sa.text("""
insert into control.adoption_finding (entity, sobject, salesforce_id, external_key, outcome, ours, candidates, run_id)
select entity, sobject, salesforce_id, external_key, outcome, ours, candidates::jsonb, :run_id from found
""")
# Of several records of one client: the one with the most accounts, then the most fields, then the newest change.
_PROPOSE = sa.text(f"""
with owned as (
    select owner, count(*) as accounts from ({evidence.OWNERS}) o group by 1
), record as (
    select f.finding_id, f.sobject, f.external_key, r.salesforce_id, r.changed_at, coalesce(o.accounts, 0) as accounts,
           num_nonnulls(r.birth_date, r.email, r.phone, r.street) as filled
    from control.adoption_finding f join control.org_record r using (sobject, salesforce_id)
    left join owned o on o.owner = r.salesforce_id where f.outcome = 'duplicate'
), ranked as (
    select *, first_value(salesforce_id) over best as kept, row_number() over best as place, count(*) over (partition by sobject, external_key) as times
    from record window best as (partition by sobject, external_key order by accounts desc, filled desc, changed_at desc, salesforce_id)
), keyed as (
    select r.sobject, r.external_key, r.salesforce_id from control.org_record r where r.external_key is not null
)
update control.adoption_finding f
set proposal = case when k.salesforce_id is not null then 'Merge into ' || k.salesforce_id || ', which has our key'
                    when r.place = 1 then 'Choose this record: ' || r.accounts || case r.accounts when 1 then ' account' else ' accounts' end
                    else 'Merge into ' || r.kept || ' once it has our key' end
from ranked r left join keyed k on k.sobject = r.sobject and k.external_key = r.external_key
where f.finding_id = r.finding_id
""")  # noqa: S608


def replace_findings(
    db: sa.Connection,
    session: SalesforceSession,
    org: Org,
    run_id: str,
    on: date,
    report_line: ReportLine,
) -> dict[str, int]:
    """Read the changed org records, compare the org's records with ours, and replace the adoption findings.

    Args:
        db: A connection outside a transaction.
        session: The session.
        org: The org.
        run_id: The run.
        on: Today, for the matching of persons.
        report_line: Receives progress, a line at a time.

    Returns:
        The number of findings by outcome.

    Raises:
        ConfigurationError: The org lacks an object, or rejected a query.
        TargetUnavailable: Salesforce is unavailable.
    """
    mappings = [each for each in list_mappings(org.settings) if each.is_adopted]
    with db.begin():
        has_adopted = db.scalar(_HAS_ADOPTED)
    if not has_adopted and not has_foreign(session, mappings):
        with db.begin():
            db.execute(_REPLACE)
        return {}
    read_org(db, session, mappings, SHAPES[org.settings.shape].account_entity, org.redactor, report_line)
    with db.begin():
        statistics.analyze(db, "control.org_record")
    with db.begin():
        take_keyed(db, mappings, org.settings)
        decided = read_decisions(db)
        keys, ours = _read_ours(db, mappings, org.settings.firm)
        names = evidence.name_fields(next((each for each in mappings if each.entity == "account"), None))
        counts = _store(db, _compare(db, org, mappings, keys, decided, on, names), ours, run_id, names)
        note_changes(db, mappings, org.settings)
        relations.match(db, mappings, org.settings, run_id)
    report_line(
        f"Salesforce has already: {', '.join(f'{count:,} {name}' for name, count in counts.items()) or 'nothing'}"
    )
    return counts


def has_new(db: sa.Connection, mappings: Sequence[CrmObject], firm: str) -> bool:
    """Return whether a sync would create a record of a kind that is compared with the org's records."""
    for mapping in mappings:
        if mapping.entity in _OURS:
            _, rows, _ = _OURS[mapping.entity]
            query = sa.text(f"""
                select exists (select from (select {mapping.key} as external_key from {rows}) o where not exists (
                    select from control.crm_state s where s.sobject = :sobject and s.external_key = o.external_key))
            """)  # noqa: S608
            if db.scalar(query, {"firm": firm, "sobject": mapping.sobject}):
                return True
    return False


def read_decisions(db: sa.Connection) -> Decisions:
    """Return the reviewers' decisions that are in effect."""
    decided: dict[str, dict[str, bool]] = {}
    for salesforce_id, key, is_same in db.execute(_DECISIONS):
        decided.setdefault(salesforce_id, {})[key] = is_same
    return decided


def _compare(
    db: sa.Connection,
    org: Org,
    mappings: Sequence[CrmObject],
    keys: Mapping[str, Mapping[int, str]],
    decided: Decisions,
    on: date,
    names: Mapping[str, str | list[str]],
) -> list[Finding]:
    """Return the findings of all entities. An entity that is not sent to Salesforce has no keys, so no org record matches it."""
    sobject_of = {each.entity: each.sobject for each in mappings}
    numbers = evidence.read_accounts(db, keys["account"], decided, names)
    shared = numbers.count_shared_owners()
    homes = Homes(db, keys["household"], numbers)
    persons, traits = matching.match_persons(db, keys["person"], decided, org.identity, on)
    entities, named = matching.match_entities(db, keys["legal_entity"], decided, org.identity)
    legal_entities.settle_entities(entities, named, shared, keys["legal_entity"], decided)
    # Matched persons show which households are the same. Matched households and accounts then show which other persons are the same.
    at_home = _map_same(homes.match(persons, decided))
    Members(persons, traits, at_home, homes.home_of, shared, keys["person"], decided).settle()
    households = homes.match(persons, decided)
    at_home = _map_same(households)
    found = {"household": households, "person": persons, "legal_entity": entities}
    alike: dict[str, dict[str, list[Candidate]]] = {
        "person": lookalikes.find_lookalikes(persons, traits, at_home, homes.home_of, keys["person"], decided),
        "legal_entity": legal_entities.find_lookalikes(entities, named, keys["legal_entity"], decided),
    }
    alike["household"] = homes.list_doubtful(persons, keys["person"], alike["person"])
    if "account" in sobject_of:
        units = accounts.match_accounts(numbers, _map_owners(found), at_home, sobject_of["account"], decided)
        found["account"], alike["account"] = units, accounts.find_lookalikes(numbers, units, decided)
    findings: list[Finding] = []
    for entity, units in found.items():
        pairs = [
            (sobject_of[of], of) for of in (entity, *(["contact"] if entity == "person" else [])) if of in sobject_of
        ]
        findings += classify(entity, units, set(keys[entity].values()), pairs, alike.get(entity))
    return findings


def _read_ours(
    db: sa.Connection, mappings: Sequence[CrmObject], firm: str
) -> tuple[dict[str, dict[int, str]], dict[str, str]]:
    """Return our keys by entity and identity, and the descriptions of our records by key."""
    keys: dict[str, dict[int, str]] = {entity: {} for entity in _OURS}
    descriptions: dict[str, str] = {}
    for mapping in mappings:
        if mapping.entity in _OURS:
            column, rows, shown = _OURS[mapping.entity]
            alias = rows.split()[1]
            query = sa.text(f"select {alias}.{column}, {mapping.key}, concat_ws(', ', {shown}) from {rows}")  # noqa: S608
            for identity, key, description in db.execute(query, {"firm": firm}):
                keys[mapping.entity][identity] = key
                descriptions[key] = description
    return keys, descriptions


def _map_same(households: Sequence[Unit]) -> dict[str, int]:
    return {unit.records["Account"]: unit.matches.only.identity for unit in households if unit.matches.only}


def _map_owners(found: Mapping[str, Sequence[Unit]]) -> dict[str, frozenset[str]]:
    prefixes = {"person": "p", "legal_entity": "e"}
    return {
        unit.owner_id: frozenset(f"{prefix}{each.identity}" for each in unit.matches.same)
        for entity, prefix in prefixes.items()
        for unit in found[entity]
        if unit.matches.same
    }


def _store(
    db: sa.Connection,
    findings: Iterable[Finding],
    ours: Mapping[str, str],
    run_id: str,
    names: Mapping[str, str | list[str]],
) -> dict[str, int]:
    """Replace the findings; return their number by outcome."""
    rows = []
    for each in findings:
        candidates = [asdict(one) | {"ours": ours.get(one.external_key)} for one in each.candidates]
        row = {name: getattr(each, name) for name in ("entity", "sobject", "salesforce_id", "external_key", "outcome")}
        rows.append(row | {"ours": ours.get(each.external_key or ""), "candidates": json.dumps(candidates)})
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    db.execute(_REPLACE)
    copy_in(db, "found", _FINDING, [pa.Table.from_pylist(rows, schema=_FINDING)])
    db.execute(_STORE, {"run_id": run_id})
    db.execute(sa.text("drop table found"))
    statistics.analyze(db, "control.adoption_finding")
    db.execute(_PROPOSE, {"owners": names["owners"]})
    return counts
