"""Classify the org records by their matches with our records, and list the ones that need a reviewer's decision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from include.crm.adoption.candidates import Candidate, Unit

Outcome = Literal["matched", "doubtful", "duplicate", "shared", "unmatched", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of comparing one org record with our records, or one of our records that the org lacks.

    Attributes:
        entity: The entity of the mapping.
        sobject: Salesforce's object.
        salesforce_id: The record's id; empty for a record that the org lacks.
        external_key: Key of our record that is the same, or that the org lacks; None if there is none, or several.
        outcome: `matched`: the same as one of our records. `doubtful`: may be the same as one of `candidates`. `duplicate`: the same as one
            of our records, and so is another org record. `shared`: represents several of our records. `unmatched`: none of our records.
            `missing`: the org lacks our record.
        candidates: Our records that may be the same, the most likely first.
    """

    entity: str
    sobject: str
    salesforce_id: str
    external_key: str | None
    outcome: Outcome
    candidates: Sequence[Candidate] = ()


def classify(
    entity: str,
    units: Sequence[Unit],
    keys: Collection[str],
    sobjects: Sequence[tuple[str, str]],
    lookalikes: Mapping[str, Sequence[Candidate]] | None = None,
) -> Iterator[Finding]:
    """Yield a finding for each of the org's records without our key, and for each of our records that the org lacks.

    Args:
        entity: The entity of the units, such as `person`.
        units: The org's units, matched.
        keys: Our keys of all records of the entity.
        sobjects: Pairs of object and entity of the mappings that send these records: a person may be an account and a contact.
        lookalikes: Our key -> org records that look alike although the comparison did not match them; our record is then doubtful, not
            missing.
    """
    holders: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        if unit.matches.only:
            holders[unit.matches.only.external_key].append(unit)
    classified = [_Classified(unit, _decide(unit, holders)) for unit in units]
    entity_of = dict(sobjects)
    for each in classified:
        for sobject, salesforce_id in each.unit.records.items():
            if sobject not in each.unit.keyed:
                of = entity_of.get(sobject, entity)
                yield Finding(of, sobject, salesforce_id, each.key, each.outcome, each.candidates)
    yield from _list_missing(classified, keys, sobjects, _list_lookalikes(classified, lookalikes or {}))


class _Classified:
    """A unit with its outcome, and the `key` of our record that is the same; None if there is none, or several."""

    __slots__ = ("candidates", "key", "outcome", "unit")

    def __init__(self, unit: Unit, outcome: Outcome) -> None:
        matches = unit.matches
        self.unit, self.outcome = unit, outcome
        self.key = matches.only.external_key if matches.only and outcome in ("matched", "duplicate") else None
        self.candidates = sorted((*matches.same, *matches.doubts), key=lambda each: (not each.is_same, -each.score))

    @property
    def own_key(self) -> str:
        """The key that one of its records has, or else `key`; empty if there is neither."""
        return self.unit.external_key or self.key or ""

    @property
    def is_open(self) -> bool:
        """Whether each of its candidates may still be the same."""
        return self.outcome != "matched" and not self.unit.keyed


def _list_lookalikes(
    classified: Sequence[_Classified], lookalikes: Mapping[str, Sequence[Candidate]]
) -> Mapping[str, Sequence[Candidate]]:
    """Return our key -> org records that look alike: the given ones, and units that match one of our records and may match this one."""
    alike = defaultdict(list, {key: list(of) for key, of in lookalikes.items()})
    for each in classified:
        if each.unit.is_foreign and not each.is_open:
            record = next(iter(each.unit.records.values()))
            for candidate in each.candidates:
                if candidate.external_key != each.own_key:
                    alike[candidate.external_key].append(replace(candidate, external_key=record))
    return alike


def _list_missing(
    classified: Sequence[_Classified],
    keys: Collection[str],
    sobjects: Sequence[tuple[str, str]],
    lookalikes: Mapping[str, Sequence[Candidate]],
) -> Iterator[Finding]:
    """Yield a finding for each of our records that the org lacks, except those that an open unit may be."""
    held = {
        (sobject, each.own_key)
        for each in classified
        for sobject in each.unit.records
        if sobject in each.unit.keyed or each.outcome == "matched"
    }
    held_keys = {key for _, key in held}
    open_keys = {candidate.external_key for each in classified if each.is_open for candidate in each.candidates}
    for key in sorted(set(keys) - (open_keys - held_keys)):
        alike = lookalikes.get(key, ()) if key not in held_keys else ()
        for sobject, entity in sobjects:
            if (sobject, key) not in held:
                yield Finding(entity, sobject, "", key, "doubtful" if alike else "missing", alike)


def _decide(unit: Unit, holders: dict[str, list[Unit]]) -> Outcome:
    only = unit.matches.only
    if only is None:
        if unit.matches.same:
            return "shared"
        return "doubtful" if unit.matches.doubts else "unmatched"
    others = holders[only.external_key]
    if len(others) == 1:
        return "matched" if only.is_sure else "doubtful"
    settled = [each for each in others if each.matches.only and each.matches.only.is_settled]
    return "matched" if settled == [unit] else "duplicate"
