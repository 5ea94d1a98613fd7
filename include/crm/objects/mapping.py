"""The declaration of a Salesforce object (`CrmObject`), of its fields (`Field`), and of the warehouse's rows that it shows (`Rows`).

Values are rounded to Salesforce's precision before they are compared, so a rounding difference is not a change. Each field has one
owner (`Field.owner`). A field that is not declared here is never sent: totals that Salesforce rolls up, service models.

A field that the Salesforce package lacks is `custom`: `include.crm.deployment` generates its metadata, which the firm deploys.

The functions `text`, `number`, `day` and so on return a field of one type. Their arguments `name`, `sql`, `when_gone` and `unknown` are
the attributes of `Field`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Literal

from include.crm.firm_changes import Owner
from include.crm.settings import Settings

Kind = Literal["text", "number", "flag", "time"]

RECORD_TYPE = "RecordType.DeveloperName"
"""The field that sets the record type."""

MISSING_SINCE = "missing since"
"""Value of `Field.when_gone`: the business date on which the record was first missing."""

CLEARED = "cleared"
"""Value of `Field.when_gone`: the field becomes empty."""

ADOPTABLE = ("household", "person", "contact", "legal_entity", "account")
"""The entities of which a sync looks for a record in the org before it creates one; see `include.crm.adoption`."""

_FORMULA = r"^([\x01-\x1f=@]|[-+](?![-0-9 ,()./]*((x|ext[.]?) *[0-9]+)?$))"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Salesforce object.

    Attributes:
        name: API name. A name with a dot, such as `Account.Tributary_Key__c`, refers to a parent by the parent's key.
        sql: SQL of the text that is sent; null clears the field.
        kind: The JSON type, and how the value is compared with Salesforce's.
        owner: Whose value counts. `vendor`: the vendor's; edits in Salesforce are overwritten. `firm`: Salesforce's; the field is sent only
            with a new record. `shared`: a value that is typed in Salesforce stays until the vendor's value changes.
        unknown: SQL that is true if the value is unknown today; then the field stays unchanged in Salesforce. Empty if it is always known.
        when_gone: The value to send when the record is missing from the vendor's snapshot or has become one with another, or `MISSING_SINCE` or
            `CLEARED`; None leaves the field unchanged.
        links_to: The object that a lookup refers to; empty for other fields.
        parent_type: The object of the parent, if the lookup could also refer to a record of another object; empty for other fields.
        is_daily: Whether the value changes every day by nature, such as a price. Such changes need no approval.
        is_masked: Whether only the last four characters are sent, compared and stored. A complete number that the org has stays there.
        values: All values that the SQL can return, if they are ours, such as those of a `case`; empty if the vendor's or unlimited.
        entities: Entities to whose records a lookup refers.
        type: Salesforce's type. Only custom fields are created from it; a lookup is one whatever the type, unless it is `MasterDetail`.
        length: Characters of a text.
        decimals: Decimal places of a number.
        label: Label of a custom field; empty for fields that the org already has.
        description: What a custom field shows.
    """

    name: str
    sql: str
    kind: Kind = "text"
    owner: Owner = "vendor"
    is_daily: bool = False
    is_masked: bool = False
    links_to: str = ""
    parent_type: str = ""
    unknown: str = ""
    when_gone: str | None = None
    values: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    type: str = "Text"
    length: int = 255
    decimals: int = 0
    label: str = ""
    description: str = ""

    @property
    def column(self) -> str:
        """The column of the field in a CSV file: its name, after the type of the parent if the lookup needs it."""
        return f"{self.parent_type}:{self.name}" if self.parent_type else self.name


@dataclass(frozen=True, slots=True)
class CrmObject:
    """The mapping of one kind of record to a Salesforce object.

    Attributes:
        entity: Canonical entity; part of every key.
        sobject: Salesforce's object.
        key_field: The external id field that stores our key.
        key: SQL of the key, `<firm>:<vendor>:<entity>:<the vendor's key>`.
        fields: The fields to load, without the key.
        source: SQL after `from`, without the condition. It may read `temporary.PRESENT_DAY`, each vendor's latest day loaded by a current pull.
        where: SQL condition of the records; empty for all.
        parent: The lookup field of the parent. Records with the same parent are sent together, because Salesforce locks the parent.
            Empty for none.
        closed_by: The field, and its value, that mark a record as closed, such as an account; empty if records can't be closed.
        worth: Dollar field whose sum may not change much without approval; empty for none.
        died_as: Entity whose open dead letters may describe a missing record. Such a record is unreadable, so it does not count as
            removed. Empty means `entity`.
        separated_from: Entity as which, or within which, Salesforce may have the same record of the vendor until now: a trust that was a
            person, or a person that was one with another. Such a new record needs approval; see `include.crm.sync.separation`. Empty for
            none.
        separated_in: Salesforce's object of that entity; empty for `sobject`.
        ids: The columns by which other tables can be joined to a record, such as `household_id`: name -> SQL.
        same_if: The fields that tell which record of the org is the same, if it has one without our key: lookups, and perhaps others. Empty
            for records that are matched by what they describe, or not at all; see `include.crm.adoption`.
        stays_if: SQL condition of a record `s` (vendor, source_key) that is missing from the desired state: if true, it is not written as
            gone yet. Empty for none.
    """

    entity: str
    sobject: str
    key_field: str
    key: str
    fields: tuple[Field, ...]
    source: str
    where: str = ""
    parent: str = ""
    closed_by: tuple[str, str] = ("", "")
    worth: str = ""
    died_as: str = ""
    separated_from: str = ""
    separated_in: str = ""
    ids: Mapping[str, str] = attribute(default_factory=dict, hash=False)
    same_if: tuple[str, ...] = ()
    stays_if: str = ""

    @property
    def selection(self) -> str:
        """SQL after `from`: the source and its condition."""
        return f"{self.source} where {self.where or 'true'}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the CSV file: the key field, then the fields."""
        return (self.key_field, *(field.name for field in self.fields))

    @property
    def once(self) -> list[str]:
        """Names of the fields sent only with a new record."""
        return [field.name for field in self.fields if field.owner == "firm"]

    @property
    def tracked(self) -> list[str]:
        """Names of the fields of which the accepted value is worth knowing: those that are always written, because users own the others once
        a record exists. Lookups are included, because they tell which records are sent together."""
        return [field.name for field in self.fields if field.owner != "firm" or field.links_to]

    @property
    def is_adopted(self) -> bool:
        """Whether a record that the org has from elsewhere gets our key, instead of a second record; see `include.crm.adoption`."""
        return self.entity in ADOPTABLE or bool(self.same_if)

    @property
    def shared(self) -> list[str]:
        """Names of the fields in which a value that users typed stays until the vendor's value changes."""
        return [field.name for field in self.fields if field.owner == "shared"]

    @property
    def daily(self) -> list[str]:
        """Names of the fields that change every day by nature."""
        return [field.name for field in self.fields if field.is_daily]

    @property
    def lookups(self) -> dict[str, list[str]]:
        """Two lists in the same order: `links`, the names of the lookup fields, and `parents`, the objects to which they refer."""
        fields = [field for field in self.fields if field.links_to]
        return {"links": [field.name for field in fields], "parents": [field.links_to for field in fields]}

    @property
    def is_written_when_gone(self) -> bool:
        """Whether a record that is missing from the vendor's snapshot is still written, with the `when_gone` values of its fields."""
        return any(field.when_gone is not None for field in self.fields)


@dataclass(frozen=True, slots=True)
class Rows:
    """The warehouse's rows that are the records of an entity, whatever the org's object of it: the part of a mapping that all shapes share.

    `show` combines it with an object and its fields. The attributes are those of `CrmObject`. `source` and `where` may read the
    parameter `:sobject`, the object that shows the rows.
    """

    entity: str
    key: str
    source: str
    where: str = ""
    ids: Mapping[str, str] = attribute(default_factory=dict, hash=False)
    died_as: str = ""
    separated_from: str = ""
    stays_if: str = ""

    def show(
        self,
        settings: Settings,
        sobject: str,
        *fields: Field,
        parent: str = "",
        closed_by: tuple[str, str] = ("", ""),
        worth: str = "",
        same_if: tuple[str, ...] = (),
        separated_in: str = "",
    ) -> CrmObject:
        """Return the mapping of the rows to an object.

        Args:
            settings: The firm's settings.
            sobject: The object.
            fields: The fields, without the key.
            parent: The relationship of the parent; see `CrmObject`. So are the other arguments; `same_if` has relationships for lookups.
            closed_by: See `CrmObject`.
            worth: See `CrmObject`.
            same_if: See `CrmObject`.
            separated_in: See `CrmObject`.
        """
        names = {field.name.partition(".")[0]: field.name for field in fields}
        return CrmObject(
            self.entity, sobject, settings.key_of(sobject), self.key, fields, self.source, self.where,
            parent=names[parent] if parent else "", closed_by=closed_by, worth=worth, died_as=self.died_as,
            separated_from=self.separated_from, separated_in=separated_in, ids=self.ids,
            same_if=tuple(names[name] for name in same_if), stays_if=self.stays_if,
        )  # fmt: skip


def key(entity: str, alias: str) -> str:
    """Return SQL of the external key of a warehouse row; `alias` is its table's alias. The key is null if an outer join found no row.

    If the vendor's key contains a hash, the external key contains the hash that was sent to Salesforce first. A rotation of the hash key
    does not change it.
    """
    return f"(:firm || ':' || {alias}.vendor || ':{entity}:' || control.first_key({alias}.{entity}_key))"


def current(alias: str) -> str:
    """Return the SQL condition for the current version of a description, as known now.

    Records that only a pull of a past date has returned are excluded.
    """
    return f"{alias}.valid_to is null and {alias}.recorded_to is null and not {alias}.is_past_only"


def is_no_copy(account_id: str) -> str:
    """Return the SQL condition that an account is not a copy of an account in another portfolio system. Only originals are sent."""
    return f"not exists (select from warehouse.identity i where i.entity = 'account' and i.id = {account_id} and i.recorded_to is null)"


def name_lookup(relationship: str) -> str:
    """Return the field that stores the lookup of a relationship. A null in this field clears the lookup."""
    return f"{relationship.removesuffix('__r')}__c" if relationship.endswith("__r") else f"{relationship}Id"


def link(settings: Settings, relationship: str, sobject: str, sql: str, *entities: str) -> Field:
    """Return a lookup field that refers to another record, of one of the entities, by our key."""
    return Field(f"{relationship}.{settings.key_of(sobject)}", sql, links_to=sobject, entities=entities)


def text(name: str, sql: str, length: int) -> Field:
    """Return a text field: trimmed, truncated to `length`, and safe in a spreadsheet (see `defuse`).

    An empty text and `#N/A` become null, as in Salesforce.
    """
    return Field(name, f"nullif(nullif({clean(sql, length)}, ''), '#N/A')", length=length)


def clean(sql: str, length: int) -> str:
    """Return SQL of a text as it is sent: trimmed, truncated to `length`, and safe in a spreadsheet (see `defuse`)."""
    return f"btrim(left({defuse(f'btrim({sql})')}, {length}))"


def defuse(sql: str) -> str:
    """Return SQL that puts an apostrophe before a text which a spreadsheet would run as a formula.

    Such a text begins with `=`, `@`, `+`, `-` or a control character, such as a tab. A number with a sign is not changed, and neither is
    a phone number, with or without an extension.
    """
    return f"regexp_replace({sql}, '{_FORMULA}', '''\\1')"


def number(name: str, sql: str, decimals: int, *, when_gone: str | None = None, unknown: str = "") -> Field:
    """Return a number field, rounded to `decimals`."""
    rounded = f"round({sql}, {decimals})::text"
    return Field(name, rounded, "number", when_gone=when_gone, unknown=unknown, type="Number", decimals=decimals)


def money(name: str, sql: str, decimals: int = 2, *, when_gone: str | None = None, unknown: str = "") -> Field:
    """Return a field of dollars, by default with cents."""
    return replace(number(name, sql, decimals, when_gone=when_gone, unknown=unknown), type="Currency")


def percent(name: str, sql: str) -> Field:
    """Return a percent field with two decimals; `sql` is SQL of a ratio (0-1)."""
    return replace(number(name, f"({sql}) * 100", 2), type="Percent")


def day(name: str, sql: str, *, when_gone: str | None = None) -> Field:
    """Return a date field."""
    return Field(name, f"({sql})::text", when_gone=when_gone, type="Date")


def noon(name: str, sql: str) -> Field:
    """Return a datetime field for a date: noon UTC, which is on that date in every US time zone."""
    return Field(name, f"to_char({sql}, 'YYYY-MM-DD\"T12:00:00Z\"')", "time", type="DateTime")


def moment(name: str, sql: str) -> Field:
    """Return a datetime field, truncated to the second."""
    utc = f"date_trunc('second', {sql}) at time zone 'UTC'"
    return Field(name, f'to_char({utc}, \'YYYY-MM-DD"T"HH24:MI:SS"Z"\')', "time", type="DateTime")


def flag(name: str, sql: str, *, when_gone: str | None = None) -> Field:
    """Return a checkbox field; null becomes false."""
    return Field(name, f"coalesce({sql}, false)::text", "flag", when_gone=when_gone, type="Checkbox")


def masked(name: str, sql: str) -> Field:
    """Return the field of an account number of which only the last four characters are sent, after `xxxx`."""
    return Field(name, sql, length=8, is_masked=True)


def always(name: str, value: str) -> Field:
    """Return a field with the same value in every record."""
    return Field(name, f"{literal(value)}::text", values=(value,))


def literal(value: str) -> str:
    """Return a text as SQL. A colon is escaped, because SQLAlchemy takes it for the start of a parameter."""
    return "'" + value.replace("'", "''").replace(":", "\\:") + "'"


def choice(name: str, sql: str, *values: str, when_gone: str | None = None) -> Field:
    """Return a field of a picklist; `values` are all values that the SQL can return, besides null."""
    return Field(name, sql, when_gone=when_gone, values=values)


def either(name: str, condition: str, yes: str, no: str) -> Field:
    """Return a field of a picklist that shows a condition, as `yes` or `no`; null if it is unknown."""
    return choice(name, f"case when {condition} then '{yes}' when not {condition} then '{no}' end", yes, no)


def picklist(field: Field) -> Field:
    """Return the field of a restricted picklist that the firm deploys; its values are the field's."""
    return replace(field, type="Picklist")


def master(field: Field) -> Field:
    """Return the lookup as a master-detail field that the firm deploys: access follows the parent, and so does a deletion."""
    return replace(field, type="MasterDetail")


def daily(field: Field) -> Field:
    """Return the field, marked as one that changes every day by nature."""
    return replace(field, is_daily=True)


def once(field: Field) -> Field:
    """Return the field, sent only with a new record. After that, the firm owns its value."""
    return replace(field, owner="firm")


def shared(field: Field) -> Field:
    """Return the field, marked as one in which a value that is typed in Salesforce stays until the vendor's value changes."""
    return replace(field, owner="shared")


def custom(field: Field, label: str, description: str) -> Field:
    """Return the field, marked as one that the Salesforce package lacks, so that the firm deploys it.

    `description` is what the field shows, without a final period.
    """
    return replace(field, label=label, description=description)
