"""The words in which a Salesforce object is declared: CrmObject, Field.

A record's values are brought to Salesforce's own precision before they are compared, so that a rounding difference is no
change. A field belongs to whoever may change it last:

    we write it         the vendor is right; what somebody types into it in Salesforce is written over
    we write it once    when the record is new (`once`); after that it is the firm's
    Salesforce owns it  not declared here, so never sent: totals that it rolls up, owners, service models
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
        name: Its API name; with a dot, a parent named by its key.
        sql: Gives its text as it is sent; null clears the field.
        kind: How it is written in JSON, and compared with what Salesforce says of it.
        is_once: Whether it is sent only with a new record.
        unknown: SQL that is true where we don't know the value today: the field is left as it is.
        when_gone: What it becomes once the record is no longer in the vendor's snapshot; None leaves it as it was.
        links_to: The object that it names a record of.
        is_daily: Whether it changes every day by its nature, such as a price: then a change of it alarms nobody.
    """

    name: str
    sql: str
    kind: Kind = "text"
    is_once: bool = False
    is_daily: bool = False
    links_to: str = ""
    unknown: str = ""
    when_gone: str | None = None


@dataclass(frozen=True, slots=True)
class CrmObject:
    """One kind of record.

    Attributes:
        entity: Canonical entity that it shows; part of every key.
        sobject: Salesforce's object.
        key_field: The external id that holds our key.
        key: SQL of the key, `<firm>:<vendor>:<entity>:<the vendor's key>`.
        fields: What is loaded, without the key.
        source: SQL after `from`. `present_day(vendor, business_date)` is each vendor's latest day loaded as present.
        parent: Field whose children stay together, because Salesforce locks the parent; empty for none.
        closed_by: Field and value by which a record is closed, such as an account; empty where none can be.
        worth: Field of dollars whose sum may not jump without a person's word; empty for none.
        died_as: Entity whose dead letters say that a record is not gone but unreadable; the record's own by default.
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
        """The header of its file."""
        return (self.key_field, *(field.name for field in self.fields))

    @property
    def once(self) -> list[str]:
        """Fields that are only sent with a new record."""
        return [field.name for field in self.fields if field.is_once]

    @property
    def daily(self) -> list[str]:
        """Fields that change every day by their nature."""
        return [field.name for field in self.fields if field.is_daily]

    @property
    def lookups(self) -> dict[str, list[str]]:
        """The fields that name another record, as `links`, and the objects that they name, as `parents`."""
        fields = [field for field in self.fields if field.links_to]
        return {"links": [field.name for field in fields], "parents": [field.links_to for field in fields]}

    @property
    def is_written_when_gone(self) -> bool:
        """Whether a record that left the vendor's snapshot is written once more."""
        return any(field.when_gone is not None for field in self.fields)


def key(entity: str, alias: str) -> str:
    """The external key of a row of the warehouse; null where a join found none."""
    return f"(:firm || ':' || {alias}.vendor || ':{entity}:' || {alias}.{entity}_key)"


def current(alias: str) -> str:
    """The version of a description that holds now, as known now, of what a pull of the present has named."""
    return f"{alias}.valid_to is null and {alias}.recorded_to is null and not {alias}.is_past_only"


def link(settings: Settings, relationship: str, sobject: str, sql: str) -> Field:
    """A lookup, by our key of the other record."""
    return Field(f"{relationship}.{settings.key_of(sobject)}", sql, links_to=sobject)


def text(name: str, sql: str, length: int) -> Field:
    """A text, cut to the field's length. Salesforce trims, and reads `#N/A` as null: both are done here already."""
    return Field(name, f"nullif(nullif(btrim(left(btrim({sql}), {length})), ''), '#N/A')")


def number(name: str, sql: str, decimals: int, *, when_gone: str | None = None, unknown: str = "") -> Field:
    """A number of so many decimals."""
    return Field(name, f"round({sql}, {decimals})::text", "number", when_gone=when_gone, unknown=unknown)


def money(name: str, sql: str, *, when_gone: str | None = None, unknown: str = "") -> Field:
    """Dollars and cents."""
    return number(name, sql, 2, when_gone=when_gone, unknown=unknown)


def day(name: str, sql: str) -> Field:
    """A date."""
    return Field(name, f"({sql})::text")


def noon(name: str, sql: str) -> Field:
    """A day where Salesforce wants a moment: noon of UTC is the same day in every American office."""
    return Field(name, f"to_char({sql}, 'YYYY-MM-DD\"T12:00:00Z\"')", "time")


def moment(name: str, sql: str) -> Field:
    """A point in time, to the second."""
    return Field(
        name, f"to_char(date_trunc('second', {sql}) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')", "time"
    )


def flag(name: str, sql: str, *, when_gone: str | None = None) -> Field:
    """A checkbox, which knows no null."""
    return Field(name, f"coalesce({sql}, false)::text", "flag", when_gone=when_gone)


def always(name: str, value: str) -> Field:
    """The same value in every record."""
    return Field(name, f"'{value}'::text")


def daily(field: Field) -> Field:
    """Changes every day by its nature."""
    return replace(field, is_daily=True)


def once(field: Field) -> Field:
    """Sent with a new record only; after that the field is the firm's."""
    return replace(field, is_once=True)
