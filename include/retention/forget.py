"""Forget a person: delete all data without a retention duty, list the rest with the end of its duty, and record a receipt.

Files are deleted first. Rows are deleted last, in one transaction with the receipt, because they identify the person: so a command that
was killed can be run again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from include.canonical import ENTITIES
from include.control.ledger import LAST_PARTITIONS
from include.errors import ConfigurationError
from include.keys.keyring import Keyring
from include.retention import person as people
from include.retention import traces
from include.retention.datasets import BOOKS
from include.retention.person import Person, depends_on, external_keys
from include.retention.staging import PAGES, delete_pull
from include.retention.traces import SEALED_IDS, has_term
from include.sensitive import Redactor
from include.staging.partitions import Staging

_LINKED_AS = {"outside_account": "account"}
"""Entity -> the entity under which identity resolution stores its links."""
_LINKED = "(select * from unnest(cast(:linked as text[]), cast(:linked_ids as bigint[])))"
_OF_KEYS = "unnest(cast(:vendors as text[]), cast(:entities as text[]), cast(:keys as text[])) k(vendor, entity, key)"
_KEYS = f"(select * from {_OF_KEYS})"  # noqa: S608
_IN_SALESFORCE = """
(substr(t.external_key, strpos(t.external_key, ':') + 1) = any(:whole)
 or exists (select from unnest(cast(:beginnings as text[])) b(word) where starts_with(substr(t.external_key, strpos(t.external_key, ':') + 1), b.word)))
"""
_DESCRIBES = f"""
(exists (select from jsonb_to_recordset(t.describes) d(entity text, key text, parent text) join {_OF_KEYS}
         on k.vendor = t.vendor and (k.entity = d.entity and k.key = d.key or k.key = d.parent and k.entity in ('person', 'household')))
 or t.stage = 'crm' and substr(t.row_key, strpos(t.row_key, ':') + 1) = any(:whole) or {has_term("array_to_string(t.reasons, ' ')")})
"""
_REQUESTED = (
    f"exists (select from {_OF_KEYS} where k.vendor = t.vendor and k.key = any(string_to_array(t.request_key, '|')))"
)
_IS_IN_CONTENT = {table: f"{of_row} = any(:sealed_{table.partition('.')[2]})" for table, of_row in SEALED_IDS.items()}
"""Table -> SQL condition of rows `t` in whose sealed content the person was found."""

_COPIES = {
    "control.org_read": "true",  # the next comparison reads the org again
    "control.org_record": "true",
    "control.adoption_finding": "true",
    "control.identity_state": "true",  # the next run matches all records and writes it again
    "control.inbox": f"t.processed_at is not null and ({has_term('t.headers', ['body'])} or {_IS_IN_CONTENT['control.inbox']})",
    "control.answer": f"({_REQUESTED} or {has_term('t.request_key')} or {_IS_IN_CONTENT['control.answer']})",
    "control.known_answer": f"({_REQUESTED} or {has_term('t.request_key')} or {_IS_IN_CONTENT['control.known_answer']})",
    "control.dead_letter_content": f"t.dead_letter_id in (select t.dead_letter_id from control.dead_letter t where {_DESCRIBES})",  # noqa: S608
    "control.dead_letter": f"t.status <> 'open' and {_DESCRIBES}",
}
"""Table -> SQL condition of rows `t` that are deleted for every person, because no duty requires them."""

_RECORDS = {
    "control.dead_letter": _DESCRIBES,
    "control.finding": "t.finding_id = any(:findings)",
    "control.crm_sent": _IN_SALESFORCE,
    "control.crm_difference": _IN_SALESFORCE,
    "control.adoption_decision": "t.salesforce_id = any(:salesforce_ids)",
    "control.adopted": "t.salesforce_id = any(:salesforce_ids)",
    "control.crm_mark": "t.salesforce_id = any(:salesforce_ids)",
    "warehouse.crm_change": "t.salesforce_id = any(:salesforce_ids)",
    "control.crm_state": _IN_SALESFORCE,
    **{
        f"control.identity_{name}": f"(t.entity, abs(t.left_id)) in {_LINKED} or (t.entity, abs(t.right_id)) in {_LINKED}"
        for name in ("link", "review", "decision")
    },
    "warehouse.identity": f"(t.entity, t.id) in {_LINKED}",
    "warehouse.sealed_value": f"""
        exists (select from warehouse.source_key s where (s.entity, s.id) = (t.entity, t.id) and (s.vendor, s.entity, s.source_key) in {_KEYS})
    """,
    "control.absence": f"(t.vendor, t.entity, t.source_key) in {_KEYS}",
    "control.past_absence": f"(t.vendor, t.entity, t.source_key) in {_KEYS}",
    "warehouse.source_key": f"(t.vendor, t.entity, t.source_key) in {_KEYS}",
    "control.first_hash": f"""
        exists (select from {_OF_KEYS} where t.current_hash = any(string_to_array(k.key, ':')))
        and not exists (select from warehouse.source_key o where t.current_hash = any(string_to_array(o.source_key, ':'))
                        and (o.vendor, o.entity, o.source_key) not in {_KEYS})
    """,  # noqa: S608
}
"""Table -> SQL condition of rows `t` that are deleted only if the person has no accounts."""

_REPLACE_PARAMS = f"""
update control.request t set params = jsonb_set(t.params, '{{keys}}', '["forgotten"]')
where t.ended_at is not null and exists (select from {_OF_KEYS} where k.vendor = t.vendor and t.params -> 'keys' ? k.key)
"""  # noqa: S608
_FINDINGS = sa.text(f"""
select vendor, finding_id from control.finding t
where (t.subject_entity, t.subject_id) in {_LINKED} or t.household_id = any(:household)
""")  # noqa: S608
_SALESFORCE = sa.text(
    f"select sobject, external_key, salesforce_id from control.crm_state t where {_IN_SALESFORCE} order by 1, 2"  # noqa: S608
)
# The person's keys as they were before rotations of the hash key. Salesforce still has these.
_FIRST_KEYS = sa.text(f"select vendor, entity, control.first_key(key) from {_OF_KEYS}")  # noqa: S608
# Partitions that stay: each table's last loaded one, which a later run reads, and those with open dead letters that are not deleted.
_NEEDED = sa.text(f"""
select partition from ({LAST_PARTITIONS}) p
union select t.partition from control.dead_letter t where t.status = 'open' and (not :is_record or not {_DESCRIBES})
""")  # noqa: S608
_RECEIPT = sa.text("""
insert into control.audit (happened_at, database_user, actor, action, subject, details)
values (clock_timestamp(), session_user, :actor, 'person.forgotten', :subject, cast(:details as jsonb)) returning entry_id
""")


_RETURNED = sa.text("""
select distinct p.vendor, p.person_key from warehouse.person p where p.recorded_to is null order by 1, 2
""")
FORGOTTEN = """
select distinct jsonb_array_elements_text(details -> 'keys') from control.audit where action in ('person.forgotten', 'forgotten.carried')
"""
"""SQL query: the hashes of the keys of forgotten persons, from their receipts and from those of a database before a rebuild."""


@dataclass
class Forgotten:
    """The data that was disposed of (for a dry run: would be), and the data that stays.

    Attributes:
        rows: Table -> number of deleted rows.
        partitions: Paths of the deleted partitions.
        pages: Names of the deleted files of Data Docs.
        kept: Data that stays, as a description or a path -> why, and until when.
        salesforce: (object, key, id) of the person's records in Salesforce. Its administrator must delete them.
        remaining: Table, `staging` or `pages` -> number of rows, partitions or files that still contain a text that identifies the person;
            empty for a dry run.
        receipt: Id of the entry in the audit trail; None for a dry run.
    """

    rows: dict[str, int] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    salesforce: list[tuple[str, str, str]] = field(default_factory=list)
    remaining: dict[str, int] = field(default_factory=dict)
    receipt: int | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """Where a firm's data is.

    Attributes:
        engine: The database, as the schema's owner.
        staging: The staging folder.
        keyring: The firm's keys: they open sealed rows, and hash the keys in the receipt.
    """

    engine: sa.Engine
    staging: Staging
    keyring: Keyring


def forget(store: Store, reference: str, actor: str, *, is_dry: bool) -> Forgotten:
    """Dispose of a person's data, or with `is_dry` only list it.

    Args:
        store: Where the data is.
        reference: Our id of the person, or `<vendor>:<key>`.
        actor: Who asked for it, for the audit trail.
        is_dry: Whether to change nothing.

    Raises:
        InputRejected: There is no such person.
        ConfigurationError: A document of the person is under a retention hold. A dry run lists the hold in `kept` instead.
        TributaryError: The database or the staging folder failed; run it again.
    """
    with store.engine.begin() as connection:
        person = people.find(connection, reference)
        if person.holds and not is_dry:
            raise ConfigurationError("The person's documents are under a retention hold; nothing was changed", reasons=person.holds)  # fmt: skip
        values = _read_values(connection, person)
        result = Forgotten(kept=dict(_list_kept(person)))
        result.salesforce = [] if person.is_client else [(r[0], r[1], r[2]) for r in connection.execute(_SALESFORCE, values)]  # fmt: skip
        values["salesforce_ids"] = [salesforce_id for *_, salesforce_id in result.salesforce]
        needed = set(connection.scalars(_NEEDED, values | {"is_record": not person.is_client}))
    _forget_files(store, person, needed, result, is_dry=is_dry)
    with store.engine.begin() as connection:
        for table in SEALED_IDS:
            values[f"sealed_{table.partition('.')[2]}"] = traces.find_sealed(
                connection, store.keyring, table, person.terms
            )
        result.rows = dict(_forget_rows(connection, person, values, is_dry=is_dry))
        if not is_dry:
            result.receipt = _write_receipt(connection, store.keyring.redactor, person, result, actor)
    if not is_dry:
        _vacuum(store.engine, result.rows)
        result.remaining = find_remaining(store, person)
    return result


def find_returned(engine: sa.Engine, redactor: Redactor) -> list[tuple[str, str]]:
    """Return (vendor, key) of each person in the warehouse who was forgotten before. Their vendors still have them.

    Receipts from before a rotation of the hash key are compared too, except for persons whose key at the vendor is itself a hash.
    """
    with engine.connect() as connection:
        if not (forgotten := {redactor.lift(each) for each in connection.scalars(sa.text(FORGOTTEN))}):
            return []
        rows = connection.execute(_RETURNED).all()
    return [
        (row.vendor, row.person_key) for row in rows if redactor.hash(f"{row.vendor}:{row.person_key}") in forgotten
    ]


def describe(result: Forgotten, *, is_dry: bool) -> Iterator[str]:
    """Yield the lines that the command prints. They contain keys and ids, but no names."""
    yield "Dry run, nothing was changed. With --yes, this goes:" if is_dry else "Disposed of:"
    yield from (f"  {table}: {count} rows" for table, count in result.rows.items())
    yield from (f"  partition {path}" for path in result.partitions)
    yield from (f"  page {page}" for page in result.pages)
    if not (result.rows or result.partitions or result.pages):
        yield "  nothing"
    yield from (f"Kept: {what}: {why}" for what, why in result.kept.items())
    yield from (f"In Salesforce, for its administrator to delete: {sobject} {record} ({key})" for sobject, key, record in result.salesforce)  # fmt: skip
    yield from (f"Still found: {place}: {count}" for place, count in result.remaining.items())
    if result.rows and not result.kept:
        yield "A vendor that still has the person brings the person back with its next pull: have it delete the person first"
    if result.receipt:
        yield f"Receipt: entry {result.receipt} of the audit trail"


def find_remaining(store: Store, person: Person) -> dict[str, int]:
    """Search all tables, staging and pages for the person's texts; return the number of rows, pulls or pages by place, without zeros."""
    if not person.terms:
        return {}
    with store.engine.begin() as connection:
        remaining = traces.search_tables(connection, store.keyring, person.terms)
    remaining["staging"] = sum(1 for _ in traces.search_staging(store.staging, person))
    remaining["pages"] = sum(1 for _ in traces.search_pages(store.staging, person.terms))
    return {place: count for place, count in remaining.items() if count}


def _read_values(connection: sa.Connection, person: Person) -> dict[str, Any]:
    """Return the parameters of the SQL statements of this module."""
    linked = [(_LINKED_AS.get(entity, entity), each) for entity, ids in person.ids.items() for each in ids]  # fmt: skip
    values: dict[str, Any] = {
        **person.ids,
        "vendors": [vendor for vendor, _, _ in person.keys],
        "entities": [entity for _, entity, _ in person.keys],
        "keys": [key for *_, key in person.keys],
        "linked": [entity for entity, _ in linked],
        "linked_ids": [each for _, each in linked],
        "terms": traces.spell(person.terms),
    }
    findings = [(row.vendor, row.finding_id) for row in connection.execute(_FINDINGS, values)]
    whole, beginnings = external_keys([*person.keys, *map(tuple, connection.execute(_FIRST_KEYS, values))], findings)
    return values | {"findings": [number for _, number in findings], "whole": whole, "beginnings": beginnings}


def _list_kept(person: Person) -> Iterator[tuple[str, str]]:
    if person.is_client:
        yield (
            "records in the warehouse, findings, identity, the state of Salesforce",
            f"{BOOKS}. Until seven years after the vendor no longer has the record; then the disposal deletes them",
        )
    if person.envelopes:
        until = max((str(each) for each in person.envelopes.values() if each), default="seven years after their end")
        yield f"{len(person.envelopes)} envelopes, with recipients, events and documents", f"{BOOKS}. Until {until}"
    if person.shared_households:
        yield f"{person.shared_households} households", "shared with other persons; their names and addresses may name the person"  # fmt: skip
    if person.holds:
        yield "everything", f"a retention hold: {'; '.join(person.holds)}"


def _forget_files(store: Store, person: Person, needed: set[str], result: Forgotten, *, is_dry: bool) -> None:
    for pull in traces.search_staging(store.staging, person):
        if pull.path in needed:
            result.kept[pull.path] = "the newest pull of its table, or other rows of it are open dead letters: run this again after the next pull, or after their replay"  # fmt: skip
            continue
        result.partitions.append(pull.path)
        if not is_dry:
            delete_pull(store.staging, pull)
    for page in traces.search_pages(store.staging, person.terms):
        result.pages.append(page)
        if not is_dry:
            store.staging.folder(PAGES).delete(page)


def _forget_rows(
    connection: sa.Connection, person: Person, values: Mapping[str, Any], *, is_dry: bool
) -> Iterator[tuple[str, int]]:
    """Delete the rows, or count them; yield (table, rows) for each table that has some."""
    verb = "select count(*) from" if is_dry else "delete from"
    for table, condition in (_COPIES if person.is_client else _COPIES | _RECORDS | _list_entities(person)).items():
        done = connection.execute(sa.text(f"{verb} {table} t where {condition}"), values)
        if count := int(done.scalar_one() if is_dry else done.rowcount):
            yield table, count
    if not is_dry and (replaced := connection.execute(sa.text(_REPLACE_PARAMS), values).rowcount):
        yield "control.request (keys replaced)", replaced


def _vacuum(engine: sa.Engine, tables: Mapping[str, int]) -> None:
    """Remove the deleted rows from the files of the tables and their indexes at once, because PostgreSQL would do so only later."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            sa.text("select pg_stat_force_next_flush()")
        )  # else the deletions may be counted after the vacuum
        for table in tables:
            connection.exec_driver_sql(f"vacuum {table.partition(' ')[0]}")


def _list_entities(person: Person) -> dict[str, str]:
    """Return table -> SQL condition of the person's rows: descriptions by their own ids, facts by the records that they refer to."""
    conditions = {}
    for entity in ENTITIES:
        own = f"t.{entity.name}_id = any(:{entity.name})" if person.ids.get(entity.name) else ""
        refers = depends_on(entity, person.ids) if entity.kind != "description" else ""
        if condition := own or refers:
            conditions[f"warehouse.{entity.name}"] = condition
    return conditions


def _write_receipt(connection: sa.Connection, redactor: Redactor, person: Person, result: Forgotten, actor: str) -> int:
    hashes = sorted(redactor.hash(f"{vendor}:{key}") for vendor, key in person.own_keys)
    details = {
        "keys": hashes, "rows": result.rows, "partitions": len(result.partitions), "pages": len(result.pages),
        "salesforce_records": len(result.salesforce), "kept": sorted(set(result.kept.values())),
    }  # fmt: skip
    values = {"actor": actor, "subject": f"person {hashes[0]}", "details": json.dumps(details)}
    return int(connection.scalar(_RECEIPT, values) or 0)
