"""A firm's changes to the mapping of its Salesforce org, as plain values.

`include.firm` reads them from the firm's folder, and `include.crm.objects.changed` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Owner = Literal["vendor", "shared", "firm"]
OfSeveral = Literal["", "largest", "smallest", "total"]


@dataclass(frozen=True, slots=True)
class Source:
    """A column of a mart or of the warehouse that a field shows, and which of its rows counts.

    Attributes:
        relation: The table or view, such as `mart.plan_freshness`.
        column: Its column.
        type: The column's type in PostgreSQL.
        key: The column by which the relation is joined to the record, such as `household_id`; one of `CrmObject.ids`.
        where: SQL condition of the rows `x` that count; empty for all.
        newest: The date column whose newest day counts, by record; empty for none.
        of_several: The value that counts if several rows remain. Empty if there is only one.
    """

    relation: str
    column: str
    type: str
    key: str
    where: str = ""
    newest: str = ""
    of_several: OfSeveral = ""

    def __str__(self) -> str:
        several = f" ({self.of_several})" if self.of_several else ""
        return f"{self.relation}.{self.column}{several}"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """The change of a field of the mapping.

    Attributes:
        is_dropped: Whether the field is not sent.
        name: New API name; empty for no change.
        owner: New owner; None for no change.
        values: Our value, or the vendor's -> the value in the org's picklist.
    """

    is_dropped: bool = False
    name: str = ""
    owner: Owner | None = None
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AddedField:
    """A field that the mapping lacks.

    Attributes:
        name: API name.
        source: The source of its values.
        owner: The owner of the field, whose value counts.
        values: The org's values of a picklist, by the column's.
        length: Characters of a text.
        label: Label of the field, if we deploy it.
        is_daily: Whether it changes every day by nature, so that changes need no approval.
    """

    name: str
    source: Source
    owner: Owner = "vendor"
    values: Mapping[str, str] = field(default_factory=dict)
    length: int = 255
    label: str = ""
    is_daily: bool = False


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """The Salesforce users who own the records of an object.

    Attributes:
        users: Salesforce user name by the representative's number at the vendor.
        default: User name for all other records; empty leaves the integration user as the owner of a new record.
        owner: `firm` sets the owner of a new record only, `vendor` always.
    """

    users: Mapping[str, str]
    default: str = ""
    owner: Owner = "firm"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """The changes of one object of the mapping.

    Attributes:
        is_off: Whether none of its records are sent.
        record_type: Developer name of the record type; empty leaves it.
        fields: Changes by the name of the field; that of a lookup is its relationship, such as `FinServ__Household__r`.
        added: Further fields.
        record_owner: Who owns the records; None leaves it to Salesforce.
    """

    is_off: bool = False
    record_type: str = ""
    fields: Mapping[str, FieldChange] = field(default_factory=dict)
    added: tuple[AddedField, ...] = ()
    record_owner: RecordOwner | None = None
