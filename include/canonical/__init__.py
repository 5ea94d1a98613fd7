"""Our own entities, whichever vendor they come from: declared once, used by every later step.

An entity has a key (the vendor's id as text, unique within vendor and entity), references to other entities by their
keys, and fields. In the warehouse, keys become surrogate ids through `warehouse.source_key`, so that identity can
re-point a person or an account without rewriting facts.

Three kinds:
    description: a dimension with history. Valid from the first business date that we saw it; one open version a key.
    snapshot: a fact of one business date, taken whole. A key that a later pull of that date lacks is withdrawn.
    event: a fact that happened once (`dated` says when) and may be corrected; `version` tells the newer of two.

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
    """Returns the entity called `name`."""
    for entity in ENTITIES:
        if entity.name == name:
            return entity
    raise KeyError(f"no entity is called {name}")
