"""Declarations of the canonical entities (household, account, position, ...), which do not depend on a vendor.

An entity has a key (the vendor's id as text, unique within vendor and entity), references to other entities by their
keys, and fields. In the warehouse, `warehouse.source_key` maps each key to a surrogate id. So identity can assign a person or an
account to another id without rewriting facts.

Three kinds:
    description: a dimension with history, valid from the first business date on which it was pulled. Each key has one open version.
    snapshot: a fact of one business date. Every pull requests all rows of the date; a key that a later pull lacks is withdrawn.
    event: a fact that happened once, on the date in the column `dated`. The vendor may correct it; the column `version` orders
        its versions.

Units: money in `_usd`, exact to the cent; quantities and prices to eight decimals; ratios 0-1.
"""

from __future__ import annotations

from include.canonical.entity import RATIO, Entity
from include.canonical.planning import PLANNING
from include.canonical.portfolio import PORTFOLIO
from include.canonical.risk import RISK
from include.canonical.signing import SIGNING

__all__ = ["ENTITIES", "RATIO", "Entity", "named"]

ENTITIES: tuple[Entity, ...] = (*PORTFOLIO, *PLANNING, *SIGNING, *RISK)


def named(name: str) -> Entity:
    """Return the entity called `name`.

    Raises:
        KeyError: There is no such entity.
    """
    for entity in ENTITIES:
        if entity.name == name:
            return entity
    raise KeyError(f"unknown entity {name}")
