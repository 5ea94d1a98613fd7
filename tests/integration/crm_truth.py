"""The expected records in Salesforce, computed independently of the loader: SQL over the warehouse, and the day before.

A record that left the warehouse stays in Salesforce, so a day's truth depends on that of the day before. The truth of each shape of org, with
its objects and fields, is in a module of its own: `crm_truth_managed`, `crm_truth_standard`, `crm_truth_plain`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from include.crm.settings import Settings
from tests.conftest import Database

KEY = "Tributary_Key__c"
PREFIX = "sample:orion"
WINDOW_DAYS = 30

Record = dict[str, Any]
Records = dict[str, Record]

_NOW = "{0}.recorded_to is null and {0}.valid_from <= :day and ({0}.valid_to is null or {0}.valid_to > :day)"

_SQL = {
    "household": "select * from warehouse.household h where {h}",
    "person": """
        select p.*, (select h.household_key from warehouse.household h where h.household_id = p.household_id and {h}) as house
        from warehouse.person p where {p}""",
    "legal_entity": "select * from warehouse.legal_entity l where {l}",
    "security": "select * from warehouse.security s where {s} order by security_id",
    "account": """
        select a.*, v.market_value_usd, v.cash_usd,
               (select h.household_key from warehouse.household h where h.household_id = a.household_id and {h}) as house,
               array(select coalesce((select 'person:' || p.person_key from warehouse.person p where p.person_id = o.person_id and {p}),
                                     (select 'legal_entity:' || l.legal_entity_key from warehouse.legal_entity l
                                      where l.legal_entity_id = o.legal_entity_id and {l}))
                     from warehouse.account_owner o
                     where o.account_id = a.account_id and (o.person_id is not null or o.legal_entity_id is not null) and {o}
                     order by o.share_ratio desc, o.account_owner_key) as owners
        from warehouse.account a left join (select * from warehouse.account_value
             where business_date = :day and recorded_to is null) v using (account_id)
        where {a}""",
    "owner": """
        select o.account_owner_key, a.account_key, coalesce('person:' || p.person_key, 'legal_entity:' || l.legal_entity_key) as owner
        from warehouse.account_owner o
        join warehouse.account a on a.account_id = o.account_id and {a}
        left join warehouse.person p on p.person_id = o.person_id and {p}
        left join warehouse.legal_entity l on l.legal_entity_id = o.legal_entity_id and {l}
        where {o} and coalesce(p.person_id, l.legal_entity_id) is not null
        order by a.account_key, coalesce(o.role = 'joint', false), o.share_ratio desc, o.account_owner_key""",
    "position": """
        select p.*, a.account_key, a.is_counted, s.security_key, s.name, s.ticker, s.asset_class,
               (select h.household_key from warehouse.household h where h.household_id = a.household_id and {h}) as house
        from warehouse.position p, warehouse.account a, warehouse.security s
        where p.business_date = :day and p.recorded_to is null and a.account_id = p.account_id and {a}
          and s.security_id = p.security_id and {s}""",
    "transaction": """
        select t.*, a.account_key, a.is_counted from warehouse.transaction t, warehouse.account a
        where t.recorded_to is null and a.account_id = t.account_id and {a}""",
    "finding": """
        select f.*, a.account_key, s.source_key as subject_key,
               (select h.household_key from warehouse.household h where h.household_id = f.household_id and {h}) as house
        from control.finding f
        join warehouse.source_key s on s.id = f.subject_id and s.entity = f.subject_entity
        left join warehouse.account a on f.subject_entity = 'account' and a.account_id = f.subject_id and {a}""",
}  # fmt: skip


class _Left:
    """A value that is unknown today: the field keeps its previous value."""


LEFT = _Left()


class _Since:
    """In a record that has left: the first day on which it was missing."""


SINCE = _Since()


RowsOf = Mapping[str, Sequence[Record]]
Build = Callable[[RowsOf], Iterator[tuple[str, Record]]]


@dataclass(frozen=True)
class Kind:
    """One kind of record: its object, how its records follow from the rows, the fields that are written once, and those of a record that has left."""

    sobject: str
    entity: str
    build: Build
    once: tuple[str, ...] = ()
    gone: Record = field(default_factory=dict)


@dataclass(frozen=True)
class Truth:
    """The truth of a shape of org.

    Attributes:
        settings: The settings of its sync.
        kinds: Its kinds of record, by the entity of the mapping.
        names: The names of some fields of its objects, for the tests.
    """

    settings: Settings
    kinds: Mapping[str, Kind]
    names: Mapping[str, str] = field(default_factory=dict)


def each(name: str, entity: str, build: Callable[[Record], Record], key: str = "") -> Build:
    """Return the function that builds one record of each row of a query; `key` is the column of the vendor's key."""

    def build_all(rows: RowsOf) -> Iterator[tuple[str, Record]]:
        return ((make_key(entity, row[key or f"{name}_key"]), build(row)) for row in rows[name])

    return build_all


def expect(database: Database, day: date, before: Mapping[str, Records], truth: Truth) -> dict[str, Records]:
    """Return the expected records after `day`, by kind and key, given those `before`."""
    rows = {name: database.rows(_fill(name), day=day) for name in _SQL}
    rows["member"] = [row for row in rows["person"] if row["house"]]
    rows["position"] = [row for row in rows["position"] if _counts(row)]
    rows["transaction"] = [
        row
        for row in rows["transaction"]
        if _is_shown(row, day) or make_key("transaction", row["transaction_key"]) in before.get("transaction", {})
    ]
    rows["finding"] = [
        row
        for row in rows["finding"]
        if row["closed_at"] is None or make_key("finding", row["finding_id"]) in before.get("finding", {})
    ]
    return {name: _roll(kind, before.get(name, {}), dict(kind.build(rows)), day) for name, kind in truth.kinds.items()}


def find_changed(before: Records, after: Records) -> set[str]:
    """Return the keys of records that are new or differ."""
    return {key for key, record in after.items() if before.get(key) != record}


def expect_tasks(database: Database, day: date, subjects: Mapping[str, str], before: Records) -> Records:
    """Return the expected Tasks: one per finding of a rule in `subjects`, completed once the finding is closed."""
    tasks = dict(before)
    for row in database.rows(_fill("finding"), day=day):
        key = make_key("finding", row["finding_id"])
        if row["rule"] in subjects and row["closed_at"] is None and key not in tasks:
            tasks[key] = {
                "Subject": subjects[row["rule"]],
                "Status": "Not Started",
                "Priority": "High" if row["severity"] == "critical" else "Normal",
                "What": make_key(row["subject_entity"], row["subject_key"]),
            }
        if row["closed_at"] is not None and key in tasks:
            tasks[key] = tasks[key] | {"Status": "Completed"}
    return tasks


def _roll(kind: Kind, before: Records, now: Records, day: date) -> Records:
    rolled = {key: record | _leave(kind, record, day) for key, record in before.items() if key not in now}
    for key, record in now.items():
        known = before.get(key, {})
        written_once = {name: known[name] for name in kind.once if known}
        left = {name: known.get(name) for name, value in record.items() if value is LEFT}
        rolled[key] = record | written_once | left
    return rolled


def _leave(kind: Kind, record: Record, day: date) -> Record:
    return {name: (record.get(name) or day) if value is SINCE else value for name, value in kind.gone.items()}


def _fill(name: str) -> str:
    return _SQL[name].format(**{alias: _NOW.format(alias) for alias in "hplsao"})


def make_key(entity: str, key: object) -> str:
    return f"{PREFIX}:{entity}:{key}"


def link(entity: str, key: str | None) -> str | None:
    return None if key is None else make_key(entity, key)


def link_owner(key: str | None) -> str | None:
    """Return the key of an owner, `<entity>:<the vendor's key>`."""
    return None if key is None else f"{PREFIX}:{key}"


def cut(value: str | None, length: int) -> str | None:
    return None if value is None else value.strip(" ")[:length].strip(" ") or None


def round_to(value: Decimal | None, places: str) -> Decimal | None:
    return None if value is None else value.quantize(Decimal(places), ROUND_HALF_UP)


def noon(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(12), UTC)


def _counts(row: Record) -> bool:
    return row["is_counted"] is not False


def _is_shown(row: Record, day: date) -> bool:
    """Whether a trade belongs in Salesforce: posted at least once in the last weeks; it stays when it gets older."""
    is_new = day - timedelta(days=WINDOW_DAYS) <= row["trade_date"] <= day
    return is_new and _counts(row) and row["status"] in ("posted", "reversed")


def worth(row: Record, value: Decimal | None) -> Any:
    """Return an account's value: none for a parent of sleeves, zero for a closed account without a value."""
    if row["is_counted"] is False or value is not None:
        return None if row["is_counted"] is False else value
    return Decimal(0) if row["is_active"] is False else LEFT
