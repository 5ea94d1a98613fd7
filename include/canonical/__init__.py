"""Canonical entities, independent of the vendor: declared once, used by every later step.

An entity has a key (the vendor's id as text, unique within vendor and entity), references to other entities by their
keys, and fields. In the warehouse, `warehouse.source_key` maps keys to surrogate ids, so that identity can
re-point a person or an account without rewriting facts.

Three kinds:
    description: a dimension with history, valid from the first business date on which it was pulled; one open version per key.
    snapshot: a fact of one business date, pulled as a whole. A key that a later pull of that date lacks is withdrawn.
    event: a fact that happened once (date in `dated`) and may be corrected; `version` orders its versions.

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
    """Return the entity called `name`."""
    for entity in ENTITIES:
        if entity.name == name:
            return entity
    raise KeyError(f"unknown entity {name}")
