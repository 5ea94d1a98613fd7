"""The declaration of a canonical entity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from include.contract import DATE, STRING

RATIO = "decimal(9,8)"


@dataclass(frozen=True, slots=True)
class Entity:
    """One canonical entity.

    Attributes:
        name: Name in the singular; also the name of the warehouse table.
        kind: `description`, `snapshot` or `event`; see `include.canonical`.
        fields: Column -> type. Excludes the key, the references and the `business_date` of a snapshot.
        references: Key column -> the entity that it refers to. The warehouse stores it as `<entity>_id`.
        dated: Column with the date of a fact; `business_date` for snapshots.
        version: Column that orders the versions of an event.
        final: For events with a final state: column that is true in that state. A final state wins over a later non-final one,
            unless the event was reopened after the final state.
        reopened: Column with the time of the last reopening.
        is_observed: Whether the version is the time of our request. Then a row that differs from the stored one only in its version is
            unchanged.
        money: Column whose sum is the control total.
        set_of: For descriptions that belong to a parent as a set (the owners of an account): key column of the parent. A pull
            replaces the whole set of a parent.
        is_removable: For events: whether an event that is missing from its window's pull was removed at the vendor (a deleted trade).
        has_months: Whether the warehouse table has one partition per month, created when the month's first row is loaded.
        excludes: Entity that a key can't be at the same time. When a pull lists a key as one of the two, the other one's version of the key
            ends: a registration that was read as a person and is read as a trust now.
        sticky: Fields in which null means that the vendor does not show the value (a masked tax id). A null keeps the stored value.
    """

    name: str
    kind: Literal["description", "snapshot", "event"]
    fields: dict[str, str]
    references: dict[str, str]
    dated: str | None = None
    version: str | None = None
    final: str | None = None
    reopened: str | None = None
    is_observed: bool = False
    money: str | None = None
    set_of: str | None = None
    is_removable: bool = False
    has_months: bool = False
    excludes: str = ""
    sticky: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The column that identifies a row within its vendor."""
        return f"{self.name}_key"

    @property
    def parent(self) -> str:
        """The entity of the first reference, which is the parent; empty if there are no references."""
        return next(iter(self.references.values()), "")

    @property
    def ids(self) -> list[str]:
        """The warehouse columns of the references: `<entity>_id`."""
        return [column.replace("_key", "_id") for column in self.references]

    @property
    def columns(self) -> dict[str, str]:
        """Every canonical column and its type: key, date of a snapshot, references, fields."""
        dated = {"business_date": DATE} if self.kind == "snapshot" else {}
        return {self.key: STRING} | dated | dict.fromkeys(self.references, STRING) | self.fields


def references(*entities: str) -> dict[str, str]:
    """Return the references to some entities, for `Entity.references`: `<entity>_key` -> entity."""
    return {f"{entity}_key": entity for entity in entities}
