"""What an entity is."""

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
        kind: `description`, `snapshot` or `event`, as above.
        fields: Column -> type, without key, references and date.
        references: Key column -> entity it points to; becomes `<entity>_id` in the warehouse.
        dated: Column that places a fact in time; `business_date` for snapshots.
        version: Column that tells which of two states of an event is newer.
        final: For events with a life: the flag that says that it has ended. Then a later state counts only if it is an end, too,
            or if the life was reopened since.
        reopened: Column that says when it was reopened last.
        is_observed: Whether the version is when we looked: two states that differ in nothing else are one.
        money: Column whose sum is the control total.
        set_of: For descriptions that come in sets: the reference whose rows replace each other as a whole.
        is_removable: Of events: whether one that its window's pull no longer contains was removed at the vendor (a deleted trade).
        sticky: Fields whose null says "not shown to us" (a masked tax id): what was known before stays.
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
    sticky: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The column that identifies a row within its vendor."""
        return f"{self.name}_key"

    @property
    def parent(self) -> str:
        """The entity that it belongs to, its first reference; empty where there is none."""
        return next(iter(self.references.values()), "")

    @property
    def columns(self) -> dict[str, str]:
        """Every canonical column and its type: key, date of a snapshot, references, fields."""
        dated = {"business_date": DATE} if self.kind == "snapshot" else {}
        return {self.key: STRING} | dated | dict.fromkeys(self.references, STRING) | self.fields


def references(*entities: str) -> dict[str, str]:
    """Columns that hold the keys of other entities: `<entity>_key` -> entity."""
    return {f"{entity}_key": entity for entity in entities}
