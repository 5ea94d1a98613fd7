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
        name: Singular; the warehouse table of the same name.
        kind: `description`, `snapshot` or `event`; see `include.canonical`.
        fields: Column -> type, without key, references and date.
        references: Key column -> referenced entity; becomes `<entity>_id` in the warehouse.
        dated: Column with the date of a fact; `business_date` for snapshots.
        version: Column that orders the versions of an event.
        final: For events with a final state: the flag of that state. A final state wins over a later non-final one, unless the
            event was reopened after it.
        reopened: Column with the time of the last reopening.
        is_observed: Whether the version is the time of the request: versions that differ in nothing else are one.
        money: Column whose sum is the control total.
        set_of: For descriptions that come in sets: the reference whose rows replace each other as a whole.
        is_removable: For events: whether an event that is missing from its window's pull was removed at the vendor (a deleted trade).
        has_months: Whether the warehouse stores it in one partition a month, created when its first row is loaded.
        sticky: Fields whose null means "not shown to us" (a masked tax id): the previous value stays.
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
    sticky: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The column that identifies a row within its vendor."""
        return f"{self.name}_key"

    @property
    def parent(self) -> str:
        """The parent entity: its first reference; empty if there is none."""
        return next(iter(self.references.values()), "")

    @property
    def columns(self) -> dict[str, str]:
        """Every canonical column and its type: key, date of a snapshot, references, fields."""
        dated = {"business_date": DATE} if self.kind == "snapshot" else {}
        return {self.key: STRING} | dated | dict.fromkeys(self.references, STRING) | self.fields


def references(*entities: str) -> dict[str, str]:
    """Return the key columns of other entities: `<entity>_key` -> entity."""
    return {f"{entity}_key": entity for entity in entities}
