"""The expected records in Salesforce, computed independently of the loader: SQL over the warehouse, and the day before.

A record that left the warehouse stays in Salesforce, so a day's truth depends on that of the day before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.conftest import Database

KEY = "Tributary_Key__c"
PREFIX = "sample:orion"
ACCOUNTS = "FinServ__FinancialAccount__c"
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


@dataclass(frozen=True)
class Kind:
    """One kind of record: its object, the fields that are written once, and the fields of a record that has left."""

    sobject: str
    entity: str
    once: tuple[str, ...] = ()
    gone: Record = field(default_factory=dict)


_NOTHING = dict.fromkeys(("FinServ__Shares__c", "FinServ__MarketValue__c", "FinServ__GainLoss__c"), Decimal(0))
_NO_MEMBER = dict.fromkeys(("IsActive", "FinServ__PrimaryGroup__c", "FinServ__IncludeInGroup__c"), False)

KINDS = {
    "household": Kind("Account", "household", once=("FinServ__ClientCategory__c", "Phone")),
    "person": Kind("Account", "person"),
    "contact": Kind("Contact", "person"),
    "membership": Kind("AccountContactRelation", "membership", gone=_NO_MEMBER),
    "legal_entity": Kind("Account", "legal_entity"),
    "security": Kind("FinServ__Securities__c", "security"),
    "account": Kind(ACCOUNTS, "account"),
    "account_role": Kind("FinServ__FinancialAccountRole__c", "account_role"),
    "position": Kind("FinServ__FinancialHolding__c", "position", gone=_NOTHING),
    "transaction": Kind("FinServ__FinancialAccountTransaction__c", "transaction"),
    "finding": Kind("FinServ__Alert__c", "finding"),
}


def expect(database: Database, day: date, before: Mapping[str, Records]) -> dict[str, Records]:
    """Return the expected records after `day`, by kind and key, given those `before`."""
    rows_of = {name: database.rows(_fill(name), day=day) for name in _SQL}
    fresh: dict[str, Records] = {
        "household": {_key("household", r["household_key"]): _household(r) for r in rows_of["household"]},
        "person": {_key("person", r["person_key"]): _person(r) for r in rows_of["person"]},
        "contact": {_key("person", r["person_key"]): _contact(r) for r in rows_of["person"]},
        "membership": dict(_membership(r) for r in rows_of["person"] if r["house"]),
        "legal_entity": {
            _key("legal_entity", r["legal_entity_key"]): _legal_entity(r) for r in rows_of["legal_entity"]
        },
        "security": dict(_securities(rows_of["security"])),
        "account": {_key("account", r["account_key"]): _account(r) for r in rows_of["account"]},
        "account_role": {},  # the titles of the invented firm name grantors, and no trustees
        "position": {_key("position", r["position_key"]): _position(r) for r in rows_of["position"] if _counts(r)},
        "transaction": {
            _key("transaction", r["transaction_key"]): _transaction(r)
            for r in rows_of["transaction"]
            if _is_shown(r, day) or _key("transaction", r["transaction_key"]) in before.get("transaction", {})
        },
        "finding": {
            key: _alert(r)
            for r in rows_of["finding"]
            if (key := _key("finding", r["finding_id"])) in before.get("finding", {}) or r["closed_at"] is None
        },
    }
    return {name: _roll(KINDS[name], before.get(name, {}), now) for name, now in fresh.items()}


def find_changed(before: Records, after: Records) -> set[str]:
    """Return the keys of records that are new or differ."""
    return {key for key, record in after.items() if before.get(key) != record}


def expect_tasks(database: Database, day: date, subjects: Mapping[str, str], before: Records) -> Records:
    """Return the expected Tasks: one per finding of a rule in `subjects`, completed once the finding is closed."""
    tasks = dict(before)
    for row in database.rows(_fill("finding"), day=day):
        key = _key("finding", row["finding_id"])
        if row["rule"] in subjects and row["closed_at"] is None and key not in tasks:
            tasks[key] = {
                "Subject": subjects[row["rule"]],
                "Status": "Not Started",
                "Priority": "High" if row["severity"] == "critical" else "Normal",
                "What": _key(row["subject_entity"], row["subject_key"]),
            }
        if row["closed_at"] is not None and key in tasks:
            tasks[key] = tasks[key] | {"Status": "Completed"}
    return tasks


def _roll(kind: Kind, before: Records, now: Records) -> Records:
    rolled = {key: record | kind.gone for key, record in before.items() if key not in now}
    for key, record in now.items():
        known = before.get(key, {})
        written_once = {name: known[name] for name in kind.once if known}
        left = {name: known.get(name) for name, value in record.items() if value is LEFT}
        rolled[key] = record | written_once | left
    return rolled


def _fill(name: str) -> str:
    return _SQL[name].format(**{alias: _NOW.format(alias) for alias in "hplsao"})


def _key(entity: str, key: object) -> str:
    return f"{PREFIX}:{entity}:{key}"


def _link(entity: str, key: str | None) -> str | None:
    return None if key is None else _key(entity, key)


def _owner(key: str | None) -> str | None:
    """Return the key of an owner, `<entity>:<the vendor's key>`."""
    return None if key is None else f"{PREFIX}:{key}"


def _text(value: str | None, length: int) -> str | None:
    return None if value is None else value.strip(" ")[:length].strip(" ") or None


def _round(value: Decimal | None, places: str) -> Decimal | None:
    return None if value is None else value.quantize(Decimal(places), ROUND_HALF_UP)


def _noon(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(12), UTC)


def _counts(row: Record) -> bool:
    return row["is_counted"] is not False


def _is_shown(row: Record, day: date) -> bool:
    """Whether a trade belongs in Salesforce: posted at least once in the last weeks; it stays when it gets older."""
    is_new = day - timedelta(days=WINDOW_DAYS) <= row["trade_date"] <= day
    return is_new and _counts(row) and row["status"] in ("posted", "reversed")


def _household(row: Record) -> Record:
    return {
        "RecordType.DeveloperName": "IndustriesHousehold",
        "FinServ__IndividualType__c": "Group",
        "Name": _text(row["name"], 255),
        "FinServ__ClientCategory__c": _text(row["category"], 255),
        "FinServ__Status__c": {True: "Active", False: "Inactive", None: None}[row["is_active"]],
        "BillingStreet": _text(row["street"], 255),
        "BillingCity": _text(row["city"], 40),
        "BillingState": _text(row["state_code"], 80),
        "BillingPostalCode": _text(row["postal_code"], 20),
        "BillingCountry": _text(row["country"], 80),
        "Phone": _text(row["phone"], 40),
    }


def _person(row: Record) -> Record:
    fixed = {"RecordType.DeveloperName": "IndustriesIndividual", "FinServ__IndividualType__c": "Individual"}
    return fixed | {"Name": _text(row["name"], 255)}


def _legal_entity(row: Record) -> Record:
    return {"RecordType.DeveloperName": "IndustriesBusiness", "Name": _text(row["name"], 255)}


def _contact(row: Record) -> Record:
    return {
        f"Account.{KEY}": _key("person", row["person_key"]),
        "FirstName": _text(row["first_name"], 40),
        "LastName": _text(row["name"] if row["last_name"] is None else row["last_name"], 80),
        "Birthdate": row["birth_date"],
    }


def _membership(row: Record) -> tuple[str, Record]:
    record = {
        f"Contact.{KEY}": _key("person", row["person_key"]),
        f"Account.{KEY}": _key("household", row["house"]),
        "Roles": "Client",
    }
    return _key("membership", f"{row['person_key']}:{row['house']}"), record | dict.fromkeys(_NO_MEMBER, True)


def _securities(rows: list[Record]) -> Iterator[tuple[str, Record]]:
    """Return securities with unique names (ignoring case); the first one keeps the plain name."""
    taken: set[str] = set()
    for row in rows:
        name = _text(row["name"], 150)
        if name is not None and name.lower() in taken:
            name = f"{row['name'][:110]} (orion {row['security_key']})"
        taken.add((name or "").lower())
        yield (
            _key("security", row["security_key"]),
            {
                "Name": _text(row["ticker"] or row["cusip"] or row["security_key"], 80),
                "FinServ__SecuritiesName__c": name,
                "FinServ__CUSIP__c": row["cusip"] if len(row["cusip"] or "") == 9 else None,
                "FinServ__AssetClass__c": row["asset_class"],
            },
        )


def _account(row: Record) -> Record:
    owners = [*row["owners"], None, None]
    return {
        "RecordType.DeveloperName": "InvestmentAccount",
        "Name": _text(row["name"], 80),
        f"FinServ__PrimaryOwner__r.{KEY}": _owner(owners[0]),
        f"FinServ__JointOwner__r.{KEY}": _owner(owners[1]),
        f"FinServ__Household__r.{KEY}": _link("household", row["house"]),
        "FinServ__FinancialAccountType__c": _text(row["account_type"], 255),
        "FinServ__FinancialAccountNumber__c": row["account_number_last4"] and f"xxxx{row['account_number_last4']}",
        "FinServ__Status__c": {True: "Open", False: "Closed", None: None}[row["is_active"]],
        "FinServ__OpenDate__c": row["open_date"],
        "FinServ__CloseDate__c": row["close_date"],
        "FinServ__Managed__c": bool(row["is_managed"]),
        "FinServ__Discretionary__c": bool(row["is_discretionary"]),
        "FinServ__Balance__c": _worth(row, row["market_value_usd"]),
        "FinServ__CashBalance__c": _worth(row, row["cash_usd"]),
    }


def _worth(row: Record, value: Decimal | None) -> Any:
    """Return an account's value: none for a parent of sleeves, zero for a closed account without a value."""
    if row["is_counted"] is False or value is not None:
        return None if row["is_counted"] is False else value
    return Decimal(0) if row["is_active"] is False else LEFT


def _position(row: Record) -> Record:
    value, cost = row["market_value_usd"], row["cost_basis_usd"]
    return {
        "Name": _text(row["name"] or row["ticker"], 80),
        f"FinServ__FinancialAccount__r.{KEY}": _link("account", row["account_key"]),
        f"FinServ__Securities__r.{KEY}": _link("security", row["security_key"]),
        f"FinServ__Household__r.{KEY}": _link("household", row["house"]),
        "FinServ__AssetClass__c": row["asset_class"],
        "FinServ__Shares__c": _round(row["quantity"], "0.0001"),
        "FinServ__Price__c": _round(row["price_usd"], "0.0001"),
        "FinServ__MarketValue__c": value,
        "FinServ__GainLoss__c": None if value is None or cost is None else value - cost,
    }


def _transaction(row: Record) -> Record:
    amount = row["amount_usd"] or Decimal(0)
    return {
        f"FinServ__FinancialAccount__r.{KEY}": _link("account", row["account_key"]),
        "FinServ__TransactionDate__c": _noon(row["trade_date"]),
        "FinServ__Amount__c": amount,
        "FinServ__TransactionType__c": "Debit" if amount < 0 else "Credit",
        "FinServ__TransactionStatus__c": "Posted" if row["status"] == "posted" else "Cancelled",
        "FinServ__PostDate__c": _noon(row["settle_date"]),
        "FinServ__Description__c": _text(row["description"] or row["transaction_type"], 255),
    }


def _alert(row: Record) -> Record:
    return {
        "FinServ__Message__c": row["rule"].replace("_", " "),
        "FinServ__MessageDescription__c": _text(row["details"], 255),
        "FinServ__Severity__c": {"critical": "Error", "warning": "Warning"}.get(row["severity"], "Info"),
        "FinServ__Active__c": row["closed_at"] is None,
        f"FinServ__Account__r.{KEY}": _link("household", row["house"]),
        f"FinServ__FinancialAccount__r.{KEY}": _link("account", row["account_key"]),
    }
