"""The declaration of a Salesforce object: CrmObject, Field.

Values are rounded to Salesforce's precision before they are compared, so that a rounding difference is no change. Each field
has one owner:

    we write it         the vendor is right; edits in Salesforce are overwritten
    we write it once    when the record is new (`once`); after that the firm owns it
    Salesforce owns it  not declared here, so never sent: totals that it rolls up, owners, service models

A field that the package lacks is `custom`: `include.crm.deployment` generates what a firm deploys from its declaration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from include.crm.settings import Settings

Kind = Literal["text", "number", "flag", "time"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Salesforce object.

    Attributes:
        name: API name; with a dot, a parent referenced by its key.
        sql: SQL of the text that is sent; null clears the field.
        kind: The JSON type, and how the value is compared with Salesforce's.
        is_once: Whether it is sent only with a new record.
        unknown: SQL that is true if the value is unknown today: the field is left unchanged.
        when_gone: Its value once the record is missing from the vendor's snapshot; None leaves it unchanged.
        links_to: The object that a lookup refers to.
        is_daily: Whether it changes every day by nature, such as a price. Such changes need no approval.
        type: Salesforce's type. Only custom fields are created from it.
        length: Characters of a text.
        decimals: Decimal places of a number.
        label: Label of a custom field; empty for fields that the org already has.
        description: What a custom field shows.
    """

    name: str
    sql: str
    kind: Kind = "text"
    is_once: bool = False
    is_daily: bool = False
    links_to: str = ""
    unknown: str = ""
    when_gone: str | None = None
    type: str = "Text"
    length: int = 255
    decimals: int = 0
    label: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class CrmObject:
    """One kind of record.

    Attributes:
        entity: Canonical entity; part of every key.
        sobject: Salesforce's object.
        key_field: The external id field that stores our key.
        key: SQL of the key, `<firm>:<vendor>:<entity>:<the vendor's key>`.
        fields: The fields to load, without the key.
        source: SQL after `from`. It may read `temporary.PRESENT_DAY`, each vendor's latest day loaded by a current pull.
        parent: Parent field whose records are sent together, because Salesforce locks the parent; empty for none.
        closed_by: Field and value that close a record, such as an account; empty if records can't be closed.
        worth: Dollar field whose sum may not change much without approval; empty for none.
        died_as: Entity whose dead letters show that a record is unreadable rather than removed; the record's own by default.
    """

    entity: str
    sobject: str
    key_field: str
    key: str
    fields: tuple[Field, ...]
    source: str
    parent: str = ""
    closed_by: tuple[str, str] = ("", "")
    worth: str = ""
    died_as: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The header of the CSV file."""
        return (self.key_field, *(field.name for field in self.fields))

    @property
    def once(self) -> list[str]:
        """Names of the fields sent only with a new record."""
        return [field.name for field in self.fields if field.is_once]

    @property
    def daily(self) -> list[str]:
        """Names of the fields that change every day by nature."""
        return [field.name for field in self.fields if field.is_daily]

    @property
    def lookups(self) -> dict[str, list[str]]:
        """The lookup fields, as `links`, and the objects that they refer to, as `parents`."""
        fields = [field for field in self.fields if field.links_to]
        return {"links": [field.name for field in fields], "parents": [field.links_to for field in fields]}

    @property
    def is_written_when_gone(self) -> bool:
        """Whether a record missing from the vendor's snapshot is written once more."""
        return any(field.when_gone is not None for field in self.fields)


def key(entity: str, alias: str) -> str:
    """Return SQL of a warehouse row's external key; null if a join found no row."""
    return f"(:firm || ':' || {alias}.vendor || ':{entity}:' || {alias}.{entity}_key)"


def current(alias: str) -> str:
    """Return the SQL condition for a description's current version, as known now, listed by a current pull."""
    return f"{alias}.valid_to is null and {alias}.recorded_to is null and not {alias}.is_past_only"


def link(settings: Settings, relationship: str, sobject: str, sql: str) -> Field:
    """Return a lookup field that refers to another record by our key."""
    return Field(f"{relationship}.{settings.key_of(sobject)}", sql, links_to=sobject)


def text(name: str, sql: str, length: int) -> Field:
    """Return a text field, truncated to its length. Trims and reads `#N/A` as null, as Salesforce does."""
    return Field(name, f"nullif(nullif(btrim(left(btrim({sql}), {length})), ''), '#N/A')", length=length)


def number(name: str, sql: str, decimals: int, *, when_gone: str | None = None, unknown: str = "") -> Field:
    """Return a number field, rounded to `decimals`."""
    rounded = f"round({sql}, {decimals})::text"
    return Field(name, rounded, "number", when_gone=when_gone, unknown=unknown, type="Number", decimals=decimals)


def money(name: str, sql: str, *, when_gone: str | None = None, unknown: str = "") -> Field:
    """Return a field of dollars and cents."""
    return replace(number(name, sql, 2, when_gone=when_gone, unknown=unknown), type="Currency")


def percent(name: str, sql: str) -> Field:
    """Return a field of percent with two decimals, of SQL of a ratio (0-1)."""
    return replace(number(name, f"({sql}) * 100", 2), type="Percent")


def day(name: str, sql: str) -> Field:
    """Return a date field."""
    return Field(name, f"({sql})::text", type="Date")


def noon(name: str, sql: str) -> Field:
    """Return a datetime field of a day, at noon UTC, which is the same day in every American office."""
    return Field(name, f"to_char({sql}, 'YYYY-MM-DD\"T12:00:00Z\"')", "time", type="DateTime")


def moment(name: str, sql: str) -> Field:
    """Return a datetime field, truncated to the second."""
    utc = f"date_trunc('second', {sql}) at time zone 'UTC'"
    return Field(name, f'to_char({utc}, \'YYYY-MM-DD"T"HH24:MI:SS"Z"\')', "time", type="DateTime")


def flag(name: str, sql: str, *, when_gone: str | None = None) -> Field:
    """Return a checkbox field; null becomes false."""
    return Field(name, f"coalesce({sql}, false)::text", "flag", when_gone=when_gone, type="Checkbox")


def always(name: str, value: str) -> Field:
    """Return a field with the same value in every record."""
    return Field(name, f"'{value}'::text")


def daily(field: Field) -> Field:
    """Mark a field that changes every day by nature."""
    return replace(field, is_daily=True)


def once(field: Field) -> Field:
    """Mark a field that is sent only with a new record; after that the firm owns it."""
    return replace(field, is_once=True)


def custom(field: Field, label: str, description: str) -> Field:
    """Mark a field that the package lacks, so the firm deploys it: its label, and what it shows, without a final dot."""
    return replace(field, label=label, description=description)
