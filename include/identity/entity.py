"""Match legal entities: by the form of their name, tax id and home, never with persons.

Entities are few, and their names are more distinctive than persons' names, so a short sum of weights is enough. As in
`include.identity.model`, a weight is the log2 of a ratio: how often two records of one entity agree, divided by how often records of two
entities do.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pyarrow as pa

from include.identity import features
from include.identity.cluster import Evidence, is_same, is_slip
from include.identity.record import LINKS
from include.names.census import share_of_given
from include.names.organization import date_of, key_of
from include.names.registration import read_registration
from include.names.words import lexicon

MOST_IN_BLOCK = 60
"""Maximum number of records that share a value and are compared because of it."""

PRIOR = -6.0
"""log2 of the odds that two records that are compared are one entity, before their fields are compared."""

MOST_BY_NAME = 2.8
"""Highest score of two records with nothing but the name in common, if a vendor lists several entities of this name."""

_SAME_KIND = ({"company", "partnership"}, {"foundation", "trust"}, {"foundation", "company"})
"""Kinds that vendors confuse. Records of any other two kinds are two entities."""

# Words that tell one trust of a family from another. "Revocable", "living" and "family" are often left out.
_TELLING = lexicon("irrevocable charitable remainder lead unitrust annuity marital bypass residuary special needs insurance dynasty gst "
                   "children grandchildren testamentary qualified personal residence grantor retained sr jr senior junior i ii iii iv 1 2 3 4 5 a b c d")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entity:
    """One record of a legal entity, in the form in which it is compared."""

    record_id: int
    key: str
    kind: str
    tax: str | None
    tax_last4: str | None
    date: str | None
    homes: frozenset[str]
    zip: str | None
    # Where the vendor lists the entity: the vendor, and its household or the ZIP code.
    listed: tuple[str, str] | None = None

    @property
    def words(self) -> frozenset[str]:
        """Return the words of the name."""
        return frozenset(self.key.split())


def score_entities(entities: Sequence[Entity]) -> pa.Table:
    """Compare the records of legal entities that share a value.

    Returns:
        LINKS in no particular order, without pairs whose score is below 0.
    """
    counts, shared = Counter(entity.key for entity in entities), _find_shared_names(entities)
    rows = []
    for left, right in sorted(_select(entities)):
        row = _compare(entities[left], entities[right], counts, len(entities))
        if row["agreed"] == ["name"] and entities[left].key in shared:
            row |= {"score": min(row["score"], MOST_BY_NAME), "rule": "name of several entities"}
        if row["score"] >= 0:
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=LINKS)


def _find_shared_names(entities: Sequence[Entity]) -> set[str]:
    """Return the names that a vendor lists in several households, or at several ZIP codes: they are of several entities."""
    listed = {(entity.key, entity.listed) for entity in entities if entity.listed}
    counts = Counter((key, vendor) for key, (vendor, _) in listed)
    return {key for (key, _), count in counts.items() if count > 1}


def is_compatible(left: str, right: str) -> bool:
    """Return whether two kinds may be of one entity."""
    return left == right or {left, right} in _SAME_KIND


def collect_evidence(entities: Sequence[Entity]) -> list[Evidence]:
    """Return the fields that separate entities."""
    return [
        Evidence("tax id", [entity.tax for entity in entities], is_slip),
        Evidence("tax id", [entity.tax_last4 for entity in entities], is_slip),
        Evidence("date", [entity.date for entity in entities], is_same),
        Evidence("kind", [entity.kind for entity in entities], is_compatible),
    ]


def read_entities(records: pa.Table, names: Sequence[str]) -> list[Entity]:
    """Return the entity of each record.

    Args:
        records: Table with the schema `include.identity.record.PERSONS`.
        names: The entity's name in each record.
    """
    fields = features.read_fields(records).to_pylist()
    columns = ("registration_type", "tax_id_form", "vendor", "household")
    stated = zip(*(records[name].to_pylist() for name in columns), strict=True)
    return [_read(row, name, *of_record) for row, name, of_record in zip(fields, names, stated, strict=True)]


def _read(
    row: dict[str, Any],
    name: str,
    registration_type: str | None,
    tax_id_form: str | None,
    vendor: str,
    household: str | None,
) -> Entity:
    line = (row["house"], row["street"], row["unit"] or "", row["zip"] or "")
    address = " ".join(line) if row["house"] and row["street"] else None
    homes = {
        address,
        row["phone"],
        row["email"],
        row["home_email"],
        *(row["shared_keys"] or ()),
        *(row["person_keys"] or ()),
    }
    kind = read_registration(name, registration_type, tax_id_form).kind
    place = household or row["zip"]
    return Entity(
        row["record_id"],
        key_of(name),
        kind,
        row["tax"],
        row["tax_last4"],
        date_of(name),
        frozenset(homes - {None}),
        row["zip"],
        (vendor, place) if place else None,
    )


def _select(entities: Sequence[Entity]) -> set[tuple[int, int]]:
    """Return the pairs of positions that share a name, tax id, home, or two words of the name."""
    blocks: dict[Any, list[int]] = defaultdict(list)
    for at, entity in enumerate(entities):
        for value in _list_blocks(entity):
            blocks[value].append(at)
    return {pair for block in blocks.values() if len(block) <= MOST_IN_BLOCK for pair in combinations(block, 2)}


def _list_blocks(entity: Entity) -> Iterator[Any]:
    if entity.key:
        yield "key", entity.key
    yield from (("home", home) for home in entity.homes)
    if entity.tax:
        yield "tax", entity.tax
    words = sorted(entity.words)
    if entity.tax_last4:
        yield from (("last4", entity.tax_last4, word) for word in words)
    yield from (("words", *pair) for pair in combinations(words, 2))


def _compare(left: Entity, right: Entity, counts: Counter[str], total: int) -> dict[str, Any]:
    weights = dict(_weigh(left, right, counts, total))
    return {
        "left": left.record_id,
        "right": right.record_id,
        "score": round(PRIOR + sum(weights.values()), 2),
        "agreed": [name for name, weight in weights.items() if weight > 0],
        "differed": [name for name, weight in weights.items() if weight < 0],
        "how": "key" if left.tax and left.tax == right.tax else "model",
        "rule": None,
    }


def _weigh(left: Entity, right: Entity, counts: Counter[str], total: int) -> Iterable[tuple[str, float]]:
    """Yield the weight of each field that both records have."""
    if left.key == right.key and left.key:
        yield "name", min(math.log2(max(total, 256) / counts[left.key]), 12.0)
    else:
        yield _weigh_names(left.words, right.words)
    if not is_compatible(left.kind, right.kind):
        yield "kind", -8.0
    if left.date and right.date:
        yield "date", 6.0 if left.date == right.date else -12.0
    if left.tax and right.tax:
        is_close = left.tax_last4 and right.tax_last4 and is_slip(left.tax_last4, right.tax_last4)
        yield "tax id", 8.0 if left.tax == right.tax else -4.0 if is_close else -10.0
    elif left.tax_last4 and right.tax_last4:
        yield "tax id (last four)", 6.0 if left.tax_last4 == right.tax_last4 else -8.0
    if left.homes & right.homes:
        yield "home", 5.0
    elif left.zip and right.zip:
        yield "zip", 1.0 if left.zip == right.zip else -1.0


def _weigh_names(left: frozenset[str], right: frozenset[str]) -> tuple[str, float]:
    """Return the weight of two names that differ."""
    only = left ^ right
    if only & _TELLING or any(word[0].isdigit() for word in only):
        return "name", -8.0
    pairs = [(one, other) for one in left - right for other in right - left if _is_close(one, other)]
    rest = only - {word for pair in pairs for word in pair}
    shared = len(left & right) + len(pairs)
    if shared and not rest:
        return "name (close)", 7.0
    is_part = not (left - right) & rest or not (right - left) & rest
    if shared > 1 and is_part and len(rest) <= shared:
        return "name (part)", 2.0
    return "name", -6.0


def _is_close(one: str, other: str) -> bool:
    if share_of_given(one) and share_of_given(other):
        return False  # the trusts of John and of Joan
    return is_slip(one, other) or (min(len(one), len(other)) > 2 and (one.startswith(other) or other.startswith(one)))
