"""The mapping in force: that of the org's shape, with the firm's changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from include.crm.objects import changed, managed_package, plain, standard_objects
from include.crm.objects.mapping import CrmObject
from include.crm.objects.shape import Shape
from include.crm.settings import SHAPES as PERSONS_OF
from include.crm.settings import Settings, ShapeName

SHAPES: Mapping[ShapeName, Shape] = {
    "managed_package": managed_package.SHAPE,
    "standard_objects": standard_objects.SHAPE,
    "plain": plain.SHAPE,
}


def list_mappings(settings: Settings) -> tuple[CrmObject, ...]:
    """Return the mappings in force, parents before children: those of the org's shape, with the firm's changes applied."""
    return changed.apply(SHAPES[settings.shape].list_objects(settings), settings.changes)


def list_ways(*shapes: ShapeName) -> Iterator[Settings]:
    """Yield settings for each way in which orgs of these shapes can represent persons, with all objects; without arguments, of all shapes."""
    for shape in shapes or SHAPES:
        for persons in PERSONS_OF[shape]:
            yield Settings("firm", persons, shape, has_transactions=True)


def find_sobject(mappings: Iterable[CrmObject], entity: str) -> str:
    """Return the object of an entity's records; empty if they are not sent."""
    return next((mapping.sobject for mapping in mappings if mapping.entity == entity), "")
